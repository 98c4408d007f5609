"""Real proxies: Debian's tinyproxy and microsocks."""

import shutil
import subprocess
import sys
import time

from ports import ask, closed_port

LOGIN = ("me", "s3cret")


def require_proxies():
    for needed in ("tinyproxy", "microsocks"):
        if shutil.which(needed) is None:
            sys.exit(f"MISSING ON THIS MACHINE: {needed} (Debian: tinyproxy-bin, microsocks)")


class Proxy:
    """A proxy of this kind, with a login or without."""

    def __init__(self, kind, login, home):
        self.kind, self.login = kind, login
        self.label = f"{kind}, login" if login else kind
        self.port = closed_port()
        self.log = home / f"{kind}-{'login' if login else 'open'}.log"
        self.command = getattr(self, kind)(home)

    def tinyproxy(self, home):
        lines = [f"Port {self.port}", "Listen 127.0.0.1", f'LogFile "{self.log}"', "LogLevel Connect"]
        lines += [f"BasicAuth {' '.join(LOGIN)}"] if self.login else []
        config = home / f"{self.log.stem}.conf"
        config.write_text("\n".join([*lines, "Timeout 600", "MaxClients 50", ""]))
        return ["tinyproxy", "-d", "-c", str(config)]

    def microsocks(self, _home):
        login = ["-u", LOGIN[0], "-P", LOGIN[1]] if self.login else []
        return ["microsocks", "-i", "127.0.0.1", "-p", str(self.port), *login]

    def url(self, password=LOGIN[1]):
        scheme = {"tinyproxy": "http", "microsocks": "socks5"}[self.kind]
        login = f"{LOGIN[0]}:{password}@" if self.login else ""
        return f"{scheme}://{login}127.0.0.1:{self.port}"

    def __enter__(self):
        # tinyproxy writes its log itself, and microsocks on stderr.
        null = subprocess.DEVNULL
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=null, stdout=null, stderr=log)
        end = time.monotonic() + 10
        while not is_open(self.port):
            if time.monotonic() > end:
                sys.exit(f"{self.label} does not listen: {self.log.read_text()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def is_open(port):
    try:
        ask(port, b"", 1)
    except OSError:
        return False
    return True
