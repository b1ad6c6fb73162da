"""Restore a home from its backup, without those who were erased since.

The home is made beside its place, in `.<name>.restoring`, and moved there when it is whole and nobody's erasure is
undone in it: until then there is no home that any command would use. One that was killed is begun anew.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from motherlode import audit
from motherlode.backup import places, take
from motherlode.backup.folder import Folder, locked, secret
from motherlode.backup.manifest import Entry, Manifest
from motherlode.errors import StoreError
from motherlode.lock import exclusive
from motherlode.online import tombstones
from motherlode.online.tombstones import Tombstone, Tombstones
from motherlode.settings import Settings

_LEDGER: Final = f"{tombstones.FOLDER}/{tombstones.LEDGER}"
_NOT_YET: Final = "RESTORING"
"""A file in a home that is not whole yet, for people who find it."""
_SIGNS: Final = ("warehouse.json", audit.LOG, "registry.db", places.PLACES)
"""What tells a home from any other folder: one of these lies in it."""
_DAMAGED: Final = (
    "Restore the folder of backups from a copy, or another backup by --at: `motherlode backup FOLDER --list` shows all."
)

Advance = Callable[[int, int], None]
"""Told how many bytes of how many are done."""


def _quiet(done: int, size: int) -> None:
    """Told, and says nothing."""


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """A home that is whole, but for the erasures that are to be done again in it.

    Attributes:
        settings: of it, where it lies now.
        manifest: the backup that it is of.
        erased: how many identifiers its ledger holds.
        later: how many of them were erased after the backup was taken.
        damaged: why other backups of the folder cannot be read.
    """

    settings: Settings
    manifest: Manifest
    erased: int
    later: int
    damaged: tuple[str, ...] = ()


def listed(settings: Settings, path: Path) -> tuple[Folder, list[Manifest], list[str]]:
    """A folder, its backups, the newest last, and why others cannot be read.

    Raises:
        StoreError, SettingsError: there is no key or another one, or no folder of backups.
    """
    key = secret(settings)
    with locked(path, alone=False):
        folder = Folder.open(path, key)
        manifests, damaged = folder.manifests()
        return folder, manifests, list(map(str, damaged.values()))


def verify(settings: Settings, path: Path, advance: Advance = _quiet) -> int:
    """Read and authenticate every backup of a folder, and each content once; returns the bytes read.

    Raises:
        StoreError, SettingsError: as `listed`; a backup, a content or the tombstones are missing or were changed,
            naming it.
    """
    key = secret(settings)
    with locked(path, alone=False):
        folder = Folder.open(path, key)
        manifests, damaged = folder.manifests()
        for error in damaged.values():
            raise error
        places.told(path, folder.seal.telling)
        entries = {each.sha256: each for manifest in manifests for each in manifest.files if each.sha256}
        size, done = sum(each.size for each in entries.values()), 0
        for entry in entries.values():
            for part in _opened(folder, entry):
                done += len(part)
                advance(done, size)
    return size


@contextmanager
def restored(
    settings: Settings,
    path: Path,
    *,
    at: str = "",
    force: bool = False,
    without_tombstones: bool = False,
    advance: Advance = _quiet,
) -> Iterator[Restored]:
    """Make a home from a backup; it is in its place when the block ends well, and nothing is left of it else.

    The block does again, in the home that it is given, the erasures that the ledger tells of.

    Args:
        settings: `home`, where it is to lie, and the key.
        path: the folder of backups.
        at: the beginning of a backup's id, or a time (ISO 8601; UTC where it has no zone): the newest backup not after
            it. "": the newest.
        force: replace a home that lies there.
        without_tombstones: go on where the folder's tombstones are missing or were changed, with those of its backups:
            who was erased after the newest one comes back.
        advance: told of the bytes done.

    Raises:
        StoreError, SettingsError: there is no key or another one; the backup or the tombstones are missing or were
            changed; there is no such backup; something lies where the home is to be; its
            tombstones are told by another key; it cannot be written.
        DataError: a ledger cannot be read.
    """
    key, home = secret(settings), settings.home.resolve()
    _check_place(home, path, force)
    beside = home.with_name(f".{home.name}.restoring")
    with ExitStack() as stack:
        stack.enter_context(locked(path, alone=False))
        folder = Folder.open(path, key)
        manifests, damaged = folder.manifests()
        if not manifests:
            for error in damaged.values():
                raise error
        manifest = chosen(manifests, at, path)
        since = _told(folder, without_tombstones)
        _make(beside)
        made = replace(settings, home=beside)
        stack.enter_context(exclusive(made, "restore"))
        if home.is_dir() and any(home.iterdir()):
            stack.enter_context(exclusive(settings))
            stack.enter_context(_unused(settings))
        try:
            _clear(beside)
            _write(folder, manifest, beside, advance)
            later = _merge(folder, [*since, *_ledger_of(folder, manifests[-1])], made, manifest, home)
            yield Restored(
                settings=made,
                manifest=manifest,
                erased=len(Tombstones(made)),
                later=later,
                damaged=tuple(map(str, damaged.values())),
            )
            places.register(made, path, folder.seal.telling)
            (beside / _NOT_YET).unlink()
            (beside / "restore.lock").unlink()
            beside.chmod(manifest.mode)
            os.sync()
            _swap(beside, home)
        except OSError as error:
            raise StoreError(
                f"{home} cannot be restored: {error.filename or beside}: {error.strerror or error}.",
                "Make room on its disk, or name another place by --home.",
            ) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def chosen(manifests: list[Manifest], at: str, path: Path) -> Manifest:
    """The backup meant by the beginning of an id, or by a time.

    Raises:
        StoreError: there is none, or several.
    """
    if not manifests:
        raise StoreError(f"There is no backup in {path}.", "`motherlode backup FOLDER` takes one.")
    if not at:
        return manifests[-1]
    if found := [each for each in manifests if each.id.startswith(at)]:
        if len(found) > 1:
            raise StoreError(
                f"Several backups' ids begin with {at!r}.", f"Ids: {', '.join(each.id for each in found)}."
            )
        return found[0]
    known = (
        f"The first is of {manifests[0].at:%Y-%m-%d %H:%M:%S} UTC, the last of {manifests[-1].at:%Y-%m-%d %H:%M:%S}."
    )
    try:
        time = datetime.fromisoformat(at)
    except ValueError:
        raise StoreError(
            f"{at!r} is neither the id of a backup that can be read nor a time.",
            f"`motherlode backup FOLDER --list` shows all. {known}",
        ) from None
    time = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    if before := [each for each in manifests if each.at <= time]:
        return before[-1]
    raise StoreError(f"There is no backup of {time:%Y-%m-%d %H:%M:%S %Z} or before.", known)


def _check_place(home: Path, path: Path, force: bool) -> None:
    if take.inside(path, home) or take.inside(home, path):
        raise StoreError(f"{path} and {home} lie in one another.", "Name another place by --home.")
    if home.exists() and not home.is_dir():
        raise StoreError(f"{home} is a file.", "Name a folder by --home.")
    if home.is_dir() and any(home.iterdir()) and not force:
        raise StoreError(
            f"{home} is not empty.", "Name another folder by --home, or replace what lies there by --force."
        )
    if home.is_dir() and any(home.iterdir()) and not any((home / name).exists() for name in _SIGNS):
        raise StoreError(f"{home} is no home of Motherlode's, and is not replaced.", "Name another folder by --home.")
    if home.is_mount():
        raise StoreError(f"{home} is where a disk is mounted.", "Name a folder below it by --home.")


@contextmanager
def _unused(settings: Settings) -> Iterator[None]:
    """Nobody uses the embedded server of a home that is replaced, and nobody starts it."""
    users = settings.valkey / "users.lock"
    if not users.exists():
        yield
        return
    with users.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"The embedded Valkey of {settings.home} is in use.", "Stop the servers that run on it, then restore."
            ) from None
        yield


def _make(beside: Path) -> None:
    beside.mkdir(mode=0o700, parents=True, exist_ok=True)
    (beside / _NOT_YET).write_text("A restore is under way, or was killed. Run `motherlode restore` again.\n")


def _clear(beside: Path) -> None:
    """Remove what a restore that was killed left."""
    for left in beside.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        elif left.name not in (_NOT_YET, "restore.lock"):
            left.unlink()


def _write(folder: Folder, manifest: Manifest, home: Path, advance: Advance) -> None:
    done = 0
    for entry in manifest.files:
        target = _below(home, entry)
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.link:
            target.symlink_to(entry.link)
            continue
        with target.open("xb") as file:
            for part in _opened(folder, entry):
                file.write(part)
                done += len(part)
                advance(done, manifest.size)
        target.chmod(entry.mode)
        os.utime(target, ns=(entry.stamp[1], entry.stamp[1]))


def _opened(folder: Folder, entry: Entry) -> Iterator[bytes]:
    """An entry's content, held against its digest when all of it was given out."""
    path, measure, size = folder.content(entry.sha256), hashlib.sha256(), 0
    for part in folder.seal.read(path):
        measure.update(part)
        size += len(part)
        yield part
    if (measure.hexdigest(), size) != (entry.sha256, entry.size):
        raise StoreError(f"{path} is not what {entry.path} was.", _DAMAGED)


def _below(home: Path, entry: Entry) -> Path:
    """Where an entry goes; never out of the home, whoever wrote its path."""
    path = PurePosixPath(entry.path)
    if path.is_absolute() or ".." in path.parts:
        raise StoreError(f"The backup names {entry.path!r}, outside the home.", _DAMAGED)
    return home / path


def _told(folder: Folder, without_tombstones: bool) -> list[Tombstone]:
    """The folder's own tombstones."""
    try:
        return places.told(folder.path, folder.seal.telling)
    except StoreError:
        if not without_tombstones:
            raise
        return []


def _merge(folder: Folder, found: Sequence[Tombstone], made: Settings, manifest: Manifest, home: Path) -> int:
    """Put every tombstone that is known of into the home's ledger; returns how many the backup lacked.

    Known of are those of the folder's copy and of its newest backup (`found`), and of the home that is replaced.
    """
    if take.erasure_mark(made) != manifest.erasure_key or manifest.erasure_key != folder.header.erasure_key:
        raise StoreError(
            f"The key of the tombstones in backup {manifest.id} is not the one that the ledger is told by.",
            "Set MOTHERLODE_ERASURE_KEY as it was when the backup was taken, or unset it where it was not set.",
        )
    ledger = Tombstones(made)
    before = replace(made, home=home)
    if (home / _LEDGER).exists() and take.erasure_mark(before) == manifest.erasure_key:
        found = [*found, *Tombstones(before).all()]
    every = {(each.kind, each.digest): each for each in found}
    return ledger.add(list(every.values())) if every else 0


def _ledger_of(folder: Folder, manifest: Manifest) -> list[Tombstone]:
    entry = next((each for each in manifest.files if each.path == _LEDGER), None)
    if entry is None:
        return []
    content = b"".join(_opened(folder, entry)).rpartition(b"\n")[0]
    return list(tombstones.parsed(content, f"{_LEDGER} in backup {manifest.id}"))


def _swap(beside: Path, home: Path) -> None:
    """Put the new home in its place. What it replaces is moved aside first, so that a kill loses neither."""
    aside = home.with_name(f".{home.name}.replaced")
    if home.is_dir() and any(home.iterdir()):
        shutil.rmtree(aside, ignore_errors=True)
        home.rename(aside)
    beside.rename(home)
    shutil.rmtree(aside, ignore_errors=True)
