"""Checks of our client at the URLs of a container runtime: containerd 1.6 speaks WebSocket up to v4, and SPDY."""

import dataclasses
import hashlib
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import commands
import forward
from checklist import BOTH, CHECKS, check, contains
from peers import Client, OnTerminal, Watch
from ports import ask, closed_port, pattern, pattern_digest, sent, talk

SPDY = ("spdy",)
BULK = 32 << 20

CHECKS.clear()  # Importing `forward` has added those that are for a server of ours.


@dataclasses.dataclass(frozen=True)
class AtUrls(Client):
    """Our client. It asks at URLs, of which each is good for one request; `server` is the container."""

    runtime = property(lambda self: self.facts["runtime"])

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
        # It does not know the tunnel.
        channels = ["--subprotocol", "v4.channel.k8s.io"] if self.transport == "websocket" else []
        return self.at("port-forward", url, *channels, *flags, *[f":{port}" for port in remotes])


# Holds EXE-1, FRM-2, SPE-1, SPE-2.
check("stdout and stderr apart", transports=BOTH)(commands.apart)


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
check("ends though stdin is open", transports=BOTH)(commands.open_stdin)


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


# Holds ATT-1, ATT-2, ATT-7.
@check("attach -i", transports=BOTH)
def attach(client):
    arguments = lambda: client.arguments("attach", "-i")
    with Watch(client, arguments(), stdin=subprocess.PIPE) as first:
        first.say("one")
        yield "the first", "got one\n", first.expect("got one\n")
        with Watch(client, arguments(), stdin=subprocess.PIPE) as second:
            second.say("two")
            yield "the second", "got two\n", second.expect("got two\n")
            if client.transport == "spdy":
                second.process.stdin.close()
                yield "its exit code", 0, second.process.wait(client.step)
        yield "the first hears it", "got one\ngot two\n", first.expect("got one\ngot two\n")


# Holds ATT-5.
@check("attach, output only", transports=BOTH)
def attach_output(client):
    if client.transport == "websocket":
        # containerd takes the stdin that nobody asked for as one that ended, and lets go of the container.
        run = client.run("attach")
        yield "it ends at once", (0, ""), (run.code, run.out)
        return
    with Watch(client, client.arguments("attach")) as watch:
        # There is no telling when it hears.
        watch.expect("got three\n", meanwhile=lambda: client.run("attach", "-i", input=b"three\n"))
        yield "stdout", "got three\n", watch.expect("got three\n")


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


# Holds PFW-4, PFW-7, PFW-14.
@check("forward: closed port", transports=BOTH)
def closed(client):
    port = closed_port()
    why = f"dial tcp4 127.0.0.1:{port}: connect: connection refused"
    with client.forward("echo", closed=port) as forwarded:
        with socket.create_connection(("127.0.0.1", forwarded["echo"]), timeout=client.step) as other:
            other.sendall(b"before")
            yield "another one before", b"before", other.recv(6, socket.MSG_WAITALL)
            yield "no answer", True, ask(forwarded["closed"], b"", client.step) in (b"", b"ConnectionResetError")
            yield "stderr", why, forwarded.await_err(why)
            other.sendall(b"after")
            yield "another one after", b"after", other.recv(5, socket.MSG_WAITALL)
        if client.transport == "spdy":
            yield "a new one", b"new", talk(forwarded["echo"], b"new", client.step)


# Holds PFW-5, PFW-8, PFW-9.
@check("forward: 1,000 in a row", transports=SPDY)
def sequential(client):
    with client.forward("echo") as forwarded:
        questions = [b"question %d" % number for number in range(1000)]
        good = sum(talk(forwarded["echo"], question, client.step) == question for question in questions)
        yield "answers", 1000, good


# Holds PFW-5, PFW-8, PFW-9.
@check("forward: 100 at once", transports=SPDY)
def concurrent(client):
    with client.forward("echo") as forwarded, ThreadPoolExecutor(100) as pool:
        start = threading.Barrier(100)

        def one(number):
            question = pattern(20_000 + number)
            start.wait(client.step)
            return talk(forwarded["echo"], question, client.step) == question

        yield "answers", 100, sum(pool.map(one, range(100)))


# Holds PFW-10, PFW-13.
@check("forward: question, end, answer", transports=BOTH)
def half_close(client):
    with client.forward("echo", "digest") as forwarded:
        # Over channels there is no end of a question: the connection ends whole.
        if client.transport == "websocket":
            why = "channels cannot end one direction"
            yield "no answer", True, ask(forwarded["echo"], b"question", client.step) in (b"", b"question")
            yield "stderr", why, forwarded.await_err(why)
            return
        yield "an answer before it", b"question", ask(forwarded["echo"], b"question", client.step)
        # containerd does not pass the end on: what waits for it never answers, and is hung up on after a second.
        yield "an answer to it", b"", ask(forwarded["digest"], b"question", client.step)


# Holds PFW-11, PFW-12.
@check("forward: two ports", transports=BOTH)
def two_ports(client):
    with client.forward("echo", "sink") as forwarded:
        yield "echo", b"one", talk(forwarded["echo"], b"one", client.step)
        yield "sha256", pattern_digest(5)[:16], sent(forwarded["sink"], 5, client.step)


@check("forward: much up", transports=BOTH)
def forward_up(client):
    size = client.facts["forwarded"]
    with client.forward("sink") as forwarded:
        yield "sha256", pattern_digest(size)[:16], sent(forwarded["sink"], size, client.step)


for name, function, transports in (
    ("forward: remote reset", forward.remote_reset, SPDY),
    ("forward: a client that goes", forward.local_reset, SPDY),
    ("forward: much down", forward.down, BOTH),
):
    check(name, transports=transports)(function)
