"""Checks of our client at the URLs of a container runtime: containerd 1.6 speaks WebSocket up to v4, and SPDY."""

import dataclasses
import hashlib
import os
import socket
import subprocess

import forward
from checklist import CHECKS, check, contains
from peers import Client, OnTerminal, Watch
from ports import ask, closed_port

BOTH = ("websocket", "spdy")
SPDY = ("spdy",)
BULK = 32 << 20

CHECKS.clear()  # Importing `forward` has added those that are for a server of ours.


@dataclasses.dataclass(frozen=True)
class AtUrls(Client):
    """Our client. It asks at URLs, of which each is good for one request; `server` is the container."""

    runtime = property(lambda self: self.facts["runtime"])

    def over(self, transports):
        return [dataclasses.replace(self, transport=transport) for transport in transports]

    def at(self, action, url, *more):
        return [str(self.binary), action, "--url", url, "--transport", self.transport, "--quiet", *more]

    def arguments(self, action, *flags, command=(), pod=None):
        container, cri = self.runtime.containers[self.server], self.runtime.cri
        stdin, tty = not {"-i", "-it"}.isdisjoint(flags), "-it" in flags
        if action == "attach":
            return self.at(action, cri.attach(container, stdin, tty), *flags)
        return self.at(action, cri.exec(container, list(command), stdin, tty), *flags)

    def forward_arguments(self, remotes, flags, server):
        url = self.runtime.cri.port_forward(self.runtime.pod, remotes)
        return self.at("port-forward", url, *flags, *[f":{port}" for port in remotes])


# Holds EXE-1, FRM-2, SPE-1, SPE-2.
@check("stdout and stderr apart", transports=BOTH)
def apart(client):
    run = client.exec(command=["sh", "-c", "echo out; echo err >&2"])
    yield "stdout", "out\n", run.out
    yield "stderr", "err\n", run.err
    yield "exit code", 0, run.code


# Holds UPG-8, UPG-18.
@check("subprotocols")
def subprotocols(client):
    run = client.exec("--subprotocol", "v5.channel.k8s.io", command=["true"])
    yield "v5 is refused", (client.refused, "403"), (run.code, contains(run.err, "403"))
    run = client.exec("--subprotocol", "v4.base64.channel.k8s.io", command=["sh", "-c", "echo out; exit 7"])
    yield "v4.base64", ("out\n", 7), (run.out, run.code)
    run = client.exec("--subprotocol", "channel.k8s.io", command=["echo", "out"])
    yield "channel", "out\n", run.out


# Holds EXE-2, SPE-6.
@check("stdin and its end", transports=SPDY)
def stdin(client):
    run = client.exec("-i", command=["sh", "-c", "cat; sleep 0.2; echo after"], input=b"hi\n")
    yield "stdout", "hi\nafter\n", run.out
    yield "exit code", 0, run.code


# Holds EXE-4.
@check("stdin without an end")
def endless_stdin(client):
    run = client.exec("-i", command=["sh", "-c", "head -c 3; sleep 0.5; exit 3"], input=b"hi\n")
    yield "stdout", "hi\n", run.out
    yield "exit code", 3, run.code
    yield "stderr", "cannot end stdin", contains(run.err, "cannot end stdin")


# Holds EXE-10, SPE-9.
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


# Holds EXE-12, SPE-11.
@check("ends though stdin is open", transports=BOTH)
def open_stdin(client):
    read, write = os.pipe()
    try:
        run = client.exec("-i", command=["echo", "done"], stdin=read)
    finally:
        os.close(read)
        os.close(write)
    yield "stdout", "done\n", run.out
    yield "exit code", 0, run.code


# Holds EXE-5, EXE-6, EXE-8, SPE-7.
@check("terminal", transports=BOTH)
def terminal(client):
    script = "trap 'stty size' WINCH; trap 'exit 5' INT; stty size; while :; do sleep 0.05; done"
    with OnTerminal(client, client.arguments("exec", "-it", command=["sh", "-c", script])) as on:
        # The runtime starts the command before it tells it the size.
        yield "size", "24 80", on.expect("24 80")
        on.resize(50, 132)
        yield "resized", "50 132", on.expect("50 132")
        yield "raw", "raw", on.mode()
        on.type(b"\x03")
        yield "exit code after ^C", 5, on.wait()
        yield "restored", "cooked", on.mode()


# Holds ATT-1, ATT-2, ATT-5, ATT-7.
@check("attach", transports=BOTH)
def attach(client):
    with Watch(client, client.arguments("attach")) as watch:
        for word in ("one", "two"):
            with Watch(client, client.arguments("attach", "-i"), stdin=subprocess.PIPE) as talk:
                talk.process.stdin.write(f"{word}\n".encode())
                talk.process.stdin.flush()
                yield f"{word}: stdout", f"got {word}\n", talk.expect(f"got {word}\n")
                talk.process.stdin.close()
                if client.transport == "spdy":
                    yield f"{word}: exit code", 0, talk.process.wait(client.step)
        yield "output only", "got one\ngot two\n", watch.expect("got one\ngot two\n")


# Holds ATT-2.
@check("attach -it", transports=BOTH)
def attach_terminal(client):
    with OnTerminal(client, client.on("terminal").arguments("attach", "-it")) as on:
        on.await_mode("raw")
        on.type(b"echo $((6 * 7))\r")
        yield "output", "42", on.expect("42")
        on.resize(30, 100)
        on.type(b"stty size\r")
        yield "size", "30 100", on.expect("30 100")


# Holds EXE-1.
@check("32 MiB up", transports=BOTH)
def up(client):
    # Only over SPDY there is an end.
    command = {"websocket": f"head -c {BULK} | sha256sum", "spdy": "sha256sum"}[client.transport]
    with open(client.bulk, "rb") as bulk:
        run = client.exec("-i", command=["sh", "-c", command], stdin=bulk)
    yield "sha256", client.digest[:16], run.out[:16]
    yield "exit code", 0, run.code


# Holds EXE-1, EXE-12, EXE-17.
@check("32 MiB down", transports=BOTH)
def down(client):
    run = client.exec(command=["cat", "/data/bulk"])
    yield "sha256", client.digest[:16], hashlib.sha256(run.raw).hexdigest()[:16]
    yield "bytes", BULK, len(run.raw)
    yield "exit code", 0, run.code


# Holds EXE-1, EXE-2.
@check("32 MiB there and back", transports=BOTH)
def there_and_back(client):
    command = {"websocket": ["head", "-c", str(BULK)], "spdy": ["cat"]}[client.transport]
    with open(client.bulk, "rb") as bulk:
        run = client.exec("-i", command=command, stdin=bulk)
    yield "bytes", BULK, len(run.raw)
    yield "sha256", client.digest[:16], hashlib.sha256(run.raw).hexdigest()[:16]


# Holds UPG-18.
@check("a URL is good for one request", transports=BOTH)
def once(client):
    arguments = client.arguments("exec", command=["true"])
    yield "the first", 0, client.finish(arguments).code
    run = client.finish(arguments)
    yield "the second", client.refused, run.code
    yield "stderr", "404 page not found", contains(run.err, "404 page not found")


# Holds PFW-4, PFW-7.
@check("forward: closed port", transports=SPDY)
def closed(client):
    port = closed_port()
    with client.forward("echo", closed=port) as forwarded:
        with socket.create_connection(("127.0.0.1", forwarded["echo"]), timeout=client.step) as other:
            other.sendall(b"before")
            yield "another one before", b"before", other.recv(6, socket.MSG_WAITALL)
            yield "no answer", True, ask(forwarded["closed"], b"", client.step) in (b"", b"ConnectionResetError")
            why = f"failed to dial {port}"
            yield "stderr", why, forwarded.await_err(why)
            other.sendall(b"after")
            yield "another one after", b"after", other.recv(5, socket.MSG_WAITALL)
            yield "a new one", b"new", ask(forwarded["echo"], b"new", client.step)


for name, function in {
    # containerd gives an answer a second after the end of the question, and then loses it.
    "forward: question, end, answer": forward.half_close,
    "forward: 1,000 in a row": forward.sequential,
    "forward: 100 at once": forward.concurrent,
    "forward: two ports": forward.two_ports,
    "forward: remote reset": forward.remote_reset,
    "forward: a client that goes": forward.local_reset,
    "forward: much up": forward.up,
    "forward: much down": forward.down,
}.items():
    check(name, transports=SPDY)(function)
