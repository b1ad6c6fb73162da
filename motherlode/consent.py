"""Consent: for which purposes a customer may be answered personally, as they last said.

`consent/ledger.jsonl` below home keeps every word, append-only; Redis holds the newest of each customer and purpose,
for serving to look up with the features:

    <project>/@consent/{<bucket>}<customer>    JSON: purpose → milliseconds since 1970 UTC, negative where withdrawn
    <project>/@consented/{<bucket>}            there where Redis holds all that the ledger says of the bucket

By event time the newest word wins, in whatever order words arrive; of two of one time the withdrawal. A customer is
named by the join key, never by the company's id. Whose tombstone is left says nothing any more.
"""

import fcntl
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import msgspec

from motherlode import disk, redis_server
from motherlode.api import SERVICE
from motherlode.errors import DataError, SettingsError
from motherlode.online.keys import BUCKETS, bucket, entity_text, guard_key
from motherlode.online.reader import mget
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings

FOLDER: Final = "consent"
LEDGER: Final = "ledger.jsonl"
TABLES: Final = 1_000_000
"""Times below are of what the company's tables say, which have none: their first word's is 1, and so on. Whatever was
said here is newer."""

Rule = Literal["free", "opt-out", "opt-in"]
"""Who is answered personally: everybody; whoever did not withdraw; whoever agreed."""
_RULES: Final[tuple[Rule, ...]] = ("free", "opt-out", "opt-in")
_LONGEST: Final = 1 << 20
"""Bytes; no line that was begun is longer."""
_AT_ONCE: Final = 100
"""Customers a call of the script."""

_SAY: Final = """
-- KEYS: a bucket's guard; n customers' consents. ARGV: per customer purpose, signed time, digest.
-- A newer word replaces an older one; of two of one time the withdrawal stays. Returns how many counted.
local call, abs, counted = redis.call, math.abs, 0
for i = 2, #KEYS do
  local purpose, at, digest = ARGV[3 * i - 5], tonumber(ARGV[3 * i - 4]), ARGV[3 * i - 3]
  if call('HEXISTS', KEYS[1], digest) == 0 then
    local raw = call('GET', KEYS[i])
    local words = raw and cjson.decode(raw) or {}
    local old = words[purpose]
    if not old or abs(at) > abs(old) or (abs(at) == abs(old) and at < old) then
      words[purpose] = at
      call('SET', KEYS[i], cjson.encode(words))
      counted = counted + 1
    end
  end
end
return counted
"""


class UnknownPurposeError(ValueError):
    """A purpose that the settings do not name.

    Attributes:
        known: those that they do.
    """

    def __init__(self, purpose: str, known: Sequence[str]) -> None:
        self.known = tuple(known)
        super().__init__(f"The purpose {purpose!r} is unknown.")


@dataclass(frozen=True)
class Purposes:
    """The purposes that a request may name, each with its rule.

    Attributes:
        rules: by purpose; `service` is always free.
    """

    rules: Mapping[str, Rule]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As MOTHERLODE_PURPOSES says: `marketing=opt-out,profiling=opt-in`.

        Raises:
            SettingsError: a part is no purpose with a rule.
        """
        rules: dict[str, Rule] = {SERVICE: "free"}
        for part in filter(None, (each.strip() for each in settings.purposes.split(","))):
            name, _, said = part.partition("=")
            rule = next((each for each in _RULES if each == said), None)
            if not name.replace("_", "").isalnum() or rule is None or (name == SERVICE and rule != "free"):
                raise SettingsError(
                    f"MOTHERLODE_PURPOSES says {part!r}, which is no purpose with a rule.",
                    f"Write NAME=RULE, the rule one of {', '.join(_RULES)}; {SERVICE!r} is always free.",
                )
            rules[name] = rule
        return cls(rules)

    def rule(self, purpose: str) -> Rule:
        """A purpose's rule.

        Raises:
            UnknownPurposeError: it has none.
        """
        found = self.rules.get(purpose)
        if found is None:
            raise UnknownPurposeError(purpose, sorted(self.rules))
        return found


class Word(msgspec.Struct, frozen=True):
    """What a customer said.

    Attributes:
        customer: the entity text of the join key.
        purpose: of what.
        granted: False: withdrawn.
        at: when, milliseconds since 1970 UTC; below `TABLES` for what the tables say.
    """

    customer: str
    purpose: str
    granted: bool
    at: int

    @property
    def signed(self) -> int:
        """As Redis holds it."""
        return self.at if self.granted else -self.at

    @property
    def rank(self) -> tuple[int, bool]:
        """The word with the higher rank counts."""
        return self.at, not self.granted


class Ledger:
    """Every word of a home, on its disk.

    Args:
        settings: whose home.
    """

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.home / FOLDER
        self._tombstones = Tombstones(settings)
        self._file, self._read = (0, 0), 0
        self._reading = threading.Lock()

    def __bool__(self) -> bool:
        """Whether anybody ever said anything."""
        try:
            return (self._folder / LEDGER).stat().st_size > 0
        except FileNotFoundError:
            return False

    def add(self, words: Sequence[Word]) -> list[Word]:
        """Keep words; on the disk when this returns. Those of erased customers are dropped: returns the others.

        Raises:
            OSError: the system refuses to write; none is kept.
        """
        with self._locked():
            # Within the lock: an erasure leaves its tombstones first, and takes the ledger's words under this lock.
            gone = self._tombstones.among("customer", {each.customer for each in words})
            kept = [each for each in words if each.customer not in gone]
            with (self._folder / LEDGER).open("a+b") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(0, end - _LONGEST))
                tail = file.read()
                # A line without its end was never acknowledged: whoever wrote it died, or the disk was full.
                file.truncate(end - len(tail) + tail.rfind(b"\n") + 1)
                file.write(_lines(kept))
                file.flush()
                os.fsync(file.fileno())
            disk.sync(self._folder)
        return kept

    def fresh(self, most: int | None = None, damaged: Callable[[DataError], None] | None = None) -> list[Word]:
        """The words that this object was not asked for before; after an erasure or a restore, all of them.

        Args:
            most: bytes to read, of the file's end; None: as many as there are.
            damaged: told of each line that is no word, which is passed over.

        Raises:
            DataError: a line is no word, and `damaged` is None.
        """
        with self._reading:
            path = self._folder / LEDGER
            try:
                with path.open("rb") as file:
                    found = os.fstat(file.fileno())
                    if (found.st_dev, found.st_ino) != self._file or found.st_size < self._read:
                        self._file, self._read = (found.st_dev, found.st_ino), 0
                    if most is not None and found.st_size - self._read > most:
                        file.seek(found.st_size - most)
                        self._read = found.st_size - most + len(file.readline())
                    file.seek(self._read)
                    content = file.read()
            except FileNotFoundError:
                return []
            whole = content[: content.rfind(b"\n") + 1]
            self._read += len(whole)
            return _parsed(whole, path, damaged)

    def forgotten(self) -> None:
        """Have `fresh` begin anew: Redis may have lost what it was told."""
        with self._reading:
            self._file, self._read = (0, 0), 0

    def standing(self) -> dict[tuple[str, str], Word]:
        """Customer and purpose → the word that counts.

        Raises:
            DataError: a line is no word.
        """
        path = self._folder / LEDGER
        return newest(_parsed(path.read_bytes(), path)) if path.exists() else {}

    def erase(self, customers: Collection[str]) -> int:
        """Take every word of customers out, of these and of all with a tombstone; returns how many there were."""
        known = {customer for customer, _ in self.standing()}
        gone = {*customers, *self._tombstones.among("customer", known)}
        return self._rewrite(lambda word: None if word.customer in gone else word)

    def rename(self, renamed: Mapping[str, str]) -> int:
        """Know customers by other join keys; returns how many words are affected.

        Args:
            renamed: old → new entity text.
        """
        return self._rewrite(
            lambda word: msgspec.structs.replace(word, customer=renamed.get(word.customer, word.customer))
        )

    def _rewrite(self, change: Callable[[Word], Word | None]) -> int:
        path = self._folder / LEDGER
        if not path.exists():
            return 0
        with self._locked():
            before = _parsed(path.read_bytes(), path)
            after = [change(word) for word in before]
            affected = sum(old != new for old, new in zip(before, after, strict=True))
            if affected:
                disk.replace(path, _lines([word for word in after if word is not None]))
        return affected

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folder / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def consent_key(project: str, customer: str) -> str:
    """What a customer said; `customer` is an entity text."""
    return f"{project}/@consent/{{{bucket(customer)}}}{customer}"


def complete_key(project: str, number: int) -> str:
    """Whether Redis holds all that the ledger says of a bucket."""
    return f"{project}/@consented/{{{number}}}"


def decode(raw: bytes | None) -> Mapping[str, int]:
    """Purpose → signed time, as Redis holds them.

    Raises:
        msgspec.DecodeError: the value is damaged.
    """
    return _NOTHING if raw is None else _DECODER.decode(raw)


def allows(rule: Rule, said: Sequence[int]) -> bool:
    """Whether a rule and what a customer said, signed times under each of their names, allow a personal answer."""
    if rule == "free":
        return True
    if not said:
        return rule == "opt-out"
    return max(said, key=lambda at: (abs(at), at < 0)) > 0


def newest(words: Iterable[Word]) -> dict[tuple[str, str], Word]:
    """Of each customer and purpose the word that counts."""
    found: dict[tuple[str, str], Word] = {}
    for word in words:
        place = word.customer, word.purpose
        if place not in found or word.rank >= found[place].rank:
            found[place] = word
    return found


def calls(project: str, words: Iterable[Word], tombstones: Tombstones) -> Iterator[tuple[Any, ...]]:
    """The calls of a connection's `eval` that tell Redis words, a bucket each."""
    by_bucket: dict[int, list[Word]] = {}
    for word in words:
        by_bucket.setdefault(bucket(word.customer), []).append(word)
    for number, many in by_bucket.items():
        for start in range(0, len(many), _AT_ONCE):
            some = many[start : start + _AT_ONCE]
            keys = [guard_key(project, number), *(consent_key(project, word.customer) for word in some)]
            told = [part for word in some for part in (word.purpose, word.signed, tombstones.of_entity(word.customer))]
            yield _SAY, len(keys), *keys, *told


def tell(client: Any, project: str, words: Iterable[Word], tombstones: Tombstones) -> None:
    """Tell Redis words, in any order, any number of times.

    Raises:
        redis.RedisError: the server is gone, or refuses.
    """
    for call in calls(project, words, tombstones):
        client.eval(*call)


def runs(client: Any) -> bytes:
    """Which runs of which servers hold the keys: another after a restart, which may have lost its last second, a
    failover, or the return to a snapshot.
    """
    found: list[Any] = [server.info("server") for server in redis_server.servers(client)]
    return ",".join(sorted(str(each["run_id"]) for each in found)).encode()


def complete(client: Any, project: str, held_by: bytes) -> bool:
    """Whether these runs (`runs`) were told all that the ledger said."""
    return set(mget(client, [complete_key(project, number) for number in range(BUCKETS)])) == {held_by}


def mark_complete(client: Any, project: str, held_by: bytes) -> None:
    """Say that these runs hold all that the ledger says."""
    with client.pipeline(transaction=False) as pipeline:
        for number in range(BUCKETS):
            pipeline.set(complete_key(project, number), held_by)
        pipeline.execute()


def keep_up(client: Any, settings: Settings, ledger: Ledger, tombstones: Tombstones) -> int:
    """Tell Redis what the ledger has and it may lack; returns how many words were told.

    Each serving process does so every second: a word that another process kept, and could not tell, is told by the
    first that comes along. Telling twice changes nothing.

    Raises:
        redis.RedisError: the server is gone, or refuses.
        DataError: the ledger cannot be read.
    """
    held_by = runs(client)
    whole = complete(client, settings.project, held_by)
    if not whole:
        ledger.forgotten()
    try:
        words = newest(ledger.fresh()).values()
        tell(client, settings.project, words, tombstones)
    except Exception:
        ledger.forgotten()  # none of them is known to be told
        raise
    if not whole:
        mark_complete(client, settings.project, held_by)
    return len(words)


def erase(client: Any, settings: Settings, customers: Sequence[str]) -> int:
    """Take what customers said out of the ledger and out of Redis; returns how many words there were.

    Args:
        client: a connection; None where there is no server.
        settings: whose home.
        customers: entity texts, whose tombstones lie there already.
    """
    taken = Ledger(settings).erase(customers)
    if client is not None:
        for customer in customers:
            taken += int(client.unlink(consent_key(settings.project, customer)))
    return taken


def rename(settings: Settings, outside_ids: Sequence[str]) -> int:
    """Know customers by the current pseudonym key in the ledger; returns how many words that affects."""
    return Ledger(settings).rename(renamed(settings, outside_ids))


def move(client: Any, settings: Settings, outside_ids: Sequence[str]) -> None:
    """Know customers by the current pseudonym key alone in Redis, once the ledger does (`rename`).

    Raises:
        redis.RedisError: the server is gone, or refuses.
    """
    tell(client, settings.project, Ledger(settings).standing().values(), Tombstones(settings))
    for old in renamed(settings, outside_ids):
        client.unlink(consent_key(settings.project, old))


_NOTHING: Final[Mapping[str, int]] = {}
_DECODER: Final = msgspec.json.Decoder(dict[str, int])


def renamed(settings: Settings, outside_ids: Sequence[str]) -> dict[str, str]:
    """Entity texts by previous pseudonym keys → by the current one."""
    now, *before = settings.identity.every_join_key_of(outside_ids)
    return {entity_text((old,)): entity_text((new,)) for keys in before for old, new in zip(keys, now, strict=True)}


def _lines(words: Iterable[Word]) -> bytes:
    return b"".join(msgspec.json.encode(word) + b"\n" for word in words)


def _parsed(content: bytes, path: Path, damaged: Callable[[DataError], None] | None = None) -> list[Word]:
    words = []
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            words.append(msgspec.json.decode(line, type=Word))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problem = DataError(
                f"Line {number} of {path} is no word of consent: {error}.", "Restore it from a copy or a backup."
            )
            if damaged is None:
                raise problem from None
            damaged(problem)
    return words
