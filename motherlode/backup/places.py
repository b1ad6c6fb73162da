"""Which folders hold backups of a home, and the copy of the erasure ledger that each of them keeps.

`backups.json` in the home names the folders. Each has a `tombstones.jsonl`: the home's ledger outlives the home there,
so that a restored backup does not bring back who was erased after it was taken.
"""

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from motherlode.errors import DataError
from motherlode.online.tombstones import LEDGER, Tombstone
from motherlode.settings import Settings

PLACES: Final = "backups.json"
"""Below home."""


def known(settings: Settings) -> list[Path]:
    """The folders that hold backups of this home, as they were registered; they need not be there now.

    Raises:
        DataError: `backups.json` cannot be read.
    """
    path = settings.home / PLACES
    try:
        return [Path(each) for each in msgspec.json.decode(path.read_bytes(), type=list[str])]
    except FileNotFoundError:
        return []
    except msgspec.DecodeError as error:
        raise DataError(
            f"{path} is no list of folders: {error}.",
            "Remove it, then run `motherlode backup` into each folder that holds backups of this home.",
        ) from None


def register(settings: Settings, folder: Path) -> None:
    """Remember that a folder holds backups of this home. Twice is once."""
    folders, wanted = known(settings), folder.absolute()
    if wanted not in folders:
        content = msgspec.json.format(msgspec.json.encode([str(each) for each in (*folders, wanted)]), indent=1)
        _replace(settings.home / PLACES, content)


def tell(folder: Path, tombstones: Sequence[Tombstone]) -> int:
    """Append tombstones to the copy of the ledger in one folder; on the disk when this returns.

    Args:
        folder: that holds backups.
        tombstones: of the home's ledger; those that the copy has are left out.

    Returns:
        How many were not there.

    Raises:
        OSError: the folder is not there, or the system refuses to write: the backup after this tells it again.
        DataError: the copy holds a line that is no tombstone.
    """
    path = folder / LEDGER
    there = {(each.kind, each.digest) for each in told(folder)}
    new = [each for each in tombstones if (each.kind, each.digest) not in there]
    if new:
        with path.open("ab+") as file:
            file.seek(0, os.SEEK_END)
            whole = file.tell() == 0
            if not whole:
                file.seek(-1, os.SEEK_END)
                whole = file.read(1) == b"\n"
            # A line that a kill cut short is ended first; `told` passes over it.
            file.write((b"" if whole else b"\n") + b"".join(msgspec.json.encode(each) + b"\n" for each in new))
            file.flush()
            os.fsync(file.fileno())
    return len(new)


def told(folder: Path) -> list[Tombstone]:
    """The copy of the ledger in a folder; empty where nobody was erased.

    Raises:
        DataError: a line that is no tombstone, unless a kill cut it short.
    """
    path = folder / LEDGER
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return list(_tombstones(path, lines))


def _tombstones(path: Path, lines: Sequence[bytes]) -> Iterable[Tombstone]:
    for number, line in enumerate(lines, start=1):
        try:
            yield msgspec.json.decode(line, type=Tombstone)
        except msgspec.DecodeError as error:
            # What begins as a line and does not end as one was cut short by a kill: its erasure told it again.
            if line.startswith(b"{") and not line.endswith(b"}"):
                continue
            raise DataError(
                f"Line {number} of {path} is no tombstone: {error}.",
                "Restore it from a copy: without it a restored backup may bring back who was erased.",
            ) from None


def _replace(path: Path, content: bytes) -> None:
    """Write a small file in one step; on the disk when this returns."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
