"""Checks of port-forward over channels, with the Python and the JavaScript client: an upgrade has one connection to each port."""

import socket
from concurrent.futures import ThreadPoolExecutor

from checklist import check
from ports import ask, closed_port, pattern, pattern_digest, read, received, sent, talk

FORWARDED = 8 << 20
PLAIN_TLS = ("websocket", "tls")


# Holds UPG-24, UPG-25, PFW-11.
@check("forward: there and back", transports=PLAIN_TLS)
def there_and_back(client):
    question = pattern(300_000)
    with client.forward("echo") as forward:
        yield "echo", True, talk(forward["echo"], question, client.step) == question


# Holds UPG-25. The Python client has no word for it; it knows no other channels than these.
@check("forward: subprotocol", only="js")
def subprotocol(client):
    with client.forward("echo", flags=["-v"]) as forward:
        talk(forward["echo"], b"hello", client.step)
        said = "subprotocol: v4.channel.k8s.io"
        yield "by the client", said, forward.await_err(said)


# Holds PFW-11, PFW-12.
@check("forward: much up", transports=PLAIN_TLS)
def up(client):
    with client.forward("sink") as forward:
        yield "sha256", pattern_digest(FORWARDED)[:16], sent(forward["sink"], FORWARDED, client.step)


# Holds PFW-14, PFW-18. What listens ends the connection.
@check("forward: much down, and its end", transports=PLAIN_TLS)
def down(client):
    with client.forward("source") as forward:
        count, found = received(forward["source"], FORWARDED, client.step)
        yield "bytes", FORWARDED, count
        yield "sha256", pattern_digest(FORWARDED)[:16], found


# Holds PFW-12.
@check("forward: many connections")
def many(client):
    with client.forward("echo") as forward:
        questions = [b"question %d" % number for number in range(20)]
        with ThreadPoolExecutor(len(questions)) as pool:
            answers = list(pool.map(lambda question: talk(forward["echo"], question, client.step), questions))
        yield "at once", True, answers == questions


# It looks for a pod of the deployment that is ready.
@check("forward: to a deployment", only="js", transports=PLAIN_TLS)
def deployment(client):
    with client.to("deployment/web").forward("echo") as forward:
        yield "echo", b"hello", talk(forward["echo"], b"hello", client.step)


# Holds PFW-11. The JavaScript client takes one port.
@check("forward: two ports, one upgrade", only="python")
def two_ports(client):
    with client.forward("echo", "sink", flags=["--together"]) as forward:
        with socket.create_connection(("127.0.0.1", forward["echo"]), timeout=client.step) as stream:
            stream.sendall(b"before")
            yield "one", b"before", stream.recv(6, socket.MSG_WAITALL)
            yield "the other", pattern_digest(1 << 20)[:16], sent(forward["sink"], 1 << 20, client.step)
            stream.sendall(b"after")
            yield "one, still", b"after", stream.recv(5, socket.MSG_WAITALL)


# Holds PFW-4, PFW-17.
@check("forward: closed port", transports=PLAIN_TLS)
def closed(client):
    port = closed_port()
    # The text is a line only with what `-v` adds.
    with client.forward("echo", flags=["-v"], closed=port) as forward:
        with socket.create_connection(("127.0.0.1", forward["closed"]), timeout=client.step) as stream:
            yield "no answer", True, read(stream) in (b"", b"ConnectionResetError")
        why = f"dial tcp4 127.0.0.1:{port}: connect: connection refused"
        yield "stderr", why, forward.await_err(why)
        yield "another", b"new", talk(forward["echo"], b"new", client.step)


# Holds PFW-4.
@check("forward: remote reset")
def remote_reset(client):
    with client.forward("reset") as forward:
        with socket.create_connection(("127.0.0.1", forward["reset"]), timeout=client.step) as stream:
            yield "before it", b"begun", stream.recv(5, socket.MSG_WAITALL)
            stream.sendall(b"x")
            yield "ends", True, read(stream) in (b"", b"ConnectionResetError")


# Holds PFW-13.
@check("forward: question, end, answer")
def half_close(client):
    with client.forward("digest") as forward:
        yield "no answer", b"", ask(forward["digest"], b"hello", client.step)


# Holds UPG-18.
@check("forward: refused")
def refused(client):
    with client.with_token("wrong").forward("echo") as forward:
        yield "no answer", True, ask(forward["echo"], b"", client.step) in (b"", b"ConnectionResetError")
        yield "stderr", client.unauthorized, forward.await_err(client.unauthorized)


# Holds PFW-14.
@check("forward: the server is killed")
def killed(client):
    with client.own_server() as server:
        with client.forward("echo", server=server, flags=["-v"]) as forward:
            with socket.create_connection(("127.0.0.1", forward["echo"]), timeout=client.step) as stream:
                stream.sendall(b"before")
                yield "before it", b"before", stream.recv(6, socket.MSG_WAITALL)
                server.kill()
                # Neither says that it was cut, other than by a close code.
                yield "ends", b"", read(stream)
                what = {"python": "error: None", "js": "closed: 1006"}[client.name]
                yield "it says", what, forward.await_err(what)
