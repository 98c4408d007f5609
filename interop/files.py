"""Files to send, and how to see whether they came."""

import hashlib
import os
from pathlib import Path


def make(home, size):
    """A file of so many random bytes with its checksum, and a tree of files, as facts for the clients."""
    bulk, tree = home / "bulk", home / "tree"
    bulk.write_bytes(os.urandom(size))
    for path, content in {"a": b"1", "deep/er/b": os.urandom(300_000), "empty": b""}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    return {"home": home, "bulk": bulk, "tree": tree, "digest": hashlib.sha256(bulk.read_bytes()).hexdigest()}


def files(folder):
    """What is in a folder, in one short word."""
    digest = hashlib.sha256()
    names = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    for path in names:
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return f"{len(names)} files {digest.hexdigest()[:12]}"
