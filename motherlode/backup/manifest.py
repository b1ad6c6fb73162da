"""What a backup is: the files of a home at one time, each by the digest of its content."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self

import msgspec

from motherlode.errors import StoreError

VERSION: Final = 1
SUFFIX: Final = ".manifest"
_STAMP: Final = "%Y%m%dT%H%M%SZ"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the home.

    Attributes:
        path: below home.
        size: bytes.
        sha256: of its content; "" for a link.
        mode: permission bits.
        stamp: size, time of change in ns and inode when it was read: the next incremental backup does not read a file
            that has them still.
        link: where a symbolic link leads; "" for a file.
    """

    path: str
    size: int = 0
    sha256: str = ""
    mode: int = 0o644
    stamp: tuple[int, ...] = ()
    link: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One backup. It names every file of the home, so that it can be restored without any other.

    Attributes:
        version: of this form.
        id: 8 hex digits.
        at: when it began, UTC.
        kind: `full`: every file was read; `incremental`: those that were written since the one before.
        motherlode: the version that took it.
        project: the Feast project.
        erasure_key: tells the key of the home's tombstones from others.
        mode: of the home folder.
        files: in the order they were read.
    """

    version: int = VERSION
    id: str
    at: datetime
    kind: Literal["full", "incremental"]
    motherlode: str
    project: str
    erasure_key: str
    mode: int
    files: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """Of its file: when, and its id."""
        return f"{self.at:{_STAMP}}-{self.id}{SUFFIX}"

    @staticmethod
    def time(path: Path) -> datetime:
        """When a backup began, as the name of its file has it; the earliest time there is where it has none."""
        try:
            return datetime.strptime(path.name.partition("-")[0], _STAMP).replace(tzinfo=UTC)
        except ValueError:
            return datetime.min.replace(tzinfo=UTC)

    @property
    def size(self) -> int:
        """Bytes of the home's files."""
        return sum(each.size for each in self.files)

    def contents(self) -> set[str]:
        """The digests of all contents."""
        return {each.sha256 for each in self.files if each.sha256}

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> Self:
        """From what `to_bytes` made.

        Raises:
            StoreError: another version of Motherlode wrote it.
        """
        try:
            found = msgspec.msgpack.decode(content, type=cls)
        except msgspec.DecodeError as error:
            raise StoreError(
                f"{name} is of another form: {error}.", "Use the Motherlode that took the backup."
            ) from None
        if found.version != VERSION:
            raise StoreError(
                f"{name} is of version {found.version}; this Motherlode reads {VERSION}.",
                "Use the Motherlode that took the backup.",
            )
        return found

    def to_bytes(self) -> bytes:
        """MessagePack."""
        return msgspec.msgpack.encode(self)
