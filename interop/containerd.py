#!/usr/bin/env python3
"""Runs our client against a real container runtime, containerd, and prints one table of what came out.

    interop/containerd.py [--binary PATH] [--only WORD] [--must-run]

Exits with 0 if every check gave what was expected, and with 1 otherwise. Where no container can run it says SKIPPED, and
exits with 0 unless it must run. See README.md.
"""

import argparse
import hashlib
import os
import signal
import sys
import tempfile
from pathlib import Path

from at_urls import BULK, AtUrls
from checklist import run_all, verdict
from packages import Missing
from peers import build
from ports import Ports
from runtime import Containerd, install

STEP = 20  # seconds for one command
WHOLE = 120  # seconds for everything but installing
FORWARDED = 32 << 20
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
CONTAINERS = {
    "lines": (["sh", "-c", 'while read -r line; do echo "got $line"; done'], False),
    "terminal": (["sh"], True),
}


def stop(number, _frame):
    """Ends what is entered, which takes a while, and is not to be cut short."""
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(f"not done within {WHOLE} s" if number == signal.SIGALRM else 128 + number)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--binary", type=Path, help="kubectl-channel; built by cargo if not given")
    options.add_argument("--only", default="", help="only the checks whose names hold this word")
    options.add_argument("--must-run", action="store_true", help="fail where no container can run")
    options = options.parse_args()

    try:
        install()
    except Missing as missing:
        print(f"SKIPPED: containerd interop: {missing}", flush=True)
        sys.exit(1 if options.must_run else 0)
    binary = options.binary or build()
    for number in SIGNALS:
        signal.signal(number, stop)
    signal.alarm(WHOLE)

    with tempfile.TemporaryDirectory(prefix="interop-") as home:
        data = Path(home) / "data"
        data.mkdir()
        bulk = data / "bulk"
        bulk.write_bytes(os.urandom(BULK))
        facts = {"home": Path(home), "bulk": bulk, "step": STEP, "forwarded": FORWARDED}
        facts["digest"] = hashlib.sha256(bulk.read_bytes()).hexdigest()
        with Containerd(data, CONTAINERS) as runtime, Ports() as ports:
            print(runtime.version)
            facts |= {"runtime": runtime, "ports": ports}
            code = verdict(run_all([AtUrls.ours(binary.resolve(), facts)], options.only))
    sys.exit(code)


if __name__ == "__main__":
    main()
