"""A folder of backups.

    folder.json                      salt, retention and whose backups these are; in the clear, with a MAC
    manifests/<utc>-<id>.manifest    one backup each, sealed
    objects/<2 hex>/<64 hex>         one content each, sealed, once for all backups that hold it
    tombstones.jsonl                 the copy of the home's erasure ledger, with a MAC (`motherlode.backup.places`)

A file gets its name when it is whole and on the disk, a manifest after all that it names: a backup that is killed does
not count, and what it stored is used by the next one or removed.
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Self

import msgspec

from motherlode import disk
from motherlode.backup import places
from motherlode.backup.manifest import SUFFIX, Manifest
from motherlode.backup.seal import SALT, SEGMENT, Seal
from motherlode.errors import SettingsError, StoreError
from motherlode.online.tombstones import LEDGER
from motherlode.settings import Settings

HEADER: Final = "folder.json"
KEEP_DAYS: Final = 35
"""How long a backup is kept where nobody says."""
_VERSION: Final = 1
_WRITING: Final = ".writing-"
_OBJECTS: Final = "objects"
_MANIFESTS: Final = "manifests"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder says of itself.

    Attributes:
        version: of the folder's form.
        salt: of its key, hex.
        keep_days: how long a backup is kept.
        project: the Feast project whose backups lie here.
        erasure_key: tells the key of its tombstones from others.
        check: made by the folder's key: tells a wrong key from a changed file.
        mac: of all the above.
    """

    version: int = _VERSION
    salt: str
    keep_days: int
    project: str
    erasure_key: str
    check: str
    mac: str = ""

    def content(self) -> bytes:
        """What `mac` vouches for."""
        return msgspec.json.encode(msgspec.structs.replace(self, mac=""), order="deterministic")


class Folder:
    """An open folder of backups. Use `opened` or `made`.

    Attributes:
        path: of it.
        header: what it says of itself.
        seal: opens what lies in it.
    """

    def __init__(self, path: Path, header: Header, seal: Seal) -> None:
        self.path = path
        self.header = header
        self.seal = seal

    @classmethod
    def open(cls, path: Path, secret: str) -> Self:
        """A folder that is there.

        Raises:
            StoreError: it is no folder of backups, or was changed, or the key is another one.
        """
        file = path / HEADER
        try:
            header = msgspec.json.decode(file.read_bytes(), type=Header)
            salt = bytes.fromhex(header.salt)
        except FileNotFoundError:
            raise StoreError(f"There is no backup in {path}.", "`motherlode backup FOLDER` makes one.") from None
        except (msgspec.DecodeError, ValueError) as error:
            raise StoreError(f"{file} cannot be read: {error}.", "Restore it from a copy of the folder.") from None
        if header.version != _VERSION:
            raise StoreError(
                f"{file} is of version {header.version}; this Motherlode reads {_VERSION}.",
                "Use the Motherlode that made it.",
            )
        seal = Seal(secret, salt)
        if header.check != seal.mac(salt):
            raise StoreError(
                f"The backups in {path} were made by another MOTHERLODE_BACKUP_KEY.",
                "Set MOTHERLODE_BACKUP_KEY (or MOTHERLODE_BACKUP_KEY_FILE) as it was then.",
            )
        if header.mac != seal.mac(header.content()):
            raise StoreError(f"{file} was changed.", "Restore it from a copy of the folder.")
        return cls(path, header, seal)

    @classmethod
    def make(cls, path: Path, secret: str, project: str, erasure_key: str, keep_days: int) -> Self:
        """A new one, in an empty folder or none.

        Raises:
            StoreError: something else lies there, or it cannot be written.
        """
        others = [each.name for each in path.iterdir() if not each.name.startswith(".")] if path.is_dir() else []
        if others == [LEDGER]:
            others = []  # of a first backup that was killed: it is written before the folder's own file
        if others:
            raise StoreError(
                f"{path} holds something else: {sorted(others)[0]}, and no {HEADER}.", "Name an empty folder."
            )
        salt = secrets.token_bytes(SALT)
        seal = Seal(secret, salt)
        header = Header(
            salt=salt.hex(), keep_days=keep_days, project=project, erasure_key=erasure_key, check=seal.mac(salt)
        )
        folder = cls(path, header, seal)
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            places.tell(path, seal.telling, [], anew=True)
        except OSError as error:
            raise _unwritable(path, error) from error
        folder.keep(keep_days)
        return folder

    def keep(self, days: int) -> None:
        """Change how long a backup is kept."""
        wanted = msgspec.structs.replace(self.header, keep_days=days, mac="")
        self.header = msgspec.structs.replace(wanted, mac=self.seal.mac(wanted.content()))
        content = msgspec.json.format(msgspec.json.encode(self.header), indent=1)
        self._write(self.path / HEADER, lambda file: file.write(content))

    # ----------------------------------------------------------------------- contents

    def content(self, sha256: str) -> Path:
        """Where the content with this digest lies, if it does."""
        name = self.seal.name(sha256)
        return self.path / _OBJECTS / name[:2] / name

    def store(self, parts: Iterable[bytes], digest: Callable[[], str]) -> bool:
        """Seal one content.

        Args:
            parts: of `SEGMENT` bytes each but for the last.
            digest: its SHA-256, asked for when all parts were taken.

        Returns:
            Whether it was not there.

        Raises:
            StoreError: it cannot be written.
        """
        new = True

        def target() -> Path | None:
            nonlocal new
            path = self.content(digest())
            new = not path.exists()
            return path if new else None

        self._write(target, lambda file: self.seal.write(parts, file))
        return new

    def contents(self) -> Iterator[Path]:
        """Every stored content."""
        return (self.path / _OBJECTS).glob("??/*")

    # ----------------------------------------------------------------------- manifests

    def manifests(self) -> tuple[list[Manifest], dict[Path, StoreError]]:
        """Every backup that can be read, the newest last; and why the others cannot."""
        found, damaged = [], {}
        for path in sorted((self.path / _MANIFESTS).glob(f"*{SUFFIX}")):
            try:
                found.append(self._manifest(path))
            except StoreError as error:  # every backup stands by itself
                damaged[path] = error
        return sorted(found, key=lambda each: (each.at, each.id)), damaged

    def _manifest(self, path: Path) -> Manifest:
        return Manifest.from_bytes(b"".join(self.seal.read(path)), str(path))

    def enter(self, manifest: Manifest) -> None:
        """Make it count, now that all that it names is stored."""
        content = manifest.to_bytes()
        pieces = [content[start : start + SEGMENT] for start in range(0, len(content), SEGMENT)]
        self._write(self.path / _MANIFESTS / manifest.name, lambda file: self.seal.write(pieces, file))

    def drop(self, manifest: Manifest) -> None:
        """It counts no more."""
        (self.path / _MANIFESTS / manifest.name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what is not whole: backups that were killed left it. The folder must be locked."""
        for folder in (self.path, self.path / _MANIFESTS, *(self.path / _OBJECTS).glob("??")):
            for left in folder.glob(f"{_WRITING}*"):
                left.unlink(missing_ok=True)

    # ----------------------------------------------------------------------- writing

    def _write(self, path: Path | Callable[[], Path | None], write: Callable[[BinaryIO], object]) -> None:
        """A file that is whole and on the disk, or not there. Its name may be known only when it is written."""
        temporary = self.path / f"{_WRITING}{secrets.token_hex(8)}"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                temporary.chmod(0o600)
                write(file)
                file.flush()
                os.fsync(file.fileno())
            target = path() if callable(path) else path
            if target is not None:
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                temporary.replace(target)
                disk.sync(target.parent)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        finally:
            with suppress(OSError):  # where the folder cannot be, neither can it
                temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, alone: bool) -> Iterator[None]:
    """Hold a folder of backups: alone to change it, with others to read.

    Raises:
        StoreError: another process holds it.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror}.", "Name the folder of the backups.") from None
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StoreError(f"Another process uses the backups in {path}.", "Wait for it to end.") from None
    finally:
        os.close(handle)


def secret(settings: Settings) -> str:
    """The key of backups.

    Raises:
        SettingsError: there is none.
    """
    if settings.backup_key is None:
        raise SettingsError(
            "There is no key to encrypt backups by.",
            "Set MOTHERLODE_BACKUP_KEY or MOTHERLODE_BACKUP_KEY_FILE (`motherlode keys new` makes one), and keep a "
            "copy of it apart from the backups: without it nothing can be restored.",
        )
    return settings.backup_key


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be written: {error.strerror or error}.",
        "Make room on its disk, or name another folder; the backups that are there stay.",
    )
