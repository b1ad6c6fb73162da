"""What of a home belongs to its backup, and how each file is read so that it is whole.

Everything does but what is rebuilt or belongs to a process: the embedded Valkey, logs, locks, sockets, files that are
not whole yet. Online rows are rebuilt by `motherlode materialize`, and the live views by replaying the events in raw.
"""

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Final

from motherlode import audit
from motherlode.backup.seal import SEGMENT
from motherlode.errors import StoreError

LEFT_OUT: Final = frozenset({"valkey", "logs", "run", "scratch", "spill"})
"""Folders below home that are rebuilt, or belong to processes that run now."""
_UNFINISHED: Final = "."
"""What a file's or a folder's name begins with while it is written, or while a job goes on."""
_SQLITE: Final = b"SQLite format 3\0"
_SQLITE_BESIDE: Final = ("-journal", "-wal", "-shm")


def files(home: Path) -> list[PurePosixPath]:
    """Every file and link of a home that belongs to its backup, below home, in the order to read them.

    What says which files make up a layer comes first; `take` looks at the end whether it still says so.

    Raises:
        StoreError: a file's name is no text.
    """
    found = [path for path in _walk(home, PurePosixPath()) if _belongs(path)]
    for path in found:
        if not str(path).isprintable():
            raise StoreError(f"The name {str(path)!r} in {home} cannot be written down.", "Rename the file.")
    return sorted(found, key=lambda path: (not names_others(path), str(path)))


def names_others(path: PurePosixPath) -> bool:
    """Whether a file may say which other files make up the home."""
    return path.suffix == ".json" or str(path) == "models/current"


def _walk(home: Path, below: PurePosixPath) -> Iterator[PurePosixPath]:
    with os.scandir(home / below) as entries:
        for entry in entries:
            path = below / entry.name
            if entry.is_dir(follow_symlinks=False):
                if str(path) not in LEFT_OUT and not entry.name.startswith(_UNFINISHED):
                    yield from _walk(home, path)
            elif entry.is_symlink() or entry.is_file():
                yield path


def _belongs(path: PurePosixPath) -> bool:
    return not (path.suffix == ".lock" or path.name.startswith(_UNFINISHED) or path.name.endswith(_SQLITE_BESIDE))


def naming(home: Path) -> dict[PurePosixPath, tuple[int, int, int]]:
    """The files that may say which others make up the home, with their stamps."""
    return {path: stamp(home / path) for path in files(home) if names_others(path)}


def parts(path: Path) -> Iterator[bytes]:
    """A file's content as it is at one moment, `SEGMENT` bytes at a time.

    A file that is appended to is read as far as it went when it was opened; the audit log and its head while nobody
    writes to them; an SQLite database by SQLite's own online backup, so that no half transaction is in it.

    Raises:
        OSError: it is gone, or cannot be read.
        sqlite3.Error: a database cannot be read.
    """
    if path.name in (audit.LOG, audit.HEAD):
        with (path.parent / audit.LOG).open("rb") as log:
            fcntl.flock(log, fcntl.LOCK_SH)
            yield from _pieces(path.read_bytes())
        return
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        first = file.read(min(size, SEGMENT))
        if first.startswith(_SQLITE):
            yield from _pieces(_database(path))
            return
        yield first
        done = len(first)
        while done < size:
            piece = file.read(min(size - done, SEGMENT))
            if not piece:
                return
            yield piece
            done += len(piece)


def _pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content) or 1, SEGMENT):
        yield content[start : start + SEGMENT]


def _database(path: Path) -> bytes:
    """A registry has a few megabytes: it is copied in memory, not in clear beside the backup."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as source, closing(sqlite3.connect(":memory:")) as copy:
        source.backup(copy)
        return bytes(copy.serialize())


def stamp(path: Path) -> tuple[int, int, int]:
    """Tells whether a file was written since: its size, its time of change in ns, its inode."""
    found = path.stat(follow_symlinks=False)
    ahead = path.with_name(f"{path.name}-wal")
    # SQLite may keep what was written last beside the database.
    changed = max(found.st_mtime_ns, ahead.stat().st_mtime_ns) if ahead.exists() else found.st_mtime_ns
    return found.st_size, changed, found.st_ino


def mode(path: Path) -> int:
    """A file's permission bits."""
    return stat.S_IMODE(path.stat(follow_symlinks=False).st_mode)
