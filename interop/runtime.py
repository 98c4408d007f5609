"""A containerd of our own: its packages, its image, its pod, and its end.

It runs in a PID and a mount namespace of its own. So nothing that it starts outlives it, however this script ends, and none of its mounts
is ever seen outside.
"""

import contextlib
import hashlib
import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import cri
from checklist import TimedOut
from packages import PYTHON, VENV, Missing, require

IMAGE = "localhost/interop:busybox"
PACKAGES = {"containerd": "containerd", "ctr": "containerd", "runc": "runc", "busybox": "busybox-static"}
GRPCIO = "1.85.1"
PREFIX = "channel-interop-"  # of its folder, and of the cgroup of its pod
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"  # runc is in /usr/sbin.
STEP = 20  # seconds for one call of the runtime

CONFIG = """
version = 2
root = "{home}/root"
state = "{home}/state"
temp = "{home}/temp"
disabled_plugins = [{disabled}]

[grpc]
  address = "{home}/socket"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{home}/cni/bin"
    conf_dir = "{home}/cni/conf"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
"""
# All but the snapshotter that works everywhere; `opt` would make a directory outside.
DISABLED = [f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "overlayfs", "zfs")]
DISABLED += ["io.containerd.internal.v1.opt"]


def install():
    """Sees to it that all is there that containerd needs; restarts this script in .venv, where grpcio is."""
    if os.geteuid() != 0:
        raise Missing("it needs root")
    os.environ["PATH"] = PATH
    wanted = sorted({package for command, package in PACKAGES.items() if shutil.which(command) is None})
    if wanted:
        apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=60"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        quiet["env"] = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        try:
            subprocess.run([*apt, "update"], check=True, timeout=120, **quiet)
            subprocess.run([*apt, "install", "--no-install-recommends", "-y", *wanted], check=True, timeout=300, **quiet)
        except (OSError, subprocess.SubprocessError) as error:
            raise Missing(f"apt-get cannot install {', '.join(wanted)}: {error}") from error
    probe = subprocess.run([*NAMESPACES, "mount", "-t", "tmpfs", "none", "/mnt"], check=False, timeout=STEP, text=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if probe.returncode != 0:
        raise Missing(f"no namespaces or no mounts: {probe.stderr.strip()}")
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    cgroups = [Path(mount[1]) for mount in mounts if mount[2].startswith("cgroup")]
    if not cgroups:
        raise Missing("no cgroups are mounted")
    for cgroup in cgroups:
        probe = cgroup / f"{PREFIX}probe-{os.getpid()}"
        try:
            probe.mkdir()
            probe.rmdir()
        except OSError as error:
            raise Missing(f"no cgroup can be made: {error}") from error
    enter_venv()


def enter_venv():
    require(f"grpcio=={GRPCIO}")
    if Path(sys.prefix).resolve() != VENV:
        os.execv(PYTHON, [PYTHON, *sys.argv])


class Containerd:
    """containerd and one pod in it, while it is entered. `data` is /data in its containers.

    `wanted` has the containers by name: the command of each, and whether it is on a terminal."""

    def __init__(self, data, wanted):
        self.data, self.wanted = data, wanted
        self.containers = {}

    def __enter__(self):
        remove_cgroups(f"{PREFIX}*")
        with contextlib.ExitStack() as stack:
            self.home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX)))
            stack.callback(remove_cgroups, self.home.name)
            try:
                self.start(stack)
                self.import_image()
                self.run_pod(stack)
            except Exception:
                print("".join(self.log.read_text().splitlines(keepends=True)[-20:]), file=sys.stderr)
                raise
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def start(self, stack):
        config = self.home / "config.toml"
        config.write_text(CONFIG.format(home=self.home, image=IMAGE, disabled=json.dumps(DISABLED)[1:-1]))
        self.log = self.home / "log"
        # However this script ends, unshare is killed then, and with it all that is in the namespace.
        # Shims and runc have their sockets and states below /run/containerd, wherever containerd has its own.
        hidden = 'mkdir -p /run/containerd && mount -t tmpfs none /run/containerd && exec containerd --config "$0"'
        command = ["setpriv", "--pdeathsig", "KILL", *NAMESPACES, "sh", "-c", hidden, config]
        with open(self.log, "wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": PATH})
        stack.callback(self.kill, process)
        socket = self.home / "socket"
        wait("containerd's socket", lambda: socket.exists() or process.poll() is not None)
        self.cri = cri.Runtime(socket, STEP)
        stack.callback(self.cri.close)
        self.version = self.cri.version()

    def kill(self, process):
        """Everything in the namespace; returns when nothing of it is left."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        with contextlib.suppress(OSError):
            for first in children.read_text().split():
                pidfd = os.pidfd_open(int(first))
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                # The first process of a namespace is gone only after all others.
                select.select([pidfd], [], [], STEP)
                os.close(pidfd)
        process.kill()
        process.wait(STEP)

    def import_image(self):
        archive = self.home / "image.tar"
        archive.write_bytes(image(IMAGE))
        ctr = ["ctr", "--address", self.home / "socket", "--namespace", "k8s.io"]
        command = [*ctr, "images", "import", "--snapshotter", "native", archive]
        subprocess.run(command, check=True, timeout=STEP, stdout=subprocess.DEVNULL)
        wait("the image", lambda: self.cri.has_image(IMAGE))

    def run_pod(self, stack):
        pod = cri.pod_config("interop", f"/{self.home.name}")
        self.pod = self.cri.run_pod(pod)
        stack.callback(self.remove_pod)
        for name, (command, tty) in self.wanted.items():
            container = cri.container_config(name, IMAGE, command, tty, {"/data": self.data})
            self.containers[name] = self.cri.run_container(self.pod, pod, container)

    def remove_pod(self):
        try:
            self.cri.remove_pod(self.pod)
        except cri.Error as error:
            print(f"the pod could not be removed, and is killed: {error}", file=sys.stderr)


def remove_cgroups(pattern):
    """Those of pods that were not removed. Where something runs in one, it stays."""
    top = Path("/sys/fs/cgroup")
    for folder in [*top.glob(pattern), *top.glob(f"*/{pattern}")]:
        for found, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(found)


def wait(what, there):
    end = time.monotonic() + STEP
    while not there():
        if time.monotonic() > end:
            raise TimedOut(f"{what} did not come")
        time.sleep(0.02)


def image(name):
    """An archive as `docker save` writes it: busybox, under all of its names, which sleeps unless told otherwise."""
    names = subprocess.run(["busybox", "--list"], check=True, timeout=STEP, stdout=subprocess.PIPE, text=True).stdout.split()
    busybox = Path(shutil.which("busybox")).read_bytes()
    layer = archive(
        [("bin/busybox", busybox, None)]
        + [(f"bin/{name}", None, "busybox") for name in names if name != "busybox"]
        + [("tmp/.keep", b"", None), ("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n", None)]
    )
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = json.dumps({
        "architecture": machine, "os": "linux",
        "config": {"Entrypoint": ["/bin/sleep", "3600"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    return archive([("config.json", config, None), ("layer.tar", layer, None), ("manifest.json", manifest, None)])


def archive(files):
    """A tar of (path, content, None) and (path, None, link's target)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content, target in files:
            entry = tarfile.TarInfo(path)
            entry.mode = 0o755
            if target is None:
                entry.size = len(content)
            else:
                entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry, None if target else io.BytesIO(content))
    return packed.getvalue()
