"""Customers out of other customers' online rows: the lists that name them, the groups that are called after them.

These rows are found by looking at every row of the views that have such columns, so this is done after the customers'
own rows are gone. A row keeps its times, so that the next materialisation replaces it as it would have.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from feature_repo.mart.erasure import Mentions
from feature_repo.warehouse.places import Place
from motherlode import redis_server
from motherlode.online.keys import owned_key, schema_key
from motherlode.online.reader import mget
from motherlode.packed import Schema, Values, created_us_of, decode, encode, fingerprint_of

PLACE: Final = "online lists"
"""The name of places that are in others' rows."""
_AT_ONCE: Final = 1000

REPLACE: Final = """
-- KEYS: a row. ARGV: what it must be; what it becomes ('': it goes).
-- Returns 1 where it was so; else somebody has written it since.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '' then
  redis.call('UNLINK', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
end
return 1
"""


def find(client: Any, project: str, mentions: Mapping[str, Mentions], keys: Collection[str]) -> list[Place]:
    """How many rows name customers, by view and generation.

    Args:
        client: a connection that answers bytes.
        project: the Feast project.
        mentions: view → its columns that hold other customers.
        keys: join keys.
    """
    schemas, rows = _Schemas(client, project), Counter[str]()
    for name, _, _ in _rows(client, project, schemas, mentions, frozenset(keys)):
        rows[name] += 1
    return [Place(PLACE, f"{project}/{name}", count) for name, count in rows.items()]


def erase(client: Any, project: str, mentions: Mapping[str, Mentions], keys: Collection[str]) -> list[Place]:
    """Take customers out of others' rows; a row that cannot be read goes. What is written meanwhile is not lost."""
    script, schemas, gone = client.register_script(REPLACE), _Schemas(client, project), frozenset(keys)
    rows = Counter[str]()
    for name, key, row in _rows(client, project, schemas, mentions, gone):
        schema = schemas.of(row)
        other = b"" if schema is None else _without(row, schema, mentions[name.rpartition("/")[0]], gone)
        rows[name] += int(script(keys=[key], args=[row, other]))
    return [Place(PLACE, f"{project}/{name}", count) for name, count in rows.items()]


class _Schemas:
    """The schemas that rows are written with, by fingerprint."""

    def __init__(self, client: Any, project: str) -> None:
        self._client, self._project = client, project
        self._known: dict[int, Schema | None] = {}

    def of(self, row: bytes) -> Schema | None:
        """A row's; None where nobody knows it."""
        fingerprint = fingerprint_of(row)
        if fingerprint is None:
            return None
        if fingerprint not in self._known:
            data = self._client.get(schema_key(self._project, fingerprint))
            self._known[fingerprint] = None if data is None else Schema.from_json(data)
        return self._known[fingerprint]


def _rows(
    client: Any, project: str, schemas: _Schemas, mentions: Mapping[str, Mentions], gone: frozenset[str]
) -> Iterator[tuple[str, bytes, bytes]]:
    """`<view>/<generation>`, the Redis key and the row, of every row that names one of them, or cannot be read."""
    for name in sorted(name.decode() for name in client.smembers(owned_key(project))):
        if (columns := mentions.get(name.rpartition("/")[0])) is None:
            continue
        for found in redis_server.scan(client, f"{redis_server.literal(f'{project}/{name}/')}{{*"):
            for start in range(0, len(found), _AT_ONCE):
                some = found[start : start + _AT_ONCE]
                rows = mget(client, [key.decode() for key in some])
                for place in _named(rows, schemas, columns, gone):
                    row = rows[place]
                    assert row is not None
                    yield name, some[place], row


def _named(rows: Sequence[bytes | None], schemas: _Schemas, mentions: Mentions, gone: frozenset[str]) -> Iterator[int]:
    """The places of rows that name one of them, of those that hold the bytes of one."""
    sought = [key.encode() for key in gone]
    places = [i for i, row in enumerate(rows) if row is not None and any(piece in row for piece in sought)]
    holding = [rows[place] or b"" for place in places]
    known = [schemas.of(row) for row in holding]
    wanted = [*((name, "string") for name in mentions.single), *((name, "list<string>") for name in mentions.lists)]
    for place, row, schema in zip(places, holding, known, strict=True):
        if schema is None:
            yield place
            continue
        columns = [column for column in schema.columns if (column.name, column.dtype) in wanted]
        read = decode([row], columns, {schema.fingerprint: schema}, now_us=0)
        if read.status[0] or any(_names(read.columns[column.name], gone) for column in columns):
            yield place


def _names(values: Values, gone: frozenset[str]) -> bool:
    """Whether the one value, or an item of the one list, is one of them."""
    if not values.valid[0]:
        return False
    found = values.data[0]
    return found in gone if isinstance(found, str) else not gone.isdisjoint(found)


def _without(row: bytes, schema: Schema, mentions: Mentions, gone: frozenset[str]) -> bytes:
    """The row without them; empty where it cannot be read."""
    read = decode([row], schema.columns, {schema.fingerprint: schema}, now_us=0)
    if read.status[0]:
        return b""
    columns = {column.name: read.columns[column.name] for column in schema.columns}
    for name in mentions.single:
        if name in columns and columns[name].data[0] in gone:
            columns[name] = Values(columns[name].data, np.zeros(1, dtype=np.bool_))
    for name, beside in mentions.lists.items():
        if name not in columns or not columns[name].valid[0]:
            continue
        ids = list(columns[name].data[0])
        kept = [place for place, each in enumerate(ids) if each not in gone]
        for column in {name, *beside} & columns.keys():
            columns[column] = _only(columns[column], kept, len(ids))
    return encode(schema, columns, read.event_us, np.array([created_us_of(row)], dtype=np.int64))[0]


def _only(values: Values, places: list[int], length: int) -> Values:
    """A list's items at some places; null where none is left, as a build has it."""
    if not values.valid[0] or len(values.data[0]) != length:
        return values
    data = np.empty(1, dtype=object)
    old = values.data[0]
    data[0] = old[places] if isinstance(old, np.ndarray) else [old[place] for place in places]
    return Values(data, np.array([bool(places)]))
