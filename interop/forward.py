"""Checks of port-forward: our server with kubectl over both of its transports, and with our own client."""

import hashlib
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

from checklist import BOTH, check, contains
from ports import PIECE, ask, closed_port, pattern, pattern_digest, read, received


def short(data):
    """As much of the checksum as there is room for in the table."""
    return hashlib.sha256(data).hexdigest()[:16].encode()


# Holds UPG-24, UPG-25, PFW-1.
@check("forward: transport", only="kubectl", transports=BOTH)
def transport(client):
    how = {"websocket": "tunneling_dialer.go", "spdy": 'verb="POST"'}[client.transport]
    with client.forward("echo", flags=["-v=6"]) as forward:
        yield "echo", b"hello", ask(forward["echo"], b"hello", client.step)
        log = "".join(line for line in forward.err().splitlines() if "tunnel" in line or "/portforward" in line)
        yield "log", how, contains(log, how)


# Holds PFW-10.
@check("forward: question, end, answer", transports=BOTH)
def half_close(client):
    question = pattern(300_000)
    with client.forward("digest") as forward:
        yield "sha256", short(question), ask(forward["digest"], question, client.step)[:16]
        yield "of nothing", short(b""), ask(forward["digest"], b"", client.step)[:16]


# Holds PFW-5, PFW-8, PFW-9.
@check("forward: 1,000 in a row", transports=BOTH)
def sequential(client):
    with client.forward("echo") as forward:
        good = 0
        for number in range(1000):
            question = b"question %d" % number
            good += ask(forward["echo"], question, client.step) == question
        yield "answers", 1000, good


# Holds PFW-5, PFW-8, PFW-9.
@check("forward: 100 at once", transports=BOTH)
def concurrent(client):
    with client.forward("digest") as forward:
        start = threading.Barrier(100)

        def one(number):
            question = pattern(20_000 + number)
            start.wait(client.step)
            return ask(forward["digest"], question, client.step)[:16] == short(question)

        with ThreadPoolExecutor(100) as pool:
            yield "answers", 100, sum(pool.map(one, range(100)))


@check("forward: two ports", transports=BOTH)
def two_ports(client):
    with client.forward("echo", "digest") as forward:
        yield "echo", b"one", ask(forward["echo"], b"one", client.step)
        yield "sha256", short(b"two"), ask(forward["digest"], b"two", client.step)[:16]


# Holds PFW-4, PFW-7.
@check("forward: closed port", transports=BOTH)
def closed(client):
    port = closed_port()
    with client.forward("echo", closed=port) as forward:
        with socket.create_connection(("127.0.0.1", forward["echo"]), timeout=client.step) as other:
            other.sendall(b"before")
            yield "another one before", b"before", other.recv(6, socket.MSG_WAITALL)
            answer = ask(forward["closed"], b"", client.step)
            yield "no answer", True, answer in (b"", b"ConnectionResetError")
            why = f"dial tcp4 127.0.0.1:{port}: connect: connection refused"
            yield "stderr", why, forward.await_err(why)
            # kubectl ends the whole forward with one failed connection (kubectl#1620).
            if client.name == "ours":
                other.sendall(b"after")
                yield "another one after", b"after", other.recv(5, socket.MSG_WAITALL)
                yield "a new one", b"new", ask(forward["echo"], b"new", client.step)
            else:
                yield "kubectl ends", 1, forward.wait()


# Holds PFW-4.
@check("forward: remote reset", transports=BOTH)
def remote_reset(client):
    with client.forward("reset", "echo") as forward:
        with socket.create_connection(("127.0.0.1", forward["reset"]), timeout=client.step) as stream:
            yield "before it", b"begun", stream.recv(5, socket.MSG_WAITALL)
            stream.sendall(b"x")
            yield "ends", True, read(stream) in (b"", b"ConnectionResetError")
        yield "a new one", b"new", ask(forward["echo"], b"new", client.step)


# Holds PFW-4.
@check("forward: a client that goes", transports=BOTH)
def local_reset(client):
    with client.forward("source", "echo") as forward:
        with socket.create_connection(("127.0.0.1", forward["source"]), timeout=client.step) as stream:
            stream.sendall(struct.pack("!Q", 1 << 30))
            stream.recv(PIECE)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        yield "a new one", b"new", ask(forward["echo"], b"new", client.step)


@check("forward: much up", transports=BOTH)
def up(client):
    size = client.facts["forwarded"]
    with client.forward("digest") as forward:
        with socket.create_connection(("127.0.0.1", forward["digest"]), timeout=client.step) as stream:
            block = pattern(1 << 20)
            for _ in range(size >> 20):
                stream.sendall(block)
            stream.shutdown(socket.SHUT_WR)
            yield "sha256", pattern_digest(size)[:16], read(stream).decode()[:16]


@check("forward: much down", transports=BOTH)
def down(client):
    size = client.facts["forwarded"]
    with client.forward("source") as forward:
        count, found = received(forward["source"], size, client.step)
        yield "bytes", size, count
        yield "sha256", pattern_digest(size)[:16], found


# Holds UPG-18.
@check("forward: refused", transports=BOTH)
def refused(client):
    wrong = client.with_token("wrong")
    run = wrong.run("port-forward", ":1")
    yield "wrong token", client.unauthorized, contains(run.err, client.unauthorized)
    yield "its exit code", client.refused, run.code


@check("forward: the server comes back", only="ours", transports=BOTH)
def comes_back(client):
    with client.own_server() as server:
        with client.forward("echo", server=server) as forward:
            yield "before", b"one", ask(forward["echo"], b"one", client.step)
            server.restart()
            lost, again = "lost the connection to the pod", "connected to the pod again"
            yield "lost", lost, forward.await_err(lost)
            yield "again", again, forward.await_err(again)
            yield "after", b"two", ask(forward["echo"], b"two", client.step)
            yield "one line of each", (1, 1), (forward.err().count(lost), forward.err().count(again))
