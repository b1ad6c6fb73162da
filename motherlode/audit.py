"""The audit log: who did what to the data and when, append-only, every entry chained to the one before by its hash.

`audit.jsonl` holds an entry a line, as canonical JSON. `audit.head` beside it holds how far the log goes, so that a
tail cut off is noticed, and the entry being written, so that a kill leaves no doubt: the next append finishes it.
Where there is a pseudonym key the head carries a MAC by it, and nobody without the key can write the log anew.
"""

import fcntl
import hashlib
import os
import pwd
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from motherlode import names
from motherlode.errors import DataError
from motherlode.identity import PLAIN
from motherlode.settings import Settings

LOG: Final = "audit.jsonl"
HEAD: Final = "audit.head"
FIRST: Final = "0" * 64
"""What stands for the hash before the first entry."""
HIDDEN: Final = "(hidden)"
IDENTIFIERS: Final = frozenset({names.CUSTOMER_ID, names.OUTSIDE_ID, names.VISITOR_ID, "email", "phone", "name"})
"""Details of these names keep nothing but pseudonyms."""
_PURPOSE: Final = "audit head"
_PSEUDONYM: Final = re.compile(r"[0-9a-f]{64}")
_ADDRESS: Final = re.compile(r"[^\s@/:]+@[^\s@/]+")
"""An e-mail address, or a user with a password before a host."""
_STEP: Final = 4096
"""Bytes read at a time, backwards, to find the last entry."""
_KEEP: Final = f"Keep {LOG} and {HEAD} for inspection, moved aside; a new log starts then."

Detail = str | int


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
        pending: the line being written, or "".
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


def record(settings: Settings, action: str, subject: str, **details: Detail) -> None:
    """Append an entry; it is on the disk when this returns.

    E-mail addresses, and details of the `IDENTIFIERS` that are no pseudonyms, are replaced by `(hidden)`: a log that
    cannot be rewritten must hold nothing that an erasure would have to take out.

    Args:
        settings: whose home, whose key vouches, and who acts.
        action: one word, as of `Entry.action`.
        subject: what it was done to.
        details: more of it.

    Raises:
        DataError: the log's end is not what its head says, or another key vouches for it: nothing is appended. Or
            the system refuses to write: the entry is made by the next append, if its head could still be written.
    """
    with _writable(settings), _locked(settings.home / LOG, fcntl.LOCK_EX) as file:
        head = _settle(settings, file)
        entry = Entry(
            seq=head.entries + 1,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            actor=_text(_actor(settings)),
            action=_text(action),
            subject=_clean(subject),
            details={name: _hide(name, value) for name, value in details.items()},
            previous=head.hash,
        )
        entry = msgspec.structs.replace(entry, hash=entry.digest())
        # Said before it is done: a line that a kill cuts short can be told from one that somebody shortened.
        pending = msgspec.structs.replace(head, pending=_canonical(entry).decode() + "\n", mac="")
        _write_head(settings, pending)
        _commit(settings, file, pending)


def check(settings: Settings) -> None:
    """Check that the log takes an entry, before something is done that must be recorded.

    Raises:
        DataError: as in `record`.
    """
    if (settings.home / LOG).exists() or (settings.home / HEAD).exists():
        with _writable(settings), _locked(settings.home / LOG, fcntl.LOCK_EX) as file:
            _settle(settings, file)


def read(settings: Settings) -> list[Entry]:
    """Every entry, checked.

    Raises:
        DataError: as in `verify`.
    """
    path = settings.home / LOG
    if not path.exists():
        head = _head(settings)
        if head.entries or head.pending:
            raise DataError(f"{path} is missing, and {HEAD} knows {head.entries} entries.", _KEEP)
        return []
    with _locked(path, fcntl.LOCK_SH) as file:
        head = _head(settings)
        _require_vouched(settings, head)
        return list(_entries(path, file.read(), head))


def last(settings: Settings, action: str) -> Entry | None:
    """The newest entry of an action; None where there is none. It is checked by itself, the log is not.

    Raises:
        DataError: an entry as new as that, or newer, was changed.
    """
    path = settings.home / LOG
    if not path.exists():
        return None
    with _locked(path, fcntl.LOCK_SH) as file:
        lines = file.read().splitlines(keepends=True)
    entries = (_entry(path, number, lines[number - 1]) for number in range(len(lines), 0, -1))
    return next((entry for entry in entries if entry.action == action), None)


def verify(settings: Settings) -> int:
    """Check the whole log; returns how many entries it has.

    Raises:
        DataError: an entry was changed, removed, inserted or moved, naming the first such; the tail was cut off; or
            the head was not written by a holder of the pseudonym key.
    """
    return len(read(settings))


def _entries(path: Path, content: bytes, head: Head) -> Iterator[Entry]:
    """The entries, each checked against the one before. What a kill cut short is no entry yet."""
    lines = content.splitlines(keepends=True)
    previous, size = FIRST, 0
    for number, line in enumerate(lines, start=1):
        if number > head.entries:
            beyond = b"".join(lines[number - 1 :])
            if not head.pending.encode().startswith(beyond):
                raise _broken(path, number, f"stands behind the last one that {HEAD} knows, {head.entries}")
            if beyond.decode() != head.pending:
                return
        entry = _entry(path, number, line)
        if entry.seq != number:
            raise _broken(path, number, f"is numbered {entry.seq}: entries were removed, inserted or moved")
        if entry.previous != previous:
            raise _broken(path, number, "does not follow on the one before: entries were changed, removed or inserted")
        previous, size = entry.hash, size + len(line)
        if number == head.entries and (previous, size) != (head.hash, head.size):
            raise _broken(path, number, f"is not the one that {HEAD} knows: the log was written anew")
        yield entry
    if len(lines) < head.entries:
        what = f"entry {len(lines) + 1} and what follows was removed"
        raise DataError(f"{path} ends at entry {len(lines)}, {HEAD} knows {head.entries}: {what}.", _KEEP)


def _entry(path: Path, number: int, line: bytes) -> Entry:
    try:
        entry = msgspec.json.decode(line, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _broken(path, number, "was changed: it is no entry") from None
    if line != _canonical(entry) + b"\n" or entry.digest() != entry.hash:
        raise _broken(path, number, "was changed: its hash is another")
    return entry


def _broken(path: Path, number: int, what: str) -> DataError:
    return DataError(f"Entry {number} of {path} {what}.", _KEEP)


def _settle(settings: Settings, file: BinaryIO) -> Head:
    """The head that the next entry follows on, once the entry that a kill cut short is finished.

    Only the log's end is looked at: an append takes the same time whatever the log's length.
    """
    path, head = settings.home / LOG, _head(settings)
    _require_vouched(settings, head)
    length = file.seek(0, os.SEEK_END)
    file.seek(min(head.size, length))
    if length < head.size or not head.pending.encode().startswith(file.read()):
        raise DataError(f"{path} has {length} bytes, {HEAD} knows {head.size}: its end was changed.", _KEEP)
    if head.entries and _last(path, file, head).hash != head.hash:
        raise _broken(path, head.entries, f"is not the one that {HEAD} knows")
    return _commit(settings, file, head) if head.pending else head


def _last(path: Path, file: BinaryIO, head: Head) -> Entry:
    """The last committed entry."""
    start, tail = head.size, b""
    while start > 0 and tail.count(b"\n") < 2:
        start = max(0, start - _STEP)
        file.seek(start)
        tail = file.read(head.size - start)
    return _entry(path, head.entries, tail.splitlines(keepends=True)[-1])


def _commit(settings: Settings, file: BinaryIO, head: Head) -> Head:
    """Put the pending line behind the committed ones, whole, and say so in the head."""
    line = head.pending.encode()
    file.truncate(head.size)
    file.seek(head.size)
    file.write(line)
    file.flush()
    os.fsync(file.fileno())
    entry = msgspec.json.decode(line, type=Entry)
    return _write_head(settings, Head(entries=head.entries + 1, size=head.size + len(line), hash=entry.hash))


@contextmanager
def _writable(settings: Settings) -> Iterator[None]:
    """The home folder, made where there is none, and what is said where it cannot be written."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DataError(
            f"{settings.home / LOG} cannot be written: {error.strerror or error}.",
            "Make room on its disk, and check that the folder is yours.",
        ) from error


@contextmanager
def _locked(path: Path, how: int) -> Iterator[BinaryIO]:
    """A file, held against writers or, to write, against everybody; then it is made where there is none."""
    flags = os.O_RDONLY if how == fcntl.LOCK_SH else os.O_RDWR | os.O_CREAT
    with os.fdopen(os.open(path, flags, 0o644), "rb" if how == fcntl.LOCK_SH else "r+b") as file:
        fcntl.flock(file, how)
        yield file


def _head(settings: Settings) -> Head:
    """The head as it stands; the empty one where nothing was recorded yet."""
    path, log = settings.home / HEAD, settings.home / LOG
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if log.exists() and log.stat().st_size:
            raise DataError(f"{log} has entries, and {path} is missing.", _KEEP) from None
        return Head()
    try:
        head = msgspec.json.decode(content, type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DataError(f"{path} was changed: it is no head.", _KEEP) from None
    if content != _canonical(head) + b"\n":
        raise DataError(f"{path} was changed.", _KEEP)
    return head


def _require_vouched(settings: Settings, head: Head) -> None:
    """Check the head's MAC. It may lack one where a key of the settings, current or previous, is none."""
    path, ours = settings.home / HEAD, settings.identity
    if head == Head() or (not head.mac and "" in ours.key_ids):
        return
    if head.mac and not any(ours.key_ids):
        remedy = "Set MOTHERLODE_PSEUDONYM_KEY as it was."
        raise DataError(f"A pseudonym key vouches for {path}, and there is none here.", remedy)
    if not head.mac or not ours.vouched(_PURPOSE, head.content(), head.mac):
        raise DataError(
            f"{path} was not written by a holder of the pseudonym key {ours.key_id}.",
            "Where that key is new, list the old one in MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS "
            f'("{PLAIN}" where there was none). Else: {_KEEP}',
        )


def _write_head(settings: Settings, head: Head) -> Head:
    """Replace the head in one step, vouched for; it is on the disk when this returns."""
    vouched = msgspec.structs.replace(head, mac=settings.identity.vouch(_PURPOSE, head.content()))
    handle, name = tempfile.mkstemp(prefix=f".{HEAD}-", dir=settings.home)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_canonical(vouched) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(settings.home / HEAD)
    except BaseException:  # also Ctrl-C: a head that is not whole must not stay
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(settings.home, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return vouched


def _actor(settings: Settings) -> str:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        user = f"uid {os.getuid()}"
    return user if settings.actor in (None, user) else f"{settings.actor} ({user})"


def _hide(name: str, value: Detail) -> Detail:
    if isinstance(value, int) and name not in IDENTIFIERS:
        return value
    if name in IDENTIFIERS:
        return value if all(_PSEUDONYM.fullmatch(each) for each in str(value).split(",")) else HIDDEN
    return _clean(str(value))


def _clean(text: str) -> str:
    return _ADDRESS.sub(HIDDEN, _text(text))


def _text(value: str) -> str:
    """Text that JSON can hold: a file's name may be bytes that are no text."""
    return value.encode("utf-8", "backslashreplace").decode()


def _canonical(value: Entry | Head) -> bytes:
    return msgspec.json.encode(value, order="sorted")
