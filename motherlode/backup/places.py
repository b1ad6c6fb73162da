"""Which folders hold backups of a home, and the copy of the erasure ledger that each of them keeps.

`backups.json` in the home names the folders, with the key that vouches for each one's tombstones. Each has a
`tombstones.jsonl` from its first backup on, also where nobody was erased: the home's ledger outlives the home there,
so that a restored backup does not bring back who was erased after it was taken. Its last line is a MAC of all the
others: a file that is missing, was cut or changed is refused. Nobody can tell that it is as a whole one of before.
"""

import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from motherlode import disk
from motherlode.errors import DataError, StoreError
from motherlode.online.tombstones import LEDGER, Tombstone, parsed, written
from motherlode.settings import Settings

PLACES: Final = "backups.json"
"""Below home."""
_REMEDY: Final = (
    "Restore it from a copy of the folder; where the home is there, `motherlode backup FOLDER --full` writes it anew; "
    "else `motherlode restore --without-tombstones` brings back who was erased after the newest backup."
)


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that holds backups of a home.

    Attributes:
        folder: as it was registered; it need not be there now.
        key: vouches for its tombstones, hex (`Seal.telling`).
    """

    folder: str
    key: str

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder)

    @property
    def telling(self) -> bytes:
        """The key."""
        return bytes.fromhex(self.key)


class _Vouching(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last line of a folder's tombstones: how many there are, and the MAC of their lines."""

    tombstones: int
    mac: str


def known(settings: Settings) -> list[Registered]:
    """The folders that hold backups of this home.

    Raises:
        DataError: `backups.json` cannot be read.
    """
    path = settings.home / PLACES
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Registered])
    except FileNotFoundError:
        return []
    except msgspec.DecodeError as error:
        raise DataError(
            f"{path} is no list of folders: {error}.",
            "Remove it, then run `motherlode backup` into each folder that holds backups of this home.",
        ) from None


def register(settings: Settings, folder: Path, telling: bytes) -> None:
    """Remember that a folder holds backups of this home. Twice is once.

    Args:
        settings: whose home.
        folder: of the backups.
        telling: the key that vouches for its tombstones.
    """
    wanted = Registered(folder=str(folder.absolute()), key=telling.hex())
    before = known(settings)
    after = [each for each in before if each.folder != wanted.folder or each == wanted]
    after = after if wanted in after else [*after, wanted]
    if after != before:
        path = settings.home / PLACES
        disk.replace(path, msgspec.json.format(msgspec.json.encode(after), indent=1))
        path.chmod(0o600)


def tell(folder: Path, telling: bytes, tombstones: Sequence[Tombstone], *, anew: bool = False) -> int:
    """Add tombstones to the copy of the ledger in one folder; on the disk when this returns.

    Args:
        folder: that holds backups.
        telling: the key that vouches for its tombstones.
        tombstones: of the home's ledger; those that the copy has are left out.
        anew: write it anew, whatever lies there.

    Returns:
        How many were not there.

    Raises:
        OSError: the folder is not there, or the system refuses to write: the backup after this tells it again.
        StoreError: the copy is missing or was changed.
    """
    if not folder.is_dir():
        raise FileNotFoundError(2, "No such file or directory", str(folder))
    before = [] if anew else told(folder, telling)
    there = {(each.kind, each.digest) for each in before}
    new = [each for each in tombstones if (each.kind, each.digest) not in there]
    if new or anew:
        lines, count = written([*before, *new]), len(before) + len(new)
        last = _Vouching(tombstones=count, mac=_mac(telling, lines, count))
        disk.replace(folder / LEDGER, lines + msgspec.json.encode(last) + b"\n")
    return len(new)


def told(folder: Path, telling: bytes) -> list[Tombstone]:
    """The copy of the ledger in a folder.

    Args:
        folder: that holds backups.
        telling: the key that vouches for its tombstones.

    Raises:
        StoreError: it is missing or was changed; nobody can tell then who is not to come back.
    """
    path = folder / LEDGER
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise StoreError(f"{path} is missing: it says who was erased since the backups were taken.", _REMEDY) from None
    lines = content[: content.rfind(b"\n", 0, -1) + 1]
    try:
        last = msgspec.json.decode(content[len(lines) :], type=_Vouching)
    except msgspec.DecodeError:
        raise _changed(path) from None
    mine = _mac(telling, lines, last.tombstones).encode()
    if not hmac.compare_digest(mine, last.mac.encode()) or not content.endswith(b"}\n"):
        raise _changed(path)
    return list(parsed(lines, str(path)))


def _changed(path: Path) -> StoreError:
    return StoreError(f"{path} was changed or cut short.", _REMEDY)


def _mac(key: bytes, lines: bytes, count: int) -> str:
    return hmac.digest(key, b"%d\0" % count + lines, "sha256").hex()
