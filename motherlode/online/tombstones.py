"""Who asked to be forgotten: keyed digests, which say so of whoever is asked about and of nobody else.

`erasure/tombstones.jsonl` below home is the ledger, append-only; the guards in Redis hold the digests of customers'
join keys and are filled from it. The key lies beside it, or comes from MOTHERLODE_ERASURE_KEY where several machines
write: without it nobody can tell whom a digest is of. It never changes: digests made by another key say nothing.
"""

import fcntl
import hmac
import os
import secrets
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Literal

import msgspec

from motherlode import disk
from motherlode.errors import DataError, StoreError
from motherlode.online.keys import bucket, erasure_key, guard_key
from motherlode.online.live import LIVE_FIELD
from motherlode.settings import Settings

FOLDER: Final = "erasure"
LEDGER: Final = "tombstones.jsonl"
KEY: Final = "key"
_KEY_BYTES: Final = 32
_DIGEST: Final = 32
"""Hex digits of a digest: 128 bits."""

Kind = Literal["outside", "customer", "visitor", "email", "key", "access"]
"""What is digested: an id as the company has it, a join key in Redis' entity text, another identifier, or the key of a
row of theirs, such as an order's number, by which other rows are looked up."""


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """One identifier that is not to come back.

    Attributes:
        kind: of the identifier.
        digest: of it, keyed.
        bucket: of the guard that holds it, for a `customer`; -1 for others.
        at: when it was erased, UTC.
        certificate: the erasure that it belongs to.
    """

    kind: Kind
    digest: str
    bucket: int = -1
    at: datetime
    certificate: str


class Tombstones:
    """The ledger of a home. It is read anew whenever the file grew.

    Args:
        settings: whose home; `erasure_key`, where the key does not lie in the home.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.home / FOLDER
        self._read = 0
        self._file = (0, 0)
        self._reading = threading.Lock()
        self._known: dict[tuple[str, str], Tombstone] = {}

    def digest(self, kind: Kind, text: str) -> str:
        """The digest of an identifier, 32 hex digits."""
        return hmac.digest(self._key, f"{kind}\0{text}".encode(), "sha256").hex()[:_DIGEST]

    @property
    def mark(self) -> str:
        """Tells this ledger's key from others without giving it away; "" where nobody was erased and there is none."""
        if self._settings.erasure_key is None and not (self._folder / KEY).exists():
            return ""
        return hmac.digest(self._key, b"mark", "sha256").hex()[:_DIGEST]

    def of_entity(self, entity: str) -> str:
        """The digest of a customer's entity text, as the guards hold it."""
        return self.digest("customer", entity)

    def digests(self, kind: Kind, texts: Iterable[str]) -> list[str]:
        """`digest` of many, in their order."""
        return [self.digest(kind, text) for text in texts]

    def __bool__(self) -> bool:
        """Whether anybody was erased: where nobody was, nothing needs to be looked up."""
        return bool(self._every())

    def __len__(self) -> int:
        return len(self._every())

    def has(self, kind: Kind, text: str) -> bool:
        """Whether this one was erased."""
        known = self._every()
        return bool(known) and (kind, self.digest(kind, text)) in known

    def among(self, kind: Kind, texts: Iterable[str]) -> set[str]:
        """Those of some that were erased."""
        known = self._every()
        return {text for text in texts if (kind, self.digest(kind, text)) in known} if known else set()

    def all(self) -> list[Tombstone]:
        """Every one, in the order they were left."""
        return list(self._every().values())

    def add(self, tombstones: Sequence[Tombstone]) -> int:
        """Leave some; on the disk when this returns. Returns how many were not there before.

        Raises:
            OSError: the system refuses to write.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / LEDGER).open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            known = self._every()
            new = {(each.kind, each.digest): each for each in tombstones if (each.kind, each.digest) not in known}
            if new:
                # A line without its end was never acknowledged: whoever wrote it died, or the disk was full.
                file.truncate(self._read)
                file.write(written(new.values()))
                file.flush()
                os.fsync(file.fileno())
        disk.sync(self._folder)
        return len(new)

    @cached_property
    def _key(self) -> bytes:
        if self._settings.erasure_key is not None:
            return self._settings.erasure_key.encode()
        path = self._folder / KEY
        self._folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            # Made whole before it has its name: of two that make one at once, the first one's stays.
            made = self._folder / f".{KEY}-{secrets.token_hex(8)}"
            made.touch(mode=0o600)
            with made.open("wb") as file:
                file.write(secrets.token_hex(_KEY_BYTES).encode())
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(made, path)
            made.unlink()
            disk.sync(self._folder)
        key = path.read_bytes()
        if len(key) < _KEY_BYTES:
            raise DataError(f"{path} is no key: it has {len(key)} bytes.", "Restore it from a backup.")
        return key

    def _every(self) -> dict[tuple[str, str], Tombstone]:
        path = self._folder / LEDGER
        with self._reading:  # by threads that share it
            try:
                found = path.stat()
            except FileNotFoundError:
                return self._known
            if (found.st_dev, found.st_ino) != self._file or found.st_size < self._read:
                # Another file, perhaps a longer one (a restored home's): what was known stays so.
                self._file, self._read = (found.st_dev, found.st_ino), 0
            if found.st_size > self._read:
                with path.open("rb") as file:
                    file.seek(self._read)
                    content = file.read(found.st_size - self._read)
                whole = content[: content.rfind(b"\n") + 1]  # a line that is being written is none yet
                known: dict[tuple[str, str], Tombstone] = {
                    (each.kind, each.digest): each for each in parsed(whole, str(path))
                }
                self._known = {**self._known, **known}  # readers go on with what they have
                self._read += len(whole)
            return self._known


def ensure(client: Any, project: str, tombstones: Tombstones) -> None:
    """Before anything is written: see that Redis has the ledger's digests, and that they are of this ledger's key.

    Redis may have lost its data, or one of a cluster's servers its own. One round trip.

    Raises:
        StoreError: somebody was erased by another key: this process could not tell whom.
    """
    expected = Counter(each.bucket for each in tombstones.all() if each.kind == "customer")
    with client.pipeline(transaction=False) as pipeline:
        pipeline.get(erasure_key(project))
        for number in expected:
            pipeline.hlen(guard_key(project, number))
            pipeline.hexists(guard_key(project, number), LIVE_FIELD)
        mark, *told = pipeline.execute()
    held = [length - flipped for length, flipped in zip(told[::2], told[1::2], strict=True)]
    if mark is not None and mark.decode() != tombstones.mark:
        raise StoreError(
            f"Customers of project {project!r} were erased by another erasure key than this process has.",
            "Set MOTHERLODE_ERASURE_KEY to the one of the home in which they were erased (its file erasure/key).",
        )
    lacking = any(there < wanted for there, wanted in zip(held, expected.values(), strict=True))
    if lacking or (expected and mark is None):
        restore(client, project, tombstones)


def restore(client: Any, project: str, tombstones: Tombstones) -> int:
    """Put every customer's digest into its guard in Redis: it may have lost them. Returns how many there are."""
    guards: dict[int, dict[str, int]] = {}
    for each in tombstones.all():
        if each.kind == "customer":
            guards.setdefault(each.bucket, {})[each.digest] = int(each.at.timestamp() * 1000)
    with client.pipeline(transaction=False) as pipeline:
        for number, digests in guards.items():
            pipeline.hset(guard_key(project, number), mapping=digests)
        if guards:
            pipeline.set(erasure_key(project), tombstones.mark)
        pipeline.execute()
    return sum(map(len, guards.values()))


def of_customer(tombstones: Tombstones, entity: str, at: datetime, certificate: str) -> Tombstone:
    """The tombstone of an entity text that stands for a customer."""
    digest = tombstones.digest("customer", entity)
    return Tombstone(kind="customer", digest=digest, bucket=bucket(entity), at=at, certificate=certificate)


def written(tombstones: Iterable[Tombstone]) -> bytes:
    """A ledger's lines."""
    return b"".join(msgspec.json.encode(each) + b"\n" for each in tombstones)


def parsed(content: bytes, name: str) -> Iterator[Tombstone]:
    """What `written` wrote.

    Args:
        content: whole lines.
        name: of the file, for the error.

    Raises:
        DataError: a line is no tombstone.
    """
    for number, line in enumerate(content.splitlines(), start=1):
        if line:
            try:
                yield msgspec.json.decode(line, type=Tombstone)
            except msgspec.DecodeError as error:
                raise DataError(
                    f"Line {number} of {name} is no tombstone: {error}.", "Restore it from a copy or a backup."
                ) from None
