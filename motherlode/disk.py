"""Small files that are whole and on the disk, or not there."""

import os
import tempfile
from pathlib import Path


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file in one step; it and its folder's entry are on the disk when this returns.

    Args:
        path: the file; its folder is there.
        content: all of it.
        mode: who may read it; its owner alone by default.

    Raises:
        OSError: the system refuses.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
        sync(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """A folder's entries on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
