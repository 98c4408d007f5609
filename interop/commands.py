"""Bodies of checks that are the same whoever asks. Each script adds them with `check`, under the rules and for the transports that it has them for."""

import os


def apart(client):
    run = client.exec(command=["sh", "-c", "echo out; echo err >&2"])
    yield "stdout", "out\n", run.out
    yield "stderr", "err\n", run.err
    yield "exit code", 0, run.code


def arguments(client):
    odd = ["a b", "", "ü&=+%20?#/", "$HOME", "'\"\\", "-x"]
    run = client.exec(command=["printf", "[%s]", *odd])
    yield "stdout", "".join(f"[{word}]" for word in odd), run.out


def open_stdin(client):
    """Its input never ends."""
    read, write = os.pipe()
    try:
        run = client.exec("-i", command=["echo", "done"], stdin=read)
    finally:
        os.close(read)
        os.close(write)
    yield "stdout", "done\n", run.out
    yield "exit code", 0, run.code
