"""A chain of entries in a file, append-only, every entry chained to the one before by its hash.

The file holds an entry a line, as canonical JSON. The head beside it holds how far the chain goes, so that a tail cut
off is noticed, and the entries being written, so that a kill leaves no doubt: the next append finishes them. With a
pseudonym key the head carries a MAC by it, and nobody without the key can write the chain anew.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from motherlode import disk
from motherlode.errors import DataError
from motherlode.identity import PLAIN, Identity

FIRST: Final = "0" * 64
"""What stands for the hash before the first entry."""
_PURPOSE: Final = "audit head"
_STEP: Final = 4096
"""Bytes read first, from the end, to find the last entry."""
_HASH: Final = b'"hash":"'
"""What an entry's hash stands behind in its line."""

Detail = str | int


class UnwritableError(DataError):
    """The system refuses to write: the disk is full, the folder is somebody else's."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One act.

    Attributes:
        seq: 1, 2, ...
        at: ISO 8601, UTC.
        actor: who: the user of the operating system; "NAME (USER)" where the settings name somebody else.
        action: `load`, `release`, `publish`, `rollback`, `export`, `erase`, `rekey`, ...
        subject: what it was done to, without clear identifiers.
        details: more of it, likewise.
        previous: the hash of the entry before.
        hash: SHA-256 of this entry's canonical JSON without `hash`, as hex.
    """

    seq: int
    at: str
    actor: str
    action: str
    subject: str
    details: Mapping[str, Detail]
    previous: str
    hash: str = ""

    def digest(self) -> str:
        """What `hash` must be."""
        return hashlib.sha256(_canonical(msgspec.structs.replace(self, hash=""))).hexdigest()


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the log goes.

    Attributes:
        entries: how many are committed.
        size: bytes of them.
        hash: of the last one.
        pending: the lines being written, or "".
        mac: of the above by the pseudonym key; "" without one.
    """

    entries: int = 0
    size: int = 0
    hash: str = FIRST
    pending: str = ""
    mac: str = ""

    def content(self) -> bytes:
        """What `mac` vouches for."""
        return _canonical(msgspec.structs.replace(self, mac=""))


class Draft(msgspec.Struct, frozen=True):
    """An entry that has no place in a chain yet; see `Entry`."""

    at: str
    actor: str
    action: str
    subject: str
    details: Mapping[str, Detail]


@dataclass(frozen=True)
class Chain:
    """A file of entries and its head, in one folder.

    Attributes:
        path: of the entries.
        head: of how far they go.
        identity: whose key vouches for the head.
    """

    path: Path
    head: Path
    identity: Identity

    @property
    def keep(self) -> str:
        """What to do where it is broken."""
        return f"Keep {self.path.name} and {self.head.name} for inspection, moved aside; a new log starts then."


def append(chain: Chain, drafts: Sequence[Draft]) -> None:
    """Append entries; all of them are on the disk when this returns.

    Args:
        chain: where to.
        drafts: as they are to stand there: nothing is hidden any more.

    Raises:
        DataError: the chain's end is not what its head says, or another key vouches for it: nothing is appended.
        UnwritableError: the system refuses to write: they are made by the next append, if the head could still be
            written.
    """
    with _writable(chain), _locked(chain.path, fcntl.LOCK_EX) as file:
        head, lines = _settle(chain, file), []
        previous = head.hash
        for seq, draft in enumerate(drafts, head.entries + 1):
            line, previous = chained(draft, seq, previous)
            lines.append(line)
        _put(chain, file, head, b"".join(lines))


def chained(draft: Draft, seq: int, previous: str) -> tuple[bytes, str]:
    """An entry's line, and its hash.

    Args:
        draft: what it says.
        seq: its number.
        previous: the hash of the entry before; `FIRST` for the first one.
    """
    bare = _canonical(Entry(seq, draft.at, draft.actor, draft.action, draft.subject, draft.details, previous))
    digest = hashlib.sha256(bare).hexdigest()
    # Put where it belongs, instead of encoding all of it again. Behind it stand hexadecimal digits, a number and a
    # subject, in whose JSON no quotation mark stands bare: the last one is the entry's.
    place = bare.rindex(_HASH) + len(_HASH)
    return b"".join((bare[:place], digest.encode(), bare[place:], b"\n")), digest


def append_lines(chain: Chain, lines: Sequence[bytes]) -> None:
    """Append what `chained` made, in its order; it is on the disk when this returns.

    Raises:
        DataError, UnwritableError: as in `append`; or the first one does not follow on the last one there.
    """
    with _writable(chain), _locked(chain.path, fcntl.LOCK_EX) as file:
        head = _settle(chain, file)
        first = msgspec.json.decode(lines[0], type=Entry)
        if (first.seq, first.previous) != (head.entries + 1, head.hash):
            raise _broken(chain, first.seq, "does not follow on the last one")
        _put(chain, file, head, b"".join(lines))


def begin(chain: Chain) -> None:
    """Make a chain without entries, on the disk when this returns; one that is there stays as it is.

    Raises:
        UnwritableError: the system refuses to write.
    """
    with _writable(chain), _locked(chain.path, fcntl.LOCK_EX):
        if not chain.head.exists():
            _write_head(chain, Head())


def check(chain: Chain) -> int:
    """Check that an entry could be appended, and finish those that were cut short; returns how many there are then.

    Only the end is looked at: it takes the same time whatever the log's length.

    Raises:
        DataError, UnwritableError: as in `append`.
    """
    if not (chain.path.exists() or chain.head.exists()):
        return 0
    with _writable(chain), _locked(chain.path, fcntl.LOCK_EX) as file:
        return _settle(chain, file).entries


def read(chain: Chain) -> list[Entry]:
    """Every entry, checked; see `entries`."""
    return list(entries(chain))


def entries(chain: Chain) -> Iterator[Entry]:
    """Every entry, checked, one after another: of a file of any length one is held at a time. Nobody appends meanwhile.

    Raises:
        DataError: an entry was changed, removed, inserted or moved, naming the first such; the tail was cut off; or
            the head was not written by a holder of the pseudonym key.
    """
    if not chain.path.exists():
        head = _head(chain)
        if head.entries or head.pending:
            raise DataError(f"{chain.path} is missing, and {chain.head.name} knows {head.entries} entries.", chain.keep)
        return
    with _locked(chain.path, fcntl.LOCK_SH) as file:
        head = _head(chain)
        _require_vouched(chain, head)
        yield from _entries(chain, file, head)


def last(chain: Chain, action: str) -> Entry | None:
    """The newest entry of an action; None where there is none. It is checked by itself, the chain is not.

    Raises:
        DataError: an entry as new as that, or newer, was changed.
    """
    if not chain.path.exists():
        return None
    with _locked(chain.path, fcntl.LOCK_SH) as file:
        lines = file.read().splitlines(keepends=True)
    entries = (_entry(chain, number, lines[number - 1]) for number in range(len(lines), 0, -1))
    return next((entry for entry in entries if entry.action == action), None)


def _entries(chain: Chain, file: Iterable[bytes], head: Head) -> Iterator[Entry]:
    """The entries, each checked against the one before. What a kill cut short is no entry yet."""
    lines, previous, size, number = iter(file), FIRST, 0, 0
    for number, line in enumerate(islice(lines, head.entries), start=1):
        entry = _next(chain, number, line, previous)
        previous, size = entry.hash, size + len(line)
        if number == head.entries and (previous, size) != (head.hash, head.size):
            raise _broken(chain, number, f"is not the one that {chain.head.name} knows: the log was written anew")
        yield entry
    if number < head.entries:
        what = f"entry {number + 1} and what follows was removed"
        known = f"{chain.head.name} knows {head.entries}"
        raise DataError(f"{chain.path} ends at entry {number}, {known}: {what}.", chain.keep)
    beyond = list(lines)
    if not head.pending.encode().startswith(b"".join(beyond)):
        raise _broken(chain, number + 1, f"stands behind the last one that {chain.head.name} knows, {head.entries}")
    if b"".join(beyond).decode() == head.pending:
        for place, line in enumerate(beyond, start=number + 1):
            entry = _next(chain, place, line, previous)
            previous = entry.hash
            yield entry


def _next(chain: Chain, number: int, line: bytes, previous: str) -> Entry:
    """An entry that follows on the one before."""
    entry = _entry(chain, number, line)
    if entry.seq != number:
        raise _broken(chain, number, f"is numbered {entry.seq}: entries were removed, inserted or moved")
    if entry.previous != previous:
        raise _broken(chain, number, "does not follow on the one before: entries were changed, removed or inserted")
    return entry


def _entry(chain: Chain, number: int, line: bytes) -> Entry:
    try:
        entry = msgspec.json.decode(line, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _broken(chain, number, "was changed: it is no entry") from None
    if line != _canonical(entry) + b"\n" or entry.digest() != entry.hash:
        raise _broken(chain, number, "was changed: its hash is another")
    return entry


def _broken(chain: Chain, number: int, what: str) -> DataError:
    return DataError(f"Entry {number} of {chain.path} {what}.", chain.keep)


def _put(chain: Chain, file: BinaryIO, head: Head, lines: bytes) -> None:
    # Said before it is done: a line that a kill cuts short can be told from one that somebody shortened.
    pending = msgspec.structs.replace(head, pending=lines.decode(), mac="")
    _write_head(chain, pending)
    _commit(chain, file, pending)


def _settle(chain: Chain, file: BinaryIO) -> Head:
    """The head that the next entry follows on, once the entry that a kill cut short is finished.

    Only the log's end is looked at: an append takes the same time whatever the log's length.
    """
    path, head = chain.path, _head(chain)
    _require_vouched(chain, head)
    length = file.seek(0, os.SEEK_END)
    file.seek(min(head.size, length))
    if length < head.size or not head.pending.encode().startswith(file.read()):
        raise DataError(
            f"{path} has {length} bytes, {chain.head.name} knows {head.size}: its end was changed.", chain.keep
        )
    if head.entries and _last(chain, file, head).hash != head.hash:
        raise _broken(chain, head.entries, f"is not the one that {chain.head.name} knows")
    return _commit(chain, file, head) if head.pending else head


def _last(chain: Chain, file: BinaryIO, head: Head) -> Entry:
    """The last committed entry."""
    length, tail = _STEP, b""
    while len(tail) < head.size and tail.count(b"\n") < 2:
        start = max(0, head.size - length)
        file.seek(start)
        tail = file.read(head.size - start)
        length *= 2  # a line may be as long as a request names customers
    return _entry(chain, head.entries, tail.splitlines(keepends=True)[-1])


def _commit(chain: Chain, file: BinaryIO, head: Head) -> Head:
    """Put the pending lines behind the committed ones, whole, and say so in the head."""
    lines = head.pending.encode()
    file.truncate(head.size)
    file.seek(head.size)
    file.write(lines)
    file.flush()
    os.fsync(file.fileno())
    each = lines.splitlines()
    entry = msgspec.json.decode(each[-1], type=Entry)
    return _write_head(chain, Head(entries=head.entries + len(each), size=head.size + len(lines), hash=entry.hash))


@contextmanager
def _writable(chain: Chain) -> Iterator[None]:
    """Its folder, made where there is none, and what is said where it cannot be written."""
    try:
        chain.path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UnwritableError(
            f"{chain.path} cannot be written: {error.strerror or error}.",
            "Make room on its disk, and check that the folder is yours.",
        ) from error


@contextmanager
def _locked(path: Path, how: int) -> Iterator[BinaryIO]:
    """A file, held against writers or, to write, against everybody; then it is made where there is none."""
    flags = os.O_RDONLY if how == fcntl.LOCK_SH else os.O_RDWR | os.O_CREAT
    with os.fdopen(os.open(path, flags, 0o644), "rb" if how == fcntl.LOCK_SH else "r+b") as file:
        fcntl.flock(file, how)
        yield file


def _head(chain: Chain) -> Head:
    """The head as it stands; the empty one where nothing was recorded yet."""
    path, log = chain.head, chain.path
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if log.exists() and log.stat().st_size:
            raise DataError(f"{log} has entries, and {path} is missing.", chain.keep) from None
        return Head()
    try:
        head = msgspec.json.decode(content, type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DataError(f"{path} was changed: it is no head.", chain.keep) from None
    if content != _canonical(head) + b"\n":
        raise DataError(f"{path} was changed.", chain.keep)
    return head


def _require_vouched(chain: Chain, head: Head) -> None:
    """Check the head's MAC. It may lack one where a key of the settings, current or previous, is none."""
    path, ours = chain.head, chain.identity
    if head == Head() or (not head.mac and "" in ours.key_ids):
        return
    if head.mac and not any(ours.key_ids):
        remedy = "Set MOTHERLODE_PSEUDONYM_KEY as it was."
        raise DataError(f"A pseudonym key vouches for {path}, and there is none here.", remedy)
    if not head.mac or not ours.vouched(_PURPOSE, head.content(), head.mac):
        raise DataError(
            f"{path} was not written by a holder of the pseudonym key {ours.key_id}.",
            "Where that key is new, list the old one in MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS "
            f'("{PLAIN}" where there was none). Else: {chain.keep}',
        )


def _write_head(chain: Chain, head: Head) -> Head:
    """Replace the head in one step, vouched for; it is on the disk when this returns."""
    vouched = msgspec.structs.replace(head, mac=chain.identity.vouch(_PURPOSE, head.content()))
    disk.replace(chain.head, _canonical(vouched) + b"\n", 0o644)
    return vouched


def _canonical(value: Entry | Head) -> bytes:
    return msgspec.json.encode(value, order="sorted")
