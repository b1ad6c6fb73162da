"""From packed rows to columns."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from motherlode.packed.columns import Column
from motherlode.packed.header import MARK_SIZE, fingerprint_in, mark_of
from motherlode.packed.lines import CORRUPT, PRESENT, STALE, UNKNOWN, Asked, FewRows, Line
from motherlode.packed.places import Wanted
from motherlode.packed.records import Group, ManyRows
from motherlode.packed.rows import ViewRows
from motherlode.packed.schema import Schema

FEW: Final = 8
"""Rows up to which Python reads faster than NumPy: fewer where a matrix is asked for, more where plain values are."""


def decode(
    rows: Sequence[bytes | None],
    wanted: Sequence[Column],
    schemas: Mapping[int, Schema],
    *,
    now_us: int,
    ttl_us: int | None = None,
) -> ViewRows:
    """Unpack N rows into the wanted columns.

    A row is judged on its own: whatever is wrong with it makes *it* null and flagged, never its
    neighbours. A row of another fingerprint is projected by column name and type.

    Args:
        rows: N values as `MGET` answers them; None is an unknown entity.
        wanted: the columns to return; of the same tuple it is remembered how they are read.
        schemas: fingerprint → schema; a row of a fingerprint that is not here reads as CORRUPT.
        now_us: the time to judge ages by, microseconds since 1970 UTC.
        ttl_us: rows older than this are STALE; exactly this old is still PRESENT. None: no limit.
    """
    oldest = None if ttl_us is None else now_us - ttl_us
    unpack = _few if len(rows) <= FEW else _many
    return unpack(rows, wanted, schemas, oldest)


def _served(mark: bytes, wanted: Sequence[Column], schemas: Mapping[int, Schema]) -> Wanted | None:
    """How rows of a mark are read; None where they cannot be."""
    if len(mark) != MARK_SIZE or (schema := schemas.get(fingerprint_in(mark))) is None:
        return None
    places = schema.placed(mark[0])
    return None if places is None else places.serving(wanted)


def _few(
    rows: Sequence[bytes | None], wanted: Sequence[Column], schemas: Mapping[int, Schema], oldest_us: int | None
) -> FewRows:
    """Row by row."""
    asked, view = None, ""
    events, statuses, values = [], [], []
    lines: dict[bytes, Line | None] = {}
    for row in rows:
        event, held, status = 0, None, UNKNOWN if row is None else CORRUPT
        if row is not None:
            mark = mark_of(row)
            if mark not in lines:
                served = _served(mark, wanted, schemas)
                lines[mark] = None if served is None else served.once(Line)
            line = lines[mark]
            if line is not None and (found := line.read(row)) is not None:
                asked, view, (event, held), status = line.asked, line.view, found, PRESENT
                if oldest_us is not None and event < oldest_us:
                    held, status = None, STALE
        events.append(event)
        statuses.append(status)
        values.append(held)
    asked = asked or Asked(wanted)
    every = [asked.nothing if each is None else each for each in values]
    return FewRows(asked, view, events, statuses, every, partial(_many, rows, wanted, schemas, oldest_us))


def _many(
    rows: Sequence[bytes | None], wanted: Sequence[Column], schemas: Mapping[int, Schema], oldest_us: int | None
) -> ManyRows:
    """Column by column."""
    n = len(rows)
    marks = list(map(mark_of, rows)) if all(rows) else [None if row is None else mark_of(row) for row in rows]
    distinct = set(marks)
    groups = []
    for mark in distinct:
        served = None if mark is None else _served(mark, wanted, schemas)
        if served is not None:
            if len(distinct) == 1:
                groups.append(Group(rows, served, slice(n)))
            else:
                these = [i for i, each in enumerate(marks) if each == mark]
                groups.append(Group([rows[i] for i in these], served, np.array(these)))
    unknown = [i for i, mark in enumerate(marks) if mark is None] if None in distinct else []
    return ManyRows(wanted, groups, unknown, n, oldest_us)
