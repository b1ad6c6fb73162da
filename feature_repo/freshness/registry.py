"""What Feast's registry knows of each view's freshness, read without Feast, whose import takes five seconds.

The registry is an SQLite file; a view lies in it as Feast's Protocol Buffer message `FeatureView`, of which two fields
are read. Protocol Buffers never give a field's number to another; a test holds this against what Feast says.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from motherlode.errors import DataError
from motherlode.settings import Settings

_SPEC: Final = 1
_META: Final = 2
_TTL: Final = 6
_INTERVALS: Final = 3
_END: Final = 2
_SECONDS: Final = 1
_NANOS: Final = 2
_TABLES: Final = ("feature_views", "stream_feature_views")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Fields = Iterator[tuple[int, int | bytes]]
"""(field number, its value): an integer, or the bytes of a message."""


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A view in Feast's registry.

    Attributes:
        ttl: its time to live; None: its rows do not go stale.
        watermark: up to when it was materialised, UTC; None where it never was.
    """

    ttl: timedelta | None
    watermark: datetime | None


def read(settings: Settings) -> dict[str, Registered]:
    """View → what is registered; empty where nothing is.

    Raises:
        DataError: it cannot be read.
    """
    if not settings.registry.exists():  # SQLite would make it
        return {}
    found: dict[str, Registered] = {}
    try:
        with closing(sqlite3.connect(f"{settings.registry.as_uri()}?mode=ro", uri=True)) as registry:
            for table in _TABLES:
                there = registry.execute("select 1 from sqlite_master where name = ?", (table,)).fetchone()
                query = f"select feature_view_name, feature_view_proto from {table} where project_id = ?"
                for name, message in registry.execute(query, (settings.project,)) if there else ():
                    found[name] = _registered(message)
    except (sqlite3.Error, IndexError, ValueError) as error:
        raise DataError(f"{settings.registry} cannot be read: {error}.", "Restore it from a backup.") from error
    return dict(sorted(found.items()))


def _registered(message: bytes) -> Registered:
    ttl, ends = timedelta(0), []
    for part, content in _fields(message):
        for number, value in _fields(content) if isinstance(content, bytes) else ():
            if (part, number) == (_SPEC, _TTL):
                ttl = _span(value)
            elif (part, number) == (_META, _INTERVALS):
                ends += [_EPOCH + _span(time) for which, time in _fields(value) if which == _END]
    return Registered(ttl=ttl or None, watermark=max(ends, default=None))


def _span(message: int | bytes) -> timedelta:
    """A `google.protobuf.Duration`, or a `Timestamp` since 1970."""
    values = dict(_fields(message))
    return timedelta(seconds=int(values.get(_SECONDS, 0)), microseconds=int(values.get(_NANOS, 0)) // 1000)


def _fields(message: int | bytes) -> Fields:
    """The fields of a message as they lie on the wire (protobuf.dev, "Encoding")."""
    if isinstance(message, int):
        raise ValueError("a number stands where a message should")
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value: int | bytes
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
            case 1 | 5 as wide:
                length = 8 if wide == 1 else 4
                value, at = int.from_bytes(message[at : at + length], "little"), at + length
            case 2:
                length, at = _varint(message, at)
                value, at = message[at : at + length], at + length
            case other:
                raise ValueError(f"wire type {other} is unknown")
        yield tag >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
