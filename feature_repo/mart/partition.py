"""The rows of one partition's customers: what a job is, and the function that does one.

A job and its result go from process to process: both are plain data, and the job names views and files, so that any
process which sees the home folder can do it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import polars as pl

from feature_repo.features import frames
from feature_repo.features.view import View, Words
from feature_repo.mart import apart, pieces, timeline, views
from feature_repo.mart.manifest import Piece
from feature_repo.mart.plans import Plans, declared
from feature_repo.mart.timeline import Timeline
from feature_repo.warehouse.contract import TABLES
from motherlode import names
from motherlode.compute import choose, room
from motherlode.settings import Settings

ROWS_AT_ONCE: Final = 500_000
"""Rows of a view that one plan makes at the most, one snapshot's apart: what bounds its memory."""
_CODES: Final = "_codes"


@dataclass(frozen=True)
class Batch:
    """Rows of some views that are computed together.

    Attributes:
        views: their names.
        snapshots: the times, ascending.
        customers: whose; None: all of the partition's.
    """

    views: tuple[str, ...]
    snapshots: tuple[datetime, ...]
    customers: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Keep:
    """What becomes of a view's pieces so far: rows that no batch computes anew stay.

    Attributes:
        pieces: those of the job's partition and the months that change.
        snapshots: the times that the view has from now on.
        compared: the times of which the rows of all customers are compared anew.
    """

    pieces: tuple[Piece, ...]
    snapshots: tuple[datetime, ...]
    compared: tuple[datetime, ...] = ()


@dataclass(frozen=True)
class Job:
    """Rows of one partition's customers.

    Attributes:
        settings: where, and on which device; without secrets.
        words: the company's words.
        timeline: what rows are made from.
        partition: of the customers, from 0; `pieces.WHOLE` for views that are computed whole.
        batches: what is computed. A view may stand in several.
        kept: view → what becomes of its pieces so far; the views of the job.
        created: the rows' `created_timestamp`.
    """

    settings: Settings
    words: Words
    timeline: Timeline
    partition: int
    batches: tuple[Batch, ...]
    kept: Mapping[str, Keep]
    created: datetime


@dataclass(frozen=True)
class Comparison:
    """Rows of a month of a view that compares customers with each other, from all partitions.

    Attributes:
        settings, words, partitions, created: as in `Job` and `Timeline`.
        view: its name.
        era: the month.
        snapshots: the times of the month whose rows are compared.
        scratch: partition → file of its rows at those times, without what is compared.
        kept: as in `Job`, of all partitions.
    """

    settings: Settings
    words: Words
    partitions: int
    created: datetime
    view: str
    era: str
    snapshots: tuple[datetime, ...]
    scratch: Mapping[int, str]
    kept: Keep


@dataclass(frozen=True)
class Result:
    """What a job wrote.

    Attributes:
        partition: the job's.
        pieces: view → its pieces in the months that changed.
        scratch: view → month → the file of rows that are still to be compared.
        seconds: view → how long it took.
    """

    partition: int
    pieces: Mapping[str, tuple[Piece, ...]]
    scratch: Mapping[str, Mapping[str, str]]
    seconds: Mapping[str, float]


def run(job: Job, on_view: Callable[[str], None] | None = None) -> Result:
    """Compute a job's rows and write them as pieces; where the job is done again, the same bytes come out.

    Args:
        job: what.
        on_view: told each view's name once it is done.

    Raises:
        DataError: a view asks for what it may not see, or does not keep to its declaration.
        DeviceError: a plan does not run on the device that was asked for.
    """
    known = {view.name: view for view in views.load(job.settings, job.words)}
    plans = Plans(room(choose(job.settings.device)), job.timeline)
    source = _Whole(job) if job.partition == pieces.WHOLE else _Customers(job, plans)
    found: dict[str, tuple[Piece, ...]] = {}
    scratch: dict[str, dict[str, str]] = {}
    seconds: dict[str, float] = {}
    for name, keep in job.kept.items():
        started, view = time.perf_counter(), known[name]
        batches = [batch for batch in job.batches if name in batch.views]
        if view.apart:
            found[name] = tuple(_apart(job, view, keep, batches, plans))
            seconds[name] = _told(name, started, on_view)
            continue
        rows = [_rows(view, source, batch, plans) for batch in batches]
        if view.across is None or view.whole:
            found[name] = tuple(_pieces(job, view, keep, batches, rows))
        else:
            scratch[name] = dict(_scratch(job, view, keep, batches, rows))
        seconds[name] = _told(name, started, on_view)
    return Result(job.partition, found, scratch, seconds)


def _told(view: str, started: float, on_view: Callable[[str], None] | None) -> float:
    """Tell that a view is done; the seconds since it was begun."""
    if on_view is not None:
        on_view(view)
    return time.perf_counter() - started


def compare(job: Comparison) -> Result:
    """Compare a month's rows of all customers, and write each partition's piece.

    Raises:
        DataError, DeviceError: as in `run`.
    """
    started = time.perf_counter()
    view = {each.name: each for each in views.load(job.settings, job.words)}[job.view]
    plans = Plans(room(choose(job.settings.device)), Timeline(job.partitions, {}, {}))
    old = {piece.partition: pieces.read(job.settings, view, [piece]) for piece in job.kept.pieces}
    again, plain = pieces.series(job.snapshots), _plain(view)
    base = [
        pl.read_parquet(job.settings.mart / job.scratch[number], glob=False)
        if number in job.scratch
        else old[number].filter(pl.col(names.EVENT_TIMESTAMP).is_in(again.implode())).select(plain)
        for number in sorted({*old, *job.scratch})
    ]
    rows = plans.compared(view, pl.concat([pl.DataFrame(schema={k: pieces.schema(view)[k] for k in plain}), *base]))
    marked = pieces.created(rows, job.created)
    parts = dict(_by_partition(marked, view.key, job.partitions))
    wanted = pieces.series(job.kept.snapshots)
    found = []
    for number in sorted({*old, *parts}):
        kept = old.get(number, marked.clear()).filter(
            pl.col(names.EVENT_TIMESTAMP).is_in(wanted.implode())
            & ~pl.col(names.EVENT_TIMESTAMP).is_in(again.implode())
        )
        both = pl.concat([kept.select(marked.columns), parts.get(number, marked.clear())])
        if both.height:
            found.append(pieces.write(job.settings, view, number, job.era, both))
    return Result(pieces.WHOLE, {view.name: tuple(found)}, {}, {view.name: time.perf_counter() - started})


class _Customers:
    """The tables of one partition, customers by number; and of some of its customers."""

    def __init__(self, job: Job, plans: Plans) -> None:
        tables = timeline.partition(job.settings, job.timeline, job.partition)
        ids = pl.concat([table[names.CUSTOMER_ID] for table in tables.values()]).unique().sort()
        self._ids = pl.DataFrame({names.CUSTOMER_ID: ids, _CODES: pl.int_range(len(ids), eager=True)})
        self._tables = {name: self._coded(table) for name, table in tables.items()}
        self._others = timeline.unkeyed(job.settings, job.timeline)
        self._known: dict[tuple[str, ...] | None, dict[str, pl.LazyFrame]] = {}
        self._plans = plans

    def tables(self, customers: tuple[str, ...] | None) -> Mapping[str, pl.LazyFrame]:
        """The tables of these customers, with their baskets."""
        if customers not in self._known:
            found = self._tables if customers is None else self._only(customers)
            lazy = {name: table.lazy() for name, table in (found | self._others).items()}
            lazy[frames.BASKETS] = self._plans.room.collect(frames.baskets(lazy)).lazy()
            self._known[customers] = lazy
        return self._known[customers]

    def count(self, customers: tuple[str, ...] | None) -> int:
        """How many there are."""
        return self._ids.height if customers is None else len(customers)

    def named(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the customers' ids in place of their numbers."""
        ids = self._ids[names.CUSTOMER_ID].gather(rows[names.CUSTOMER_ID])
        return rows.with_columns(ids.alias(names.CUSTOMER_ID))

    def _coded(self, table: pl.DataFrame) -> pl.DataFrame:
        joined = table.join(self._ids, on=names.CUSTOMER_ID, how="left", maintain_order="left")
        return joined.with_columns(pl.col(_CODES).alias(names.CUSTOMER_ID)).drop(_CODES)

    def _only(self, customers: tuple[str, ...]) -> dict[str, pl.DataFrame]:
        wanted = self._ids.filter(pl.col(names.CUSTOMER_ID).is_in(list(customers)))
        chosen = wanted.select(pl.col(_CODES).alias(names.CUSTOMER_ID))
        return {name: table.join(chosen, on=names.CUSTOMER_ID, how="semi") for name, table in self._tables.items()}


class _Whole:
    """Every table whole, customers by their ids."""

    def __init__(self, job: Job) -> None:
        self._tables = {name: timeline.scan(job.settings, job.timeline, name) for name in job.timeline.parts}

    def tables(self, customers: tuple[str, ...] | None) -> Mapping[str, pl.LazyFrame]:
        """The tables."""
        return self._tables

    def count(self, customers: tuple[str, ...] | None) -> int:
        """Nothing bounds how many snapshots are computed at once."""
        return 0

    def named(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows as they are."""
        return rows


def _rows(view: View, source: _Customers | _Whole, batch: Batch, plans: Plans) -> pl.DataFrame:
    """A batch's rows of a view, without what compares customers of several partitions."""
    tables = declared(view, _recent(view, source.tables(batch.customers), batch.snapshots), plans.timeline)
    at_once = max(1, ROWS_AT_ONCE // max(1, source.count(batch.customers)))
    parts = [
        source.named(plans.rows(view, tables, batch.snapshots[begin : begin + at_once]))
        for begin in range(0, len(batch.snapshots), at_once)
    ]
    return pl.concat(parts)


def _recent(
    view: View, tables: Mapping[str, pl.LazyFrame], snapshots: Sequence[datetime]
) -> Mapping[str, pl.LazyFrame]:
    """The tables without the rows that are too old to matter to a view: its files need not be read whole."""
    if view.looks_back is None:
        return tables
    since = pl.lit(min(snapshots) - view.looks_back, dtype=pl.Datetime("us", "UTC"))
    dated = {name: table.time for name, table in TABLES.items() if table.time is not None and name in tables}
    return {**tables, **{name: tables[name].filter(pl.col(time) >= since) for name, time in dated.items()}}


def _plain(view: View) -> list[str]:
    """The columns of a view's rows before customers are compared."""
    return [view.key, names.EVENT_TIMESTAMP, *(name for name in view.features if name not in view.compared)]


def _stays(batches: Sequence[Batch], key: str) -> pl.Expr:
    """Of a piece's rows, whether no batch computes them anew."""
    anew = pl.lit(value=False)
    for batch in batches:
        hit = pl.col(names.EVENT_TIMESTAMP).is_in(pieces.series(batch.snapshots).implode())
        if batch.customers is not None:
            hit &= pl.col(key).is_in(pl.Series(batch.customers, dtype=pl.String).implode())
        anew |= hit
    return ~anew


def _merged(
    settings: Settings, view: View, keep: Keep, batches: Sequence[Batch], rows: Sequence[pl.DataFrame]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The old rows that stay, and the new ones."""
    wanted = pl.col(names.EVENT_TIMESTAMP).is_in(pieces.series(keep.snapshots).implode())
    old = pieces.read(settings, view, keep.pieces).filter(wanted & _stays(batches, view.key))
    plain = pieces.schema(view)
    columns = plain.names()[:-1] if view.across is None or view.whole else _plain(view)
    return old, pl.concat([pl.DataFrame(schema={name: plain[name] for name in columns}), *rows])


def _pieces(
    job: Job, view: View, keep: Keep, batches: Sequence[Batch], rows: Sequence[pl.DataFrame]
) -> Iterator[Piece]:
    """Write the months that change: the old rows that stay, with the new ones."""
    old, new = _merged(job.settings, view, keep, batches, rows)
    marked = pieces.created(new, job.created)
    both = pl.concat([old.select(marked.columns), marked])
    for month, part in _by_month(both):
        yield pieces.write(job.settings, view, job.partition, month, part)


def _apart(job: Job, view: View, keep: Keep, batches: Sequence[Batch], plans: Plans) -> Iterator[Piece]:
    """As `_pieces`, a month at a time."""
    old = {piece.era: [each for each in keep.pieces if each.era == piece.era] for piece in keep.pieces}
    times = tuple(sorted({moment for batch in batches for moment in batch.snapshots}))
    for month, rows in apart.months(job.settings, view, times, plans):
        yield from _pieces(job, view, replace(keep, pieces=tuple(old.pop(month, ()))), batches, [rows])
    for found in old.values():  # of which snapshots go, and none comes
        yield from _pieces(job, view, replace(keep, pieces=tuple(found)), batches, [])


def _scratch(
    job: Job, view: View, keep: Keep, batches: Sequence[Batch], rows: Sequence[pl.DataFrame]
) -> Iterator[tuple[str, str]]:
    """Write the rows that are to be compared, by month."""
    old, new = _merged(job.settings, view, keep, batches, rows)
    both = pl.concat([old.select(new.columns), new])
    again = both.filter(pl.col(names.EVENT_TIMESTAMP).is_in(pieces.series(keep.compared).implode()))
    parts = dict(_by_month(again))
    for month in pieces.by_era(keep.compared):
        part = parts.get(month, again.clear())
        yield month, pieces.write_scratch(job.settings, view, job.partition, month, part)


def _by_month(rows: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    month = pl.col(names.EVENT_TIMESTAMP).dt.strftime("%Y-%m").alias("_month")
    for (name,), part in rows.with_columns(month).partition_by("_month", as_dict=True, include_key=False).items():
        yield str(name), part


def _by_partition(rows: pl.DataFrame, key: str, partitions: int) -> Iterator[tuple[int, pl.DataFrame]]:
    ids = rows[key].unique()
    known = pl.DataFrame([ids, timeline.buckets(ids, partitions).alias("_partition")])
    joined = rows.join(known, on=key, how="left", maintain_order="left")
    for (number,), part in joined.partition_by("_partition", as_dict=True, include_key=False).items():
        yield int(number), part
