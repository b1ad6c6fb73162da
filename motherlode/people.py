"""Who is one person under several ids, as the warehouse found: what one of the ids withdraws, all of them withdraw.

`consent/people.db` below home, an SQLite file: each name (entity text of the join key) of whoever has several, and the
person that it is of. It is written with the mart, before rows that were joined can come online, and replaced whole.

A withdrawal becomes a word under each of the person's names, in the ledger and in Redis: serving looks up a name and
nothing else, and who is found to be two people again keeps what was said while they were one. An agreement counts for
the id that it was given under: nobody else's word makes an answer personal.
"""

import logging
import sqlite3
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from motherlode import consent, disk
from motherlode.consent import Ledger, Word
from motherlode.errors import DataError
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings

_log: Final = logging.getLogger(__name__)

FILE: Final = "people.db"
"""Beside the ledger."""

_NEW: Final = """
CREATE TABLE people (name TEXT PRIMARY KEY, person INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX of_person ON people (person);
"""
_OTHERS: Final = """
SELECT name FROM people
WHERE person IN (SELECT person FROM people WHERE name IN ($names)) AND name NOT IN ($names) ORDER BY name
"""


class People:
    """Looks up who is one person.

    Args:
        settings: whose home.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = settings.home / consent.FOLDER / FILE
        self._file = (0, 0)
        self._open: sqlite3.Connection | None = None
        self._reading = threading.Lock()

    def others(self, names: Sequence[str]) -> list[str]:
        """The other names of a person.

        Args:
            names: entity texts by which one customer may be known: by the current pseudonym key and previous ones.

        Raises:
            DataError: the file cannot be read.
        """
        query = _OTHERS.replace("$names", ",".join("?" * len(names)))
        try:
            with self._reading:
                found = self._path.stat()
                if self._open is None or (found.st_dev, found.st_ino) != self._file:
                    self.close()
                    self._file, self._open = (found.st_dev, found.st_ino), _connect(self._path)
                return [name for (name,) in self._open.execute(query, (*names, *names))]
        except FileNotFoundError:
            return []
        except (OSError, sqlite3.Error) as error:
            raise _unreadable(self._path, error) from error

    def words(self, word: Word, names: Sequence[str]) -> list[Word]:
        """A word, and, where it withdraws, the same under the person's other names; see `others`."""
        if word.granted:
            return [word]
        return [word, *(msgspec.structs.replace(word, customer=other) for other in self.others(names))]

    def close(self) -> None:
        """Close the file."""
        if self._open is not None:
            self._open.close()
            self._open = None


def publish(settings: Settings, people: Iterable[Collection[str]]) -> int:
    """Say who is one person from now on, and have what was withdrawn so far count for all of their names.

    Args:
        settings: whose home.
        people: the names of each who has several; those of erased customers are left out.

    Returns:
        How many words the ledger was told: servers tell Redis.

    Raises:
        OSError: the system refuses to write.
        DataError: the ledger cannot be read.
    """
    folder = settings.home / consent.FOLDER
    rows = [(name, number) for number, names in enumerate(people) for name in names]
    gone = _erased(settings, rows)
    rows = [row for row in rows if row[0] not in gone]
    if rows or (folder / FILE).exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        disk.replace(folder / FILE, _content(rows))
    ledger = Ledger(settings)
    standing, new = ledger.standing(), []
    with closing(People(settings)) as known:
        for word in standing.values():
            for each in known.words(word, [word.customer])[1:]:
                there = standing.get((each.customer, each.purpose))
                if there is None or there.rank < each.rank:
                    new.append(each)
    return len(ledger.add(list(consent.newest(new).values()))) if new else 0


def count(settings: Settings, names: Collection[str]) -> int:
    """How many of some names are there; 0 where the file cannot be read: nobody can tell."""
    try:
        return sum(name in names for name, _ in _rows(settings))
    except DataError:
        return 0


def erase(settings: Settings, names: Collection[str]) -> int | None:
    """Take customers out, these and all with a tombstone.

    Returns:
        How many names there were. None: the file could not be read, so that nobody can tell whom it held; it is
        removed, and the next build of the features makes it anew.
    """
    try:
        rows = _rows(settings)
    except DataError as error:
        _log.warning("%s is removed: it cannot be read.", FILE, exc_info=error)
        folder = settings.home / consent.FOLDER
        (folder / FILE).unlink()
        disk.sync(folder)
        return None
    gone = {*names, *_erased(settings, rows)}
    return _replace(settings, rows, [row for row in rows if row[0] not in gone])


def rename(settings: Settings, renamed: Mapping[str, str]) -> int:
    """Know customers by other names; returns how many that affects.

    Args:
        settings: whose home.
        renamed: old → new entity text.

    Raises:
        DataError: the file cannot be read.
    """
    rows = _rows(settings)
    return _replace(settings, rows, [(renamed.get(name, name), person) for name, person in rows])


def _rows(settings: Settings) -> list[tuple[str, int]]:
    path = settings.home / consent.FOLDER / FILE
    if not path.exists():
        return []
    try:
        with closing(_connect(path)) as opened:
            return [(name, person) for name, person in opened.execute("SELECT name, person FROM people")]
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


def _erased(settings: Settings, rows: Sequence[tuple[str, int]]) -> set[str]:
    """Those that have a tombstone."""
    return Tombstones(settings).among("customer", [name for name, _ in rows])


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read: {error}.", "Run `motherlode features`: it is made anew.")


def _replace(settings: Settings, before: Sequence[tuple[str, int]], after: Sequence[tuple[str, int]]) -> int:
    """Write other rows in place of some; returns how many of those are gone."""
    gone = len({*before} - {*after})
    if gone:
        disk.replace(settings.home / consent.FOLDER / FILE, _content(after))
    return gone


def _content(rows: Iterable[tuple[str, int]]) -> bytes:
    """The file that holds some rows: made anew, so that nothing is left in it of those that went."""
    with closing(sqlite3.connect(":memory:")) as made:
        made.executescript(_NEW)
        made.executemany("INSERT OR REPLACE INTO people VALUES (?, ?)", sorted(rows))
        made.commit()
        return made.serialize()


def _connect(path: Path) -> sqlite3.Connection:
    """A file that nobody changes: it is replaced."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True, check_same_thread=False)
