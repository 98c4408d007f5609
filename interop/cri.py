"""The Container Runtime Interface: of its gRPC calls the few that these checks need, in runtime.v1.

A message is a dict of field numbers, as api.proto of k8s.io/cri-api numbers them, and is encoded by hand: there is no
generated code to keep. What is false, empty or None is left out, as protobuf has it.
"""

import os

NODE = 2  # NamespaceMode: that of this machine.


class Error(Exception):
    """What the runtime says to a call that fails."""


class Runtime:
    """A container runtime at a socket."""

    def __init__(self, socket, step):
        os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"  # The checks fork, and no child of theirs calls.
        os.environ["GRPC_VERBOSITY"] = "NONE"
        import grpc  # pylint: disable=import-outside-toplevel,import-error # In .venv, which may be new.

        self.failed = grpc.RpcError
        self.channel = grpc.insecure_channel(f"unix:{socket}")
        self.step = step

    def close(self):
        self.channel.close()

    def call(self, method, message, service="RuntimeService"):
        """The answer, as `decode` gives it."""
        call = self.channel.unary_unary(f"/runtime.v1.{service}/{method}")
        try:
            return decode(call(encode(message), timeout=self.step, wait_for_ready=True))
        except self.failed as error:
            raise Error(f"{method}: {error.code().name}: {error.details()}") from error

    def version(self):
        answer = self.call("Version", {})
        return f"{answer[2].decode()} {answer[3].decode()}"

    def has_image(self, name):
        return 1 in self.call("ImageStatus", {1: {1: name}}, "ImageService")

    def run_pod(self, pod):
        return self.call("RunPodSandbox", {1: pod})[1].decode()

    def remove_pod(self, pod_id):
        """With its containers."""
        self.call("StopPodSandbox", {1: pod_id})
        self.call("RemovePodSandbox", {1: pod_id})

    def run_container(self, pod_id, pod, container):
        container_id = self.call("CreateContainer", {1: pod_id, 2: container, 3: pod})[1].decode()
        self.call("StartContainer", {1: container_id})
        return container_id

    def exec(self, container_id, command, stdin, tty):
        """A URL, good for one request within a minute."""
        return self.url("Exec", {1: container_id, 2: command, 3: tty, 4: stdin, 5: True, 6: not tty})

    def attach(self, container_id, stdin, tty):
        return self.url("Attach", {1: container_id, 2: stdin, 3: tty, 4: True, 5: not tty})

    def port_forward(self, pod_id, ports):
        return self.url("PortForward", {1: pod_id, 2: ports})

    def url(self, method, message):
        return self.call(method, message)[1].decode()


def pod_config(name, cgroup):
    """PodSandboxConfig of a pod in the network of this machine, which needs no network plugin."""
    return {
        1: {1: name, 2: name, 3: "default"},  # PodSandboxMetadata: name, uid, namespace.
        8: {1: cgroup, 2: {1: {1: NODE}}},  # LinuxPodSandboxConfig: NamespaceOption.network.
    }


def container_config(name, image, command, tty, mounts):
    """ContainerConfig of a container that keeps its stdin; `mounts` are paths of this machine, by those in it."""
    return {
        1: {1: name},
        2: {1: image},
        3: command,
        7: [{1: inside, 2: str(outside), 3: True} for inside, outside in mounts.items()],
        12: True,  # stdin
        14: tty,
        15: {2: {3: {1: NODE}}},  # LinuxContainerConfig: NamespaceOption.network.
    }


def encode(message):
    return b"".join(field(number, value) for number, value in message.items())


def field(number, value):
    if isinstance(value, list):
        # Each as a field of its own: a parser takes numbers so, too, though it would write them packed.
        return b"".join(field(number, item) for item in value)
    if value in (None, False):
        return b""
    if isinstance(value, int):
        return varint(number << 3) + varint(int(value))
    data = encode(value) if isinstance(value, dict) else value.encode()
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def decode(data):
    """The last value of each field: a number, or bytes."""
    message, at = {}, 0
    while at < len(data):
        tag, at = read_varint(data, at)
        size, at = read_varint(data, at)
        message[tag >> 3] = size
        if tag & 7 == 2:
            message[tag >> 3] = data[at : at + size]
            at += size
        elif tag & 7:
            raise ValueError(f"wire type {tag & 7}, which no answer that is asked for has")
    return message


def read_varint(data, at):
    number, shift = 0, 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
