"""The access log: who asked for whom, in lines that are chained as the audit log's, written beside the answers.

`logs/access/<day>-<host>-<process>-<random>.jsonl` and its head: a pair a process and day (UTC), and another after 256
MiB. Each is told in the audit log before its first line, so that one that is removed is missed. Customers are
pseudonyms of the access log's own (`Pseudonyms`). A request costs its own thread an append to a queue; another thread
makes the lines, every 50 ms, and puts them on the disk, with `fsync`, every second: a kill costs the last second's.
"""

import logging
import os
import re
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec

from motherlode import audit, chain
from motherlode.chain import Chain, Draft, Entry, UnwritableError
from motherlode.errors import DataError, MotherlodeError
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings
from serving.lock.caller import STATE
from serving.problems import Refusal
from serving.pseudonyms import Pseudonyms

FOLDER: Final = "access"
"""Below `logs`."""
BEGUN: Final = "access log"
"""The audit log's action, where a file begins."""
DROPPED: Final = "access log dropped"
"""The audit log's action, where an old file is removed."""
ASKED: Final = "asked"
"""The action of a request's entry."""
LOST: Final = "lost"
"""The action of the entry that says how many requests could not be written."""
WHO: Final = "who"
"""The detail that holds pseudonyms, comma-separated."""

_EVERY_S: Final = 0.05
_COMMIT_S: Final = 1.0
_AT_ONCE: Final = 256
"""Customers and lines made in one go: a fraction of a millisecond, for which answers may wait."""
_LINE: Final = 8
"""Customers that cost as much as a line."""
_TRIES: Final = 5
"""At the end: a commit that a full disk cut short takes two more."""
_BREATH_S: Final = 0.0005
_COMMIT_BYTES: Final = 1 << 20
_SIZE: Final = 256 << 20
"""Bytes of a file, after which another is begun: the lines of some 600,000 requests for a customer each."""
_WAITING: Final = 500_000
"""Customers of requests that may wait to be written."""
_DATE: Final = len("2026-01-31")
_LONGEST: Final = 128
_REQUEST_ID: Final = b"x-request-id"
_ODD: Final = re.compile(r"[^\w.:/+=-]")
_NOBODY: Final = "anonymous"

_log: Final = logging.getLogger(__name__)

_Note = tuple[float, str, str, str, int, Sequence[int | str], str, Iterable[tuple[bytes, bytes]]]


class Journal:
    """Writes down who asked for whom, for one process.

    Args:
        settings: whose home; `access_log` says whether, and what becomes of requests where the disk takes nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._on = settings.access_log != "off"
        self._required = settings.access_log == "required"
        self._pseudonyms = Pseudonyms(Tombstones(settings))
        self._notes: deque[_Note] = deque()
        # Each counted by one thread alone: a difference of two is never off by what both counted at once.
        self._noted, self._made = 0, 0
        self._lost = 0
        self._dropped, self._unmade = 0, 0
        self._problem = ""
        self._lines: list[bytes] = []
        self._bytes, self._size = 0, 0
        self._unsure = False
        self._day, self._seq, self._previous = "", 0, chain.FIRST
        self._chain: Chain | None = None
        self._owed: list[Chain] = []
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def require(self) -> None:
        """Check that requests may be answered.

        Raises:
            Refusal: 503 where the log is required and cannot be written.
        """
        if self._required and (self._problem or self.waiting > _WAITING):
            message = "Who asks for whom must be written down, and cannot be now."
            remedy = "Make room on the disk of the server's home."
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "$", message, remedy, {"Retry-After": "1"})

    def note(
        self,
        caller: str,
        route: str,
        purpose: str,
        status: int,
        ids: Sequence[int | str],
        bundle: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Note a request that was answered; it is written within a second.

        Args:
            caller: the id of the key that it came with; "" for none.
            route: its path, without a customer's id.
            purpose: what the answer was for.
            status: of the answer.
            ids: the customers asked for, by outside ids.
            bundle: what answered.
            headers: of the request.
        """
        if not self._on:
            return
        if self.waiting > _WAITING:
            self._lost += 1
            self._dropped += 1
            return
        self._noted += len(ids) + 1
        self._notes.append((time.time(), caller, route, purpose, int(status), ids, bundle, headers))

    def answered(self, scope: Any, route: str, data: Any, answer: Any) -> None:
        """`note` of an answer, where it was asked for with customers.

        Args:
            scope: of the request.
            route: as of `note`.
            data, answer: the request's and the answer's bodies.
        """
        ids = getattr(data, "customer_ids", None)
        if ids:
            headers = scope["headers"]
            self.note(caller_of(scope), route, data.purpose, HTTPStatus.OK, ids, answer.bundle, headers)

    @property
    def lost(self) -> int:
        """Requests that were not written down: too many waited, or no line could be made of them."""
        return self._dropped + self._unmade

    @property
    def failing(self) -> bool:
        """Whether it cannot be written now."""
        return bool(self._problem)

    @property
    def waiting(self) -> int:
        """Customers of requests that wait to be written, and those requests."""
        return self._noted - self._made

    def start(self) -> None:
        """Begin to write."""
        if self._on and self._thread is None:
            self._thread = threading.Thread(target=self._write, name="access log", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end."""
        if self._thread is not None:
            self._ending.set()
            self._thread.join()
            self._thread = None

    def _write(self) -> None:
        committed, tries = time.monotonic(), _TRIES
        while True:
            ending = self._ending.wait(_EVERY_S)
            try:
                self._make()
                now = time.monotonic()
                full = self._bytes >= _COMMIT_BYTES and not self._problem
                if self._due() and (ending or full or now - committed >= _COMMIT_S):
                    committed = now
                    self._commit()
            except MotherlodeError as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever it meets, and say so
                self._fail(error)
            tries -= ending
            if ending and not (tries and (self._notes or self._due())):
                return

    def _make(self) -> None:
        """Lines of what waits, a few at a time: the answers' thread takes its turn between them."""
        while self._notes and self._bytes < _COMMIT_BYTES:
            room = _AT_ONCE
            while self._notes and room > 0:
                note = self._notes[0]
                at = _iso(note[0])
                if at[:_DATE] != self._day or self._size >= _SIZE:
                    if self._lines:
                        self._commit()
                    self._begin(at[:_DATE])
                if self._lost:
                    lost, self._lost = self._lost, 0
                    self._line(Draft(at, "", LOST, "requests", {"requests": lost}))
                self._draw(at, note)
                self._notes.popleft()
                self._made += len(note[5]) + 1
                room -= len(note[5]) + _LINE
            time.sleep(_BREATH_S)

    def _begin(self, day: str) -> None:
        name = f"{day}-{_ODD.sub('_', socket.gethostname())[:64]}-{os.getpid()}-{secrets.token_hex(4)}"
        folder = folder_of(self._settings)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._chain = _chain(self._settings, folder / f"{name}.jsonl")
        self._day, self._seq, self._previous = day, 0, chain.FIRST
        self._size, self._unsure = 0, False
        self._owed.append(self._chain)

    def _draw(self, at: str, note: _Note) -> None:
        """The line of a note; of one that makes none, a line that says so: it must not stop those behind it."""
        try:
            self._line(self._draft(at, note))
        except (MotherlodeError, OSError):  # as it stands on the disk: the next time may go better
            raise
        except Exception as error:  # noqa: BLE001 - whatever a request may hold
            _log.error("A request makes no line of the access log: %s.", type(error).__name__)
            self._unmade += 1
            self._line(Draft(at, "", LOST, "requests", {"requests": 1}))

    def _line(self, draft: Draft) -> None:
        line, self._previous = chain.chained(draft, self._seq + 1, self._previous)
        self._seq += 1
        self._lines.append(line)
        self._bytes += len(line)
        self._size += len(line)

    def _draft(self, at: str, note: _Note) -> Draft:
        _, caller, route, purpose, status, ids, bundle, headers = note
        sent = next((value for name, value in headers if name == _REQUEST_ID), b"")
        who = ",".join(self._pseudonyms.of(ids))
        return Draft(
            at,
            _plain(caller) or _NOBODY,
            ASKED,
            route,
            {
                "purpose": _plain(purpose),
                "status": status,
                "customers": len(ids),
                WHO: who,
                "bundle": _plain(bundle),
                "request": _plain(sent.decode("latin-1")),
            },
        )

    def _due(self) -> bool:
        """Whether there is something to put on the disk."""
        return bool(self._lines or self._owed)

    def _commit(self) -> None:
        refused = self._tell()
        if self._lines:
            self._append()
        if refused is not None:
            raise refused
        if self._problem:
            _log.info("The access log is written again.")
            self._problem = ""

    def _tell(self) -> MotherlodeError | None:
        """Tell the audit log which files were begun, before they have a line: else a kill would leave one that nobody
        misses. Where it refuses, lines are written all the same, and the names are owed; returns why.
        """
        try:
            while self._owed:
                chain.begin(self._owed[0])  # told of without being there, it would be missed
                audit.record(self._settings, BEGUN, self._owed[0].path.name)
                del self._owed[0]
        except MotherlodeError as error:
            return error
        return None

    def _append(self) -> None:
        """Put the lines on the disk. Those of an append that failed may be there, or be made by the next: its head says
        so, and never is more read than the file's end, however long it is.
        """
        assert self._chain is not None
        try:
            if self._unsure:
                done = max(0, chain.check(self._chain) - (self._seq - len(self._lines)))
                self._lines = self._lines[done:]
                self._unsure = False
            if self._lines:
                chain.append_lines(self._chain, self._lines)
        except UnwritableError:
            self._unsure = True
            raise
        except DataError:  # somebody changed the file: it stays as it is, for `verify` to name
            self._anew()
            raise
        self._lines, self._bytes = [], 0

    def _fail(self, error: Exception) -> None:
        """Nothing is lost yet: the lines wait, and so does what comes, until too much does."""
        if str(error) != self._problem:
            _log.error("The access log cannot be written: %s", error)
        self._problem = str(error)

    def _anew(self) -> None:
        """Begin another file with the lines that wait."""
        entries = [msgspec.json.decode(line, type=Entry) for line in self._lines]
        self._begin(self._day)
        self._lines, self._bytes = [], 0
        for each in entries:
            self._line(Draft(each.at, each.actor, each.action, each.subject, each.details))


def caller_of(scope: Any) -> str:
    """The id of whom a request comes from; "" where the lock is off."""
    state = scope.get("state")
    caller = None if state is None else state.get(STATE)
    return "" if caller is None else caller.id


def folder_of(settings: Settings) -> Path:
    """Where the access logs of a home lie."""
    return settings.logs / FOLDER


def verify(settings: Settings) -> int:
    """Check every access log of a home; returns how many entries they have.

    Raises:
        DataError: an entry was changed, removed, inserted or moved, naming the first such; a tail was cut off; or a
            file that was begun is missing, naming it.
    """
    return sum(1 for _ in _every(settings))


def asked_for(settings: Settings, outside_id: int | str) -> list[Entry]:
    """The entries that name a customer, checked, by their time.

    Raises:
        DataError: as in `verify`.
    """
    wanted = Pseudonyms(Tombstones(settings)).known(outside_id)
    named = ((entry, str(entry.details.get(WHO, ""))) for entry in _every(settings))
    found = [entry for entry, who in named if any(each in who for each in wanted)]
    return sorted(found, key=lambda entry: entry.at)


def drop(settings: Settings, before: str) -> list[str]:
    """Remove the files of days before one, `2026-01-31`; the audit log says so first. Returns their names.

    Raises:
        DataError: the audit log takes no entry.
    """
    old = [path for path in _paths(settings) if path.name[:_DATE] < before]
    for path in old:
        audit.record(settings, DROPPED, path.name)
        head = _chain(settings, path).head
        path.unlink()
        head.unlink(missing_ok=True)
    return [path.name for path in old]


def _every(settings: Settings) -> Iterator[Entry]:
    """Every file's entries, checked; one is held at a time."""
    there = _paths(settings)
    told = audit.read(settings)
    dropped = {entry.subject for entry in told if entry.action == DROPPED}
    begun = {entry.subject for entry in told if entry.action == BEGUN}
    missing = sorted(begun - dropped - {path.name for path in there})
    if missing:
        folder = folder_of(settings)
        raise DataError(f"{folder / missing[0]} was begun, and is not there.", "Somebody removed it; ask who could.")
    for path in there:
        each = _chain(settings, path)
        if path.name in begun and not each.head.exists():
            raise DataError(f"{each.head} is missing: it was there before the first entry.", each.keep)
        yield from chain.entries(each)


def _paths(settings: Settings) -> list[Path]:
    return sorted(folder_of(settings).glob("*.jsonl"))


def _chain(settings: Settings, path: Path) -> Chain:
    return Chain(path, path.with_suffix(".head"), settings.identity)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _plain(text: str) -> str:
    """A short word without anything that could be an address or a line."""
    return text if text.isalnum() and len(text) <= _LONGEST else _ODD.sub("_", text[:_LONGEST])
