"""Writing packed rows: newest event time wins, whatever order writers come in, and a tombstone beats all."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Self

import msgspec
import numpy as np
import numpy.typing as npt
import redis
import redis.cluster

from motherlode.errors import SchemaError, StoreError
from motherlode.online import live as generations
from motherlode.online.keys import (
    bucket,
    buckets,
    current_schema_key,
    guard_key,
    live_key,
    of_key,
    owned_key,
    owner,
    row_key,
    row_keys,
    schema_key,
    tagged,
)
from motherlode.online.live import Live
from motherlode.online.reader import mget
from motherlode.online.scripts import DIGESTS_WANTED, LIVE_CHANGED, REMOVE, WRITE
from motherlode.packed import Schema

_BATCH: Final = 1000
"""Rows a script call: long enough to amortise the call, short enough (about 5 ms) to let readers in."""
_TRIES: Final = 60
_PAUSE_S: Final = 0.05
_FLIPS_S: Final = 30.0
"""How long a write makes way for flips. By the clock, since a busy machine has fewer tries in it."""

Digest = Callable[[str], str]
"""Entity text of a customer → its digest (`Tombstones.digest`)."""


@dataclass(frozen=True)
class Target:
    """The rows of one view.

    Attributes:
        view: its name.
        owned: whether they belong to a customer, whose join key the entity texts begin with.
        indexed: whether a customer may have several: there are other join keys beside it.
        generations: to write to; None: what is live and its shadow, as they are at each call.
    """

    view: str
    owned: bool = False
    indexed: bool = False
    generations: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Written:
    """What became of rows.

    Attributes:
        written: that were newer than what lay there, in the first generation.
        refused: of customers that were erased.
    """

    written: int = 0
    refused: int = 0

    def __add__(self, other: "Written") -> "Written":
        return Written(self.written + other.written, self.refused + other.refused)


class OnlineWriter:
    """Writes packed rows, newest event time first in rank whatever order they come in.

    Args:
        client: a connection that answers bytes, to one server or a cluster.
        project: the Feast project.
        digest: a customer's digest; asked for where somebody was erased.
    """

    def __init__(self, client: Any, project: str, digest: Digest) -> None:
        self._client = client
        self._project = project
        self._digest = digest
        self._write = client.register_script(WRITE)
        self._remove = client.register_script(REMOVE)
        self._clustered = isinstance(client, redis.cluster.RedisCluster)
        self._live = Live()

    def declare(self, schema: Schema, target: Target) -> None:
        """Keep the schema, so that readers can look it up by a row's fingerprint. Two round trips.

        What lies there damaged is put right.

        Raises:
            SchemaError: another schema has the same fingerprint; nothing is kept.
        """
        data, key = schema.to_json(), schema_key(self._project, schema.fingerprint)
        held: Any = self._client.set(key, data, nx=True, get=True)
        if held is not None and held != data:
            other = _intact(held, schema.fingerprint)
            if other is not None and other != schema:
                raise SchemaError(
                    f"Views {schema.view!r} and {other.view!r} have the schema fingerprint {schema.fingerprint:08x}.",
                    f"Rename a column of {schema.view!r}: rows are told apart by fingerprints of 32 bits.",
                )
        self._prepare(target, {key: data, current_schema_key(self._project, schema.view): data})

    def write(
        self,
        target: Target,
        entities: Sequence[str],
        rows: Sequence[bytes],
        forget_at_ms: npt.NDArray[np.int64] | None = None,
    ) -> Written:
        """Write N rows of one view, each unless a newer one lies there or its customer was erased.

        One round trip, and one for each thousand rows (in a cluster for each bucket).

        Args:
            target: the view.
            entities: N entity texts.
            rows: N packed rows.
            forget_at_ms: shape (N,), when Redis may free each row, milliseconds since 1970, 0: never; None: none ever.

        Raises:
            redis.RedisError: the server is gone; rows before are written, and may be written again.
            StoreError: what is live changes without end.
        """
        total = Written()
        if rows:
            self._prepare(target)
            numbers = buckets(entities)
            tags = tagged(entities, numbers)
            placed = np.array(numbers, dtype=np.uint8)
            for places in self._batches(placed):
                total += self._send(target, _Batch.of(places, placed, entities, tags, rows, forget_at_ms))
        return total

    def _batches(self, placed: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.int64]]:
        """Places of rows that go together, bucket by bucket: one alone where slots matter."""
        order = np.argsort(placed, kind="stable")
        cuts = np.flatnonzero(np.diff(placed[order])) + 1
        for group in np.split(order, cuts) if self._clustered else [order]:
            for start in range(0, len(group), _BATCH):
                yield group[start : start + _BATCH]

    def _send(self, target: Target, batch: "_Batch") -> Written:
        digests: Sequence[str] | None = None
        until, attempt = time.monotonic() + _FLIPS_S, 0
        while time.monotonic() < until:
            live = self._live
            try:
                return self._call(target, batch, digests)
            except redis.ResponseError as error:
                if str(error).startswith(DIGESTS_WANTED):
                    digests = [self._digest(owner(entity)) for entity in batch.entities()]
                elif str(error).startswith(LIVE_CHANGED):
                    self._prepare(target)
                    if self._live == live:
                        # Whoever flips has set the pointer and not its copies; or has died in between.
                        generations.heal(self._client, self._project, batch.guards)
                    # Of chance length: one as long as a flip takes would meet every flip at the same point.
                    time.sleep(random.uniform(0, _PAUSE_S) if attempt > 1 else 0)
                    attempt += 1
                else:
                    raise
        raise StoreError(f"View {target.view!r} is flipped without end.", "Run one flip at a time.")

    def _call(self, target: Target, batch: "_Batch", digests: Sequence[str] | None) -> Written:
        project, numbers = self._project, self._generations(target)
        keys = [key for number in numbers for key in row_keys(project, target.view, number, batch.tags)]
        keys += [guard_key(project, number) for number in batch.guards]
        if target.indexed:
            keys += [of_key(project, owner(entity)) for entity in batch.entities()] * len(numbers)
        owned = "" if not target.owned else "?" if digests is None else "="
        arguments = (
            *(self._live.to_json(), len(batch.rows), len(batch.guards), len(numbers)),
            *("index" if target.indexed else "", batch.forget, owned),
            *(*batch.counts, *batch.rows, *(digests or ())),
        )
        written, refused = self._write(keys=keys, args=arguments)
        return Written(int(written), int(refused))

    def _prepare(self, target: Target, values: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Learn what is live, and say that these generations hold customers' rows before any of them lies there.

        Args:
            target: what is to be written.
            values: to set by the way.
        """
        for _ in range(_TRIES):
            known = self._live
            with self._client.pipeline(transaction=False) as pipeline:
                pipeline.get(live_key(self._project))
                if target.owned:
                    names = (f"{target.view}/{number}" for number in self._generations(target))
                    pipeline.sadd(owned_key(self._project), *names)
                for key, value in values.items():
                    pipeline.set(key, value)
                self._live = Live.from_json(pipeline.execute()[0])
            if self._live == known:
                return
        raise StoreError(f"What is live in project {self._project!r} changes without end.", "Run one flip at a time.")

    def _generations(self, target: Target) -> tuple[int, ...]:
        return self._live.written(target.view) if target.generations is None else target.generations

    def erase(self, entity: str, at_ms: int) -> int:
        """Leave a customer's digest, so that no writer brings them back, and remove their rows from every view.

        Every generation's, and no key is looked for: three round trips. In this order: whatever a writer brought
        before the digest lay there is in a generation that it had named before.

        Returns:
            How many rows there were.
        """
        self._client.hset(guard_key(self._project, bucket(entity)), self._digest(entity), at_ms)
        return self.remove([entity])

    def remove(self, entities: Sequence[str]) -> int:
        """Remove customers' rows; they may come again. Returns how many there were."""
        named = (name.decode().rpartition("/") for name in sorted(self._client.smembers(owned_key(self._project))))
        owned = [(view, int(generation)) for view, _, generation in named]
        return sum(
            int(
                self._remove(
                    keys=[of_key(self._project, entity)]
                    + [row_key(self._project, view, entity, generation) for view, generation in owned]
                )
            )
            for entity in entities
        )

    def erased(self, entities: Sequence[str]) -> list[bool]:
        """Of N customers, which have a tombstone."""
        with self._client.pipeline(transaction=False) as pipeline:
            for entity in entities:
                pipeline.hexists(guard_key(self._project, bucket(entity)), self._digest(entity))
            return [bool(found) for found in pipeline.execute()]


@dataclass(frozen=True)
class _Batch:
    """Rows of one script call, bucket by bucket.

    Attributes:
        guards: the buckets.
        counts: how many of the rows each of them has.
        tags, rows: N of them; `tags` as `tagged` makes them.
        forget: N little-endian int64; empty: never.
        places: which of the rows that are written they are.
        every: the entity texts of these.
    """

    guards: list[int]
    counts: list[int]
    tags: list[str]
    rows: list[bytes]
    forget: bytes
    places: list[int]
    every: Sequence[str]

    def entities(self) -> list[str]:
        """Their entity texts; most writes need none."""
        return [self.every[i] for i in self.places]

    @classmethod
    def of(
        cls,
        places: npt.NDArray[np.int64],
        placed: npt.NDArray[np.uint8],
        entities: Sequence[str],
        tags: Sequence[str],
        rows: Sequence[bytes],
        forget_at_ms: npt.NDArray[np.int64] | None,
    ) -> Self:
        """Those at some places, which come in the order of their buckets."""
        counts = np.bincount(placed[places])
        guards = np.flatnonzero(counts)
        forget = b""
        if forget_at_ms is not None:
            # A time before 1970 is over as 1970 is, and Redis takes no such.
            at = forget_at_ms[places]
            forget = np.where(at < 0, 1, at).astype("<i8").tobytes()
        these = places.tolist()
        return cls(
            guards.tolist(),
            counts[guards].tolist(),
            [tags[i] for i in these],
            [rows[i] for i in these],
            forget,
            these,
            entities,
        )


def _intact(data: bytes, fingerprint: int) -> Schema | None:
    """The schema that lies under a fingerprint; None where what lies there is damaged, as readers take it too."""
    with suppress(msgspec.DecodeError, SchemaError):
        schema = Schema.from_json(data)
        if schema.fingerprint == fingerprint:
            return schema
    return None


def stored_schemas(client: Any, project: str, views: Sequence[str]) -> Mapping[str, Schema | None]:
    """The schema each view is written with now; None where nothing was ever written."""
    found = mget(client, [current_schema_key(project, view) for view in views]) if views else []
    return {view: None if data is None else Schema.from_json(data) for view, data in zip(views, found, strict=True)}
