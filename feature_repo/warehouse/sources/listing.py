"""What lies behind a path or a glob on this machine, and what of it cannot be read: nothing that matches is lost."""

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import Final

from feature_repo.warehouse.mapping.model import Format

_ANY_DEPTH: Final = "**"
_ALL: Final = ("*", _ANY_DEPTH)
_LEFT_OPEN: Final = (".", "_", "~$")
_UNFINISHED: Final = (".tmp", ".part", ".crc", ".swp", "~")
_KINDS: Final = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"))


def listed(folder: Path, pattern: str) -> dict[Path, str]:
    """The files and table folders that a path or a glob names, in natural order → why it cannot be read, or "".

    A glob leaves out what programs keep for themselves: names that begin with `.`, `_` or `~$`, or end in `.tmp`,
    `.part`, `.crc`, `.swp` or `~`. A folder that is no table is named with its problem, unless the glob goes into it
    by `**`. Pipes, sockets and links to nothing are never opened. What lies in a table that matches is the table's.

    Args:
        folder: where a relative pattern begins.
        pattern: a path, which may look like a glob; or a glob, whose `**` goes through any folders but hidden ones.
    """
    whole = folder / pattern
    if not is_glob(folder, pattern):
        problem = "" if _is_folder(whole) else problem_of(whole)
        return {whole: problem} if os.path.lexists(whole) else {}
    path = Path(pattern)
    base, names = (Path(path.anchor), path.parts[1:]) if path.is_absolute() else (folder, path.parts)
    found: dict[Path, str] = {}
    for entry, problem in _walk(base, names):
        if problem or not left_out(entry.name):
            found[entry] = found.get(entry) or problem or problem_of(entry)
    tables = {entry for entry in found if table_format(entry) is not None}
    deep = _ANY_DEPTH in names
    into = {above for entry in found for above in entry.parents} if deep else set()
    kept = {
        entry: problem
        for entry, problem in found.items()
        if tables.isdisjoint(entry.parents)
        and not (deep and problem == _is("a folder") and (names[-1] in _ALL or entry in into))
    }
    return dict(sorted(kept.items(), key=lambda each: _natural(each[0].as_posix())))


def is_glob(folder: Path, pattern: str) -> bool:
    """Whether a path stands for what matches it: it looks like a glob, and nothing is there by that very name."""
    return has_magic(pattern) and not os.path.lexists(folder / pattern)


def left_out(name: str) -> bool:
    """Whether a glob passes over a name: what a program hides, has left open or not finished."""
    return name.startswith(_LEFT_OPEN) or name.endswith(_UNFINISHED)


def table_format(path: Path) -> Format | None:
    """What a folder is a table of; None: it is none."""
    if _is_folder(path / "_delta_log"):
        return "delta"
    return "iceberg" if _is_folder(path) and any((path / "metadata").glob("*.metadata.json")) else None


def problem_of(path: Path) -> str:
    """Why what lies there can't be read, as the end of a sentence; "" for a file or a table folder. Opens nothing."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "is a link that leads back to itself"
        if error.errno == errno.ENOENT and path.is_symlink():
            return "is a link to what is not there"
        return f"cannot be looked at: {error.strerror}"
    if stat.S_ISREG(mode) or table_format(path) is not None:
        return ""
    return _is(next((kind for is_one, kind in _KINDS if is_one(mode)), "a device"))


def _natural(name: str) -> list[tuple[int, str]]:
    """A name as it is sorted: numbers by their value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _mode(path: Path) -> int:
    """What lies there, as `stat` says it; 0 where it does not say."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(_mode(path))


def _is(kind: str) -> str:
    return f"is {kind}, and no file"


def _walk(base: Path, names: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """What lies below a folder by these names, each a glob or not → why it cannot be gone into, or ""."""
    if not names:
        yield base, ""
        return
    name, rest = names[0], names[1:]
    if name == _ANY_DEPTH:
        for folder, problem in _folders(base, frozenset()):
            if problem:
                yield folder, problem
            else:
                yield from _walk(folder, rest or ("*",))
        return
    if _is_plain(base, name):
        steps, problem = [base / name] if os.path.lexists(base / name) else [], ""
    else:
        steps, problem = _entries(base, name)
    if problem:
        yield base, problem
    for step in steps:
        if rest and not _mode(step):
            yield step, problem_of(step)
        else:
            yield from _walk(step, rest)


def _is_plain(base: Path, name: str) -> bool:
    """Whether a name is no glob: a folder `shop [old]` is meant as it stands, where it is there."""
    return not has_magic(name) or ("*" not in name and "?" not in name and os.path.lexists(base / name))


def _folders(base: Path, above: frozenset[tuple[int, int]]) -> Iterator[tuple[Path, str]]:
    """A folder and all below it but hidden ones; a link to a folder above is not followed: all of it is listed."""
    entries, problem = _entries(base, "*")
    yield base, problem
    if problem or not _is_folder(base):
        return
    status = base.stat()
    here = above | {(status.st_dev, status.st_ino)}
    for entry in entries:
        if _is_folder(entry):
            status = entry.stat()
            if (status.st_dev, status.st_ino) not in here:
                yield from _folders(entry, here)
        elif not _mode(entry):
            yield entry, problem_of(entry)


def _entries(folder: Path, name: str) -> tuple[list[Path], str]:
    """What lies in a folder by a glob's name, and why it cannot be listed, or ""; nothing in what is no folder."""
    try:
        names = sorted(each.name for each in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return [], ""
    except OSError as error:
        return [], f"cannot be listed: {error.strerror}"
    return [
        folder / each
        for each in names
        if fnmatchcase(each, name) and (not each.startswith(".") or name.startswith("."))
    ], ""
