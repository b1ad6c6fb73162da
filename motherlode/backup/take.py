"""Take a backup of a home."""

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Final, Literal

import msgspec

from motherlode import __version__
from motherlode.backup import content, places
from motherlode.backup.folder import HEADER, KEEP_DAYS, Folder, locked, secret
from motherlode.backup.manifest import Entry, Manifest
from motherlode.errors import StoreError
from motherlode.lock import exclusive
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings

_TRIES: Final = 8
"""Times that a home is looked through where somebody changes it meanwhile."""
_PAUSE_S: Final = 0.1

Advance = Callable[[int, int], None]
"""Told how many bytes of how many are done."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was taken.

    Attributes:
        manifest: of it.
        read: files that were read; the others were as in the backup before.
        stored: bytes that were not in the folder before.
        expired: ids of backups that were removed, because they were older than the folder keeps them.
        freed: bytes of contents that no backup holds any more.
        problem: why nothing was removed: a backup in the folder cannot be read; "" where all is well.
        dropped: files of backups that could not be read and were removed: they are over, or this is a full one.
    """

    manifest: Manifest
    read: int
    stored: int
    expired: tuple[str, ...]
    freed: int
    problem: str = ""
    dropped: tuple[str, ...] = ()


def take(
    settings: Settings,
    path: Path,
    *,
    full: bool = False,
    keep_days: int | None = None,
    advance: Advance = lambda done, size: None,
) -> Taken:
    """Take a backup of the home into a folder; then remove what is older than the folder keeps.

    Args:
        settings: whose home, and the key to encrypt by.
        path: the folder; made where it is not there.
        full: read every file, store anew what is damaged in the folder, its tombstones too, and remove backups that
            cannot be read; else only files that were written since the backup before are read. The first is full
            either way.
        keep_days: how long a backup is kept from now on; as it was by default, `KEEP_DAYS` at first.
        advance: told of the bytes done.

    Raises:
        SettingsError: there is no key.
        StoreError: there is no home, another process changes it, the folder is another home's, was made by another
            key, or cannot be written; its tombstones are missing or were changed: no backup is added.
    """
    key = secret(settings)
    if not settings.home.is_dir():
        raise StoreError(f"There is no state in {settings.home}.", "Name its folder by --home.")
    if inside(path, settings.home) or inside(settings.home, path):
        raise StoreError(f"{path} and {settings.home} lie in one another.", "Name a folder on another disk.")
    with exclusive(settings), exclusive(settings, "warehouse"):
        mark = erasure_mark(settings)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(path, alone=True):
            folder = _folder(path, key, settings, mark, keep_days)
            ledger, telling = Tombstones(settings).all(), folder.seal.telling
            try:
                places.tell(path, telling, ledger)
            except StoreError:
                if not full:
                    raise
                places.tell(path, telling, ledger, anew=True)
            places.register(settings, path, telling)
            folder.clear()
            limit = datetime.now(UTC) - timedelta(days=folder.header.keep_days)
            before, damaged = folder.manifests()
            dropped = [path for path in damaged if full or Manifest.time(path) < limit]
            # What a damaged backup held nobody can tell: the next one reads all, and nothing old is removed.
            last = before[-1] if before and not damaged else None
            manifest, read, stored = _Copy(settings, folder, last, full, advance).run(mark)
            folder.enter(manifest)
            for each in dropped:  # over, or of no use to anybody beside the new one
                each.unlink(missing_ok=True)
            names = tuple(each.name for each in dropped)
            if problem := "; ".join(str(error) for each, error in damaged.items() if each not in dropped):
                return Taken(
                    manifest=manifest, read=read, stored=stored, expired=(), freed=0, problem=problem, dropped=names
                )
            expired, freed = expire(folder, [*before, manifest], manifest.at)
    return Taken(manifest=manifest, read=read, stored=stored, expired=expired, freed=freed, dropped=names)


def erasure_mark(settings: Settings) -> str:
    """Tells the key of a home's tombstones from others. The key is made where there is none.

    So every backup holds the key that the ledger's copy is told by, also one that was taken before anybody was erased.
    """
    return Tombstones(settings).digest("outside", "\0key")


def expire(folder: Folder, manifests: list[Manifest], now: datetime) -> tuple[tuple[str, ...], int]:
    """Remove backups older than the folder keeps, but never the newest, and contents that no backup holds.

    Args:
        folder: locked.
        manifests: all of it, the newest last.
        now: to judge ages by.

    Returns:
        The ids of those removed, and the bytes freed.
    """
    limit = now - timedelta(days=folder.header.keep_days)
    over = [each for each in manifests[:-1] if each.at < limit]
    for each in over:
        folder.drop(each)
    gone = {each.id for each in over}
    held = {folder.content(sha256) for each in manifests if each.id not in gone for sha256 in each.contents()}
    freed = 0
    for stored in folder.contents():
        if stored not in held:
            freed += stored.stat().st_size
            stored.unlink()
    return tuple(each.id for each in over), freed


def _folder(path: Path, key: str, settings: Settings, mark: str, keep_days: int | None) -> Folder:
    if not (path / HEADER).exists():
        return Folder.make(path, key, settings.project, mark, KEEP_DAYS if keep_days is None else keep_days)
    folder = Folder.open(path, key)
    if folder.header.erasure_key != mark:
        raise StoreError(
            f"{path} holds backups of another home than {settings.home}: the keys of their tombstones differ.",
            "Name a folder of its own for each home.",
        )
    if keep_days is not None and keep_days != folder.header.keep_days:
        folder.keep(keep_days)
    return folder


class _Copy:
    """One run through a home."""

    def __init__(
        self, settings: Settings, folder: Folder, before: Manifest | None, full: bool, advance: Advance
    ) -> None:
        self._settings = settings
        self._home = settings.home
        self._folder = folder
        self._kind: Literal["full", "incremental"] = "full" if full or before is None else "incremental"
        self._before: Mapping[str, Entry] = {} if before is None else {each.path: each for each in before.files}
        self._advance = advance
        # A full backup trusts nothing that lies in the folder: not what a killed one left either.
        self._check = self._kind == "full" and next(folder.contents(), None) is not None
        self._done: dict[str, Entry] = {}
        self._stored = 0

    def run(self, mark: str) -> tuple[Manifest, int, int]:
        """The manifest, how many files were read, and how many bytes were stored."""
        at = datetime.now(UTC)
        for attempt in range(1, _TRIES + 1):
            try:
                entries = tuple(self._entries())
                break
            except (_ChangedError, FileNotFoundError) as error:
                # What was read would be no state that ever was. What was stored is not stored again.
                if attempt == _TRIES:
                    raise StoreError(
                        f"{getattr(error, 'filename', error)} was changed while the home was read, {_TRIES} times.",
                        "Take the backup while nobody changes the home.",
                    ) from error
                time.sleep(_PAUSE_S * attempt)
        manifest = Manifest(
            id=secrets.token_hex(4),
            at=at,
            kind=self._kind,
            motherlode=__version__,
            project=self._settings.project,
            erasure_key=mark,
            mode=content.mode(self._home),
            files=entries,
        )
        return manifest, len(self._done), self._stored

    def _entries(self) -> Iterator[Entry]:
        naming = content.naming(self._home)
        found = content.files(self._home)
        size, done = sum((self._home / path).lstat().st_size for path in found), 0
        for path in found:
            entry = self._entry(path)
            done += entry.size
            self._advance(done, max(size, done))
            yield entry
        for path, _ in content.naming(self._home).items() ^ naming.items():
            raise _ChangedError(str(self._home / path))

    def _entry(self, path: PurePosixPath) -> Entry:
        here, name = self._home / path, str(path)
        if here.is_symlink():
            return Entry(path=name, link=str(here.readlink()))
        stamp = content.stamp(here)
        for known in (self._done, self._before if self._kind == "incremental" else {}):
            entry = known.get(name)
            if entry is not None and entry.stamp == stamp and self._folder.content(entry.sha256).exists():
                return entry
        mode, (size, sha256) = content.mode(here), self._content(here)
        self._done[name] = Entry(path=name, size=size, sha256=sha256, mode=mode, stamp=stamp)
        return self._done[name]

    def _content(self, path: Path) -> tuple[int, str]:
        """Store a file's content; its size and digest."""
        if self._check:
            size, sha256 = _measured(path)
            if _sound(self._folder, sha256):
                return size, sha256
            self._folder.content(sha256).unlink(missing_ok=True)
        measure = _Measure()
        if self._folder.store(measure.through(_reading(path)), measure.digest):
            self._stored += measure.size
        return measure.size, measure.digest()


class _Measure:
    """The size and the digest of what passes through."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()

    def through(self, parts: Iterator[bytes]) -> Iterator[bytes]:
        for part in parts:
            self.size += len(part)
            self._hash.update(part)
            yield part

    def digest(self) -> str:
        return self._hash.hexdigest()


def _measured(path: Path) -> tuple[int, str]:
    measure = _Measure()
    for _ in measure.through(_reading(path)):
        pass
    return measure.size, measure.digest()


class _ChangedError(Exception):
    """A file is gone, or names others than it did; its text is its path."""


def _reading(path: Path) -> Iterator[bytes]:
    """`content.parts`, whose errors are told from those of the folder that is written to."""
    try:
        yield from content.parts(path)
    except FileNotFoundError:
        raise _ChangedError(str(path)) from None
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be read: {error}.", "Check that it is yours, and that its disk is.") from error


def _sound(folder: Folder, sha256: str) -> bool:
    """Whether a content is stored and unchanged."""
    measure = _Measure()
    try:
        for _ in measure.through(folder.seal.read(folder.content(sha256))):
            pass
    except StoreError:
        return False
    return measure.digest() == sha256


def inside(path: Path, other: Path) -> bool:
    """Whether a path is another or lies in it."""
    return path.resolve().is_relative_to(other.resolve())
