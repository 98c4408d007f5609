"""A small kubectl made of the Python client, for clients.py: `driver.py exec|attach|port-forward|get …`, on the Python of interop/.venv.

What the client raises is not caught: it ends this, and stderr has it."""

import argparse
import json
import os
import signal
import socket
import sys
import threading
import tty

from kubernetes import client, config
from kubernetes.stream import portforward, stream
from kubernetes.stream.ws_client import ERROR_CHANNEL, RESIZE_CHANNEL, STDERR_CHANNEL, STDIN_CHANNEL, STDOUT_CHANNEL

PIECE = 1 << 16


def api():
    """Each upgrade has one of its own: `stream` and `portforward` change the ApiClient while they connect."""
    return client.CoreV1Api(client.ApiClient())


def session(options, command):
    """Until the other end closes; gives the exit code."""
    wanted = {"stdin": options.stdin, "stdout": True, "stderr": not options.tty, "tty": options.tty}
    call = {"name": options.pod, "namespace": "default", **wanted, "_preload_content": False, "binary": not options.text}
    if options.action == "exec":
        ws = stream(api().connect_get_namespaced_pod_exec, command=command, **call)
    else:
        ws = stream(api().connect_get_namespaced_pod_attach, **call)
    if options.tty:
        tty.setraw(0)
        resize(ws)
        signal.signal(signal.SIGWINCH, lambda *_: resize(ws))
    if options.stdin:
        threading.Thread(target=send, args=(ws,), daemon=True).start()
    while ws.is_open():
        ws.update(timeout=1)
        pass_on(ws)
    pass_on(ws)  # Looking for the one output can have brought the other, and the end.
    if options.verbose:
        print("subprotocol:", ws.subprotocol, file=sys.stderr)
        print("status:", ws.peek_channel(ERROR_CHANNEL), file=sys.stderr)
    return ws.returncode


def resize(ws):
    columns, rows = os.get_terminal_size(0)
    ws.write_channel(RESIZE_CHANNEL, json.dumps({"Width": columns, "Height": rows}))


def send(ws):
    while data := os.read(0, PIECE):
        ws.write_stdin(data)
    ws.close_channel(STDIN_CHANNEL)


def pass_on(ws):
    for channel, to in ((STDOUT_CHANNEL, sys.stdout), (STDERR_CHANNEL, sys.stderr)):
        if data := ws.read_channel(channel):
            to.buffer.write(data.encode() if isinstance(data, str) else data)
            to.flush()


def forward(options, ports):
    """A local port for each of these, which has an upgrade for each connection, or one with one connection to each port."""

    def upgrade(*wanted):
        listed = ",".join(map(str, wanted))
        return portforward(api().connect_get_namespaced_pod_portforward, options.pod, "default", ports=listed)

    together = upgrade(*ports) if options.together else None
    threads = []
    for port in ports:
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        print(f"Forwarding from 127.0.0.1:{listener.getsockname()[1]} -> {port}", flush=True)
        threads.append(threading.Thread(target=accept, args=(listener, port, lambda one: together or upgrade(one))))
        threads[-1].start()
    for thread in threads:
        thread.join()


def accept(listener, port, upgrade):
    while True:
        local, _ = listener.accept()
        threading.Thread(target=serve, args=(local, port, upgrade), daemon=True).start()


def serve(local, port, upgrade):
    """Ends when the remote has: there is no half-close."""
    with local:
        forwarded = upgrade(port)
        remote = forwarded.socket(port)
        threading.Thread(target=copy, args=(local, remote), daemon=True).start()
        copy(remote, local)
        print("error:", forwarded.error(port), file=sys.stderr, flush=True)


def copy(source, to):
    try:
        while data := source.recv(PIECE):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # One of both has gone, and the other way ends, too.


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("action", choices=("exec", "attach", "port-forward", "get"))
    options.add_argument("--kubeconfig", required=True)
    options.add_argument("-i", "--stdin", action="store_true")
    options.add_argument("-t", "--tty", action="store_true")
    options.add_argument("-v", "--verbose", action="store_true")
    options.add_argument("--text", action="store_true", help="strings, as the client has it unless it is told otherwise")
    options.add_argument("--together", action="store_true", help="one upgrade for all ports")
    options.add_argument("pod")
    options.add_argument("ports", nargs="*")
    own, command = sys.argv[1:], []
    if "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    options = options.parse_args(own)

    config.load_kube_config(options.kubeconfig)
    if options.action == "port-forward":
        forward(options, [int(port.removeprefix(":")) for port in options.ports])
    elif options.action == "get":
        print(api().read_namespaced_pod(options.pod, "default").status.phase)
    else:
        sys.exit(session(options, command))


if __name__ == "__main__":
    main()
