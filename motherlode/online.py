"""The online store's way of using Redis: keys, newest-wins, and the fast reader.

Reader and writer speak of the same keys and the same script, so they stand together. The reader makes
one round trip for any number of views and entities.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import redis
import redis.asyncio

from motherlode.packed import HEADER_SIZE, Column, Schema, ViewRows, decode, is_tombstone, tombstone

_BATCH: Final = 1000
"""Rows a script call: long enough to amortise the call, short enough (about 5 ms) to let readers in."""


class ViewRequest(msgspec.Struct, frozen=True):
    """What a reader wants of a view.

    Attributes:
        view: the feature view's name.
        columns: the columns wanted, by name and type.
        ttl_s: seconds after its event time when a row goes stale; None: never.
    """

    view: str
    columns: tuple[Column, ...]
    ttl_s: int | None


def row_key(project: str, view: str, entity: str) -> str:
    """The Redis key of one row.

    The project is a whole segment, so that no project is another's prefix; the braces make one
    entity's views share a slot of Redis Cluster.
    """
    return f"{project}/{view}/{{{entity}}}"


def schema_key(project: str, fingerprint: int) -> str:
    """The Redis key that holds the schema of a fingerprint, as JSON."""
    return f"{project}/@schema/{fingerprint:016x}"


def current_schema_key(project: str, view: str) -> str:
    """The Redis key that holds the schema a view is written with now, as JSON."""
    return f"{project}/@view/{view}"


def entity_text(values: Sequence[int | str]) -> str:
    """The entity part of a key: its join key values in the join keys' sorted order."""
    return "|".join(_escape(str(value)) for value in values)


def _escape(text: str) -> str:
    if not any(mark in text for mark in "%|/{}"):
        return text
    for mark in "%|/{}":
        text = text.replace(mark, f"%{ord(mark):02X}")
    return text


NEWEST_WINS: Final = """
-- KEYS: row keys. ARGV: per key the row and the time to forget it at (ms since 1970; '0' = never).
-- A row replaces another when its event time is newer, or equal with a created time not older.
-- A tombstone is never replaced. Returns how many rows were written.
local written = 0
for i = 1, #KEYS do
  local row = ARGV[2 * i - 1]
  local head = redis.call('GETRANGE', KEYS[i], 0, 31)
  local newer = true
  if #head == 32 then
    if head:byte(6) % 2 == 1 then
      newer = false
    else
      local old_event, old_created = struct.unpack('<i8i8', head, 17)
      local event, created = struct.unpack('<i8i8', row, 17)
      newer = event > old_event or (event == old_event and created >= old_created)
    end
  end
  if newer then
    local forget = ARGV[2 * i]
    if forget == '0' then
      redis.call('SET', KEYS[i], row)
    else
      redis.call('SET', KEYS[i], row, 'PXAT', forget)
    end
    written = written + 1
  end
end
return written
"""
"""Decided in the server, so that the outcome does not depend on who writes when."""


def now_us() -> int:
    """The wall clock, microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class _Requests:
    """What the sync and the async reader share: which keys to ask for, and what their values mean."""

    def __init__(self, project: str, requests: Sequence[ViewRequest]) -> None:
        self.project = project
        self.requests = tuple(requests)
        self._schemas: dict[int, Schema] = {}

    def _keys(self, entities: Sequence[str], before: Sequence[Sequence[str]]) -> list[str]:
        names = [entity for each in (entities, *before) for entity in each]
        return [row_key(self.project, request.view, entity) for request in self.requests for entity in names]

    @staticmethod
    def _newest(values: Sequence[bytes | None], n: int, times: int) -> Sequence[bytes | None]:
        """Of each entity that was asked for by several names, one row: a tombstone, else the newest name's."""
        if times == 1:
            return values
        chosen: list[bytes | None] = []
        for start in range(0, len(values), n * times):
            for i in range(start, start + n):
                rows = [row for row in values[i : i + n * times : n] if row is not None]
                chosen.append(next(filter(is_tombstone, rows), rows[0] if rows else None))
        return chosen

    def _unseen(self, values: Sequence[bytes | None]) -> list[int]:
        seen = {int.from_bytes(row[8:16], "little") for row in values if row is not None and len(row) >= 16}
        return sorted(seen - self._schemas.keys() - {0})

    def _learn(self, fingerprints: Sequence[int], found: Sequence[bytes | None]) -> None:
        for fingerprint, data in zip(fingerprints, found, strict=True):
            if data is not None:
                # A schema that is damaged stays unknown: its rows read as CORRUPT, and no others.
                with suppress(msgspec.DecodeError):
                    schema = Schema.from_json(data)
                    if schema.fingerprint == fingerprint:
                        self._schemas[fingerprint] = schema

    def _decode(self, values: Sequence[bytes | None], n: int, at_us: int) -> dict[str, ViewRows]:
        return {
            request.view: decode(
                values[i * n : (i + 1) * n],
                request.columns,
                self._schemas,
                now_us=at_us,
                ttl_us=None if request.ttl_s is None else request.ttl_s * 1_000_000,
            )
            for i, request in enumerate(self.requests)
        }


class OnlineReader(_Requests):
    """Reads packed rows straight to NumPy columns.

    Args:
        client: a connection that answers bytes (`decode_responses=False`).
        project: the Feast project.
        requests: the views and columns wanted.
    """

    def __init__(self, client: redis.Redis, project: str, requests: Sequence[ViewRequest]) -> None:
        super().__init__(project, requests)
        self._client = client

    def read(
        self, entities: Sequence[str], at_us: int | None = None, before: Sequence[Sequence[str]] = ()
    ) -> dict[str, ViewRows]:
        """Every requested view's rows of N entities, in their order.

        Args:
            entities: N entity texts (`entity_text`; a customer's is its join key).
            at_us: the time to judge ages by; now by default.
            before: what the same N were called before, the newest first: their join keys by previous pseudonym keys.
                A row of the newest name wins, a tombstone of any beats all. It is the same one round trip.

        Raises:
            redis.RedisError: the server is gone or too slow.
        """
        if not entities:
            return self._decode([], 0, 0)
        found_now: Any = self._client.mget(self._keys(entities, before))
        values = self._newest(found_now, len(entities), 1 + len(before))
        if unseen := self._unseen(values):
            found: Any = self._client.mget([schema_key(self.project, f) for f in unseen])
            self._learn(unseen, found)
        return self._decode(values, len(entities), now_us() if at_us is None else at_us)


class AsyncOnlineReader(_Requests):
    """`OnlineReader` on an asyncio connection."""

    def __init__(self, client: redis.asyncio.Redis, project: str, requests: Sequence[ViewRequest]) -> None:
        super().__init__(project, requests)
        self._client = client

    async def read(
        self, entities: Sequence[str], at_us: int | None = None, before: Sequence[Sequence[str]] = ()
    ) -> dict[str, ViewRows]:
        """See `OnlineReader.read`."""
        if not entities:
            return self._decode([], 0, 0)
        found_now: Any = await self._client.mget(self._keys(entities, before))
        values = self._newest(found_now, len(entities), 1 + len(before))
        if unseen := self._unseen(values):
            found: Any = await self._client.mget([schema_key(self.project, f) for f in unseen])
            self._learn(unseen, found)
        return self._decode(values, len(entities), now_us() if at_us is None else at_us)


class OnlineWriter:
    """Writes packed rows, newest event time first in rank whatever order they come in."""

    def __init__(self, client: redis.Redis, project: str) -> None:
        self._client = client
        self._project = project
        self._script = client.register_script(NEWEST_WINS)

    def declare(self, schema: Schema) -> None:
        """Publish the schema that the view is written with from now on; readers of older rows keep theirs."""
        data = schema.to_json()
        self._client.mset(
            {
                schema_key(self._project, schema.fingerprint): data,
                current_schema_key(self._project, schema.view): data,
            }
        )

    def write(
        self,
        view: str,
        entities: Sequence[str],
        rows: Sequence[bytes],
        forget_at_ms: npt.NDArray[np.int64] | None = None,
    ) -> int:
        """Write N rows, those that win.

        Args:
            view: the feature view's name.
            entities: N entity texts.
            rows: N packed rows (`packed.encode`), of a schema that was declared.
            forget_at_ms: shape (N,), when Redis may free the key, milliseconds since 1970; None: never.

        Returns:
            How many rows were newer than what was there.
        """
        forget = ["0"] * len(rows) if forget_at_ms is None else list(map(str, forget_at_ms.tolist()))
        written = 0
        for start in range(0, len(rows), _BATCH):
            keys = [row_key(self._project, view, entity) for entity in entities[start : start + _BATCH]]
            args: list[bytes | str] = []
            for row, at in zip(rows[start : start + _BATCH], forget[start : start + _BATCH], strict=True):
                args += (row, at)
            written += int(self._script(keys=keys, args=args))
        return written

    def erase(self, entity: str, views: Sequence[str]) -> None:
        """Replace an entity's rows by tombstones, for good."""
        mark = tombstone(now_us())
        self._client.mset({row_key(self._project, view, entity): mark for view in views})

    def erased(self, entities: Sequence[str], views: Sequence[str]) -> list[bool]:
        """Of N entities, which have a tombstone in any of the views."""
        found = [False] * len(entities)
        for start in range(0, len(entities), _BATCH):
            batch = entities[start : start + _BATCH]
            pipeline = self._client.pipeline(transaction=False)
            for entity in batch:
                for view in views:
                    pipeline.getrange(row_key(self._project, view, entity), 0, HEADER_SIZE - 1)
            heads = pipeline.execute()
            for i in range(len(batch)):
                found[start + i] = any(map(is_tombstone, heads[i * len(views) : (i + 1) * len(views)]))
        return found

    def remove(self, entities: Sequence[str], views: Sequence[str]) -> int:
        """Take away every row of these entities, tombstones included; returns how many there were."""
        gone = 0
        for start in range(0, len(entities), _BATCH):
            keys = [row_key(self._project, view, each) for each in entities[start : start + _BATCH] for view in views]
            answer: Any = self._client.unlink(*keys) if keys else 0
            gone += int(answer)
        return gone


def stored_schemas(client: redis.Redis, project: str, views: Sequence[str]) -> Mapping[str, Schema | None]:
    """The schema each view is written with now; None where nothing was ever written."""
    found: Any = client.mget([current_schema_key(project, view) for view in views]) if views else []
    return {view: None if data is None else Schema.from_json(data) for view, data in zip(views, found, strict=True)}
