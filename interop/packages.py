"""Packages of PyPI, in a virtual environment of these scripts."""

import subprocess
import venv
from pathlib import Path

VENV = Path(__file__).resolve().parent / ".venv"


def pip_install(requirement):
    """Puts it into interop/.venv."""
    python = VENV / "bin" / "python"
    if not (VENV / "bin" / "pip").exists():
        venv.create(VENV, with_pip=True, clear=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", requirement]
    subprocess.run(pip, check=True, timeout=300)
