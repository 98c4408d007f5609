"""Ports of this machine to forward to, and what is asked of them through a forward."""

import hashlib
import socket
import socketserver
import struct
import threading

PIECE = 1 << 16


class Ports:
    """Listens on a free port for each of these, while it is entered."""

    def __enter__(self):
        self.servers = {}
        for name, serve in (("digest", digest), ("sink", sink), ("echo", echo), ("source", source), ("reset", reset)):
            server = Server(("127.0.0.1", 0), handler(serve))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.servers[name] = server
        return self

    def __exit__(self, *_):
        for server in self.servers.values():
            server.shutdown()
            server.server_close()

    def __getitem__(self, name):
        return self.servers[name].server_address[1]


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass  # What a client does to its connection is the client's to tell.


def handler(serve):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            serve(self.request)

    return Handler


def digest(stream):
    """Answers with the checksum of everything, after its end."""
    found = hashlib.sha256()
    while data := stream.recv(PIECE):
        found.update(data)
    stream.sendall(found.hexdigest().encode())


def sink(stream):
    """Takes as many bytes as it is told, in 8 bytes, and answers with their checksum: it waits for no end."""
    (left,) = struct.unpack("!Q", stream.recv(8, socket.MSG_WAITALL))
    found = hashlib.sha256()
    while left and (data := stream.recv(min(left, PIECE))):
        found.update(data)
        left -= len(data)
    stream.sendall(found.hexdigest().encode())


def echo(stream):
    while data := stream.recv(PIECE):
        stream.sendall(data)


def source(stream):
    """Sends as many bytes as it is told, in 8 bytes."""
    (left,) = struct.unpack("!Q", stream.recv(8, socket.MSG_WAITALL))
    block = pattern(1 << 20)
    while left:
        sent = min(left, len(block))
        stream.sendall(block[:sent])
        left -= sent


def reset(stream):
    """Says something, and breaks off when it is answered."""
    stream.sendall(b"begun")
    stream.recv(1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def pattern(size):
    return hashlib.shake_256(b"pattern").digest(size)


def pattern_digest(size):
    """Of what `source` sends."""
    found, block = hashlib.sha256(), pattern(1 << 20)
    for _ in range(size // len(block)):
        found.update(block)
    found.update(block[: size % len(block)])
    return found.hexdigest()


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def ask(port, question, step):
    """Sends the question, ends its half, and reads the answer to its end; the word for it if it breaks."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=step) as stream:
            stream.sendall(question)
            stream.shutdown(socket.SHUT_WR)
            return read(stream)
    except ConnectionResetError as error:  # It can be reset as soon as it is there, before anybody reads.
        return type(error).__name__.encode()


def talk(port, question, step):
    """Sends the question, and reads as much again, before anybody ends anything."""
    with socket.create_connection(("127.0.0.1", port), timeout=step) as stream:
        stream.sendall(question)
        answer = b""
        while len(answer) < len(question) and (data := stream.recv(PIECE)):
            answer += data
        return answer


def sent(port, size, step):
    """What `sink` says of so much of the pattern, before anybody ends anything."""
    with socket.create_connection(("127.0.0.1", port), timeout=step) as stream:
        stream.sendall(struct.pack("!Q", size))
        block = pattern(1 << 20)
        for start in range(0, size, len(block)):
            stream.sendall(block[: size - start])
        return stream.recv(64, socket.MSG_WAITALL).decode()[:16]


def received(port, size, step):
    """How much `source` sends when it is told to send so much, and its checksum."""
    found, count = hashlib.sha256(), 0
    with socket.create_connection(("127.0.0.1", port), timeout=step) as stream:
        stream.sendall(struct.pack("!Q", size))
        while data := stream.recv(PIECE):
            found.update(data)
            count += len(data)
    return count, found.hexdigest()[:16]


def read(stream):
    """Everything that comes; what was read is lost if it breaks, and the error is in its place."""
    answer = b""
    try:
        while data := stream.recv(PIECE):
            answer += data
    except ConnectionError as error:
        return type(error).__name__.encode()
    return answer
