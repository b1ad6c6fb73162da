"""Which snapshots there are: the regular ones, and one as fresh as the data."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from feature_repo.mart.changes import Grid
from feature_repo.warehouse.contract import TABLES
from motherlode import names

WARM_UP: Final = timedelta(days=28)
"""Data that the first snapshot needs behind it: the shortest window."""
DAY: Final = timedelta(days=1)

Span = tuple[datetime, datetime]


def span(tables: Mapping[str, pl.LazyFrame]) -> Span | None:
    """The first purchase (without purchases, the first event of any kind) and the last event; None without any.

    A label is no event: one that a model gives today would else put the latest snapshot into tomorrow.
    """
    found = {
        name: _span(tables[name], table.time)
        for name, table in TABLES.items()
        if table.time is not None and name != names.TAGS
    }
    known = {name: each for name, each in found.items() if each is not None}
    if not known:
        return None
    first = known[names.TRANSACTIONS][0] if names.TRANSACTIONS in known else min(each[0] for each in known.values())
    return first, max(each[1] for each in known.values())


def latest(data: Span) -> datetime:
    """Midnight UTC after the last day with data."""
    return _midnight(data[1]) + DAY


def snapshots(data: Span, grid: Grid) -> tuple[datetime, ...]:
    """The snapshots of the data, ascending.

    The regular ones stand on the grid, the first with four weeks of data behind it. The last is `latest`, whether it
    stands on the grid or between; it stands alone where there is too little data.
    """
    earliest, end = _midnight(data[0]) + WARM_UP, latest(data)
    first = -((grid.anchor - earliest) // grid.cadence)
    last = (end - grid.anchor) // grid.cadence
    regular = [grid.anchor + number * grid.cadence for number in range(first, last + 1)]
    return tuple(sorted({*regular, end}))


def _span(table: pl.LazyFrame, time: str) -> Span | None:
    ends = table.select(pl.col(time).min().alias("first"), pl.col(time).max().alias("last"))
    first, last = ends.collect(engine="streaming").row(0)
    return None if first is None else (first, last)


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
