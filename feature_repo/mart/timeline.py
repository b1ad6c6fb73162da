"""The timeline: the integrated tables as the views may see them, the rows of a partition of customers together.

A part of a table (a month, or the whole) is one Parquet file, or several where it is large, with a row group for each
partition, and a last one for rows that belong to no customer: what nobody is known to have done, items, campaigns. So
a partition is read without a look at the others. A part is written anew only where it changed.

Columns that are known only after the outcome, and those whose privacy class keeps them in the warehouse, never enter.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from operator import attrgetter
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from feature_repo.mart import given, manifest
from feature_repo.mart.manifest import TimelinePart
from feature_repo.warehouse import files, state
from feature_repo.warehouse.contract import SCHEMAS, TABLES
from feature_repo.warehouse.lineage import mapping_of
from feature_repo.warehouse.mapping.model import ColumnMap
from feature_repo.warehouse.mapping.model import Mapping as Mapped
from feature_repo.warehouse.quality.classes import SHOWN, classes, entries
from feature_repo.warehouse.state import State
from motherlode import names
from motherlode.bundle import sha256
from motherlode.settings import Settings

FOLDER: Final = "timeline"
GIVEN: Final = "given"
"""The part of `tags` that models and callers of the API gave."""
KEYED: Final = tuple(name for name, schema in SCHEMAS.items() if names.CUSTOMER_ID in schema)
"""Tables whose rows belong to a customer."""

ROWS_PER_PARTITION: Final = 3_000_000
"""Rows of all keyed tables together: what one partition's plans hold in memory at a time."""
ROWS_AT_ONCE: Final = 2_000_000
"""Rows of a part that are put in order together; a larger one becomes several files."""

_LAYOUT: Final = "1"
"""Raised when the files themselves change."""
_LEVEL: Final = 1
_BUCKET: Final = "_bucket"

Parts = Mapping[str, Mapping[str, tuple[TimelinePart, ...]]]
"""Table → month → its files."""


@dataclass(frozen=True)
class Timeline:
    """What the views' rows are made from.

    Attributes:
        partitions: of the customers.
        parts: table → month → its files.
        withheld: table → column → why the views may not see it.
    """

    partitions: int
    parts: Parts
    withheld: Mapping[str, Mapping[str, str]]


def partitions_for(known: State) -> int:
    """How many partitions a warehouse of this size is cut into: a power of two."""
    rows = sum(known.integrated[name].rows for name in KEYED if name in known.integrated)
    wanted = 1
    while wanted * ROWS_PER_PARTITION < rows:
        wanted *= 2
    return wanted


def buckets(ids: pl.Series, partitions: int) -> pl.Series:
    """The partition of each customer, Int32: CRC-32 of its id, which no library's version changes."""
    found = [zlib.crc32(each.encode()) % partitions for each in ids]
    return pl.Series(_BUCKET, found, dtype=pl.Int32)


@dataclass(frozen=True)
class Slice:
    """Rows of an integrated part that become one file.

    Attributes:
        settings: where; without secrets.
        table, month: the part's.
        path: the part's file, below the home.
        columns: those that enter.
        number: the file's, of the part's, from 0.
        rows: in the part.
        partitions: of the customers.
        made_of: digest of what the file follows from.
    """

    settings: Settings
    table: str
    month: str
    path: str
    columns: tuple[str, ...]
    number: int
    rows: int
    partitions: int
    made_of: str

    @property
    def rows_here(self) -> int:
        """In the slice."""
        return min(ROWS_AT_ONCE, self.rows - self.number * ROWS_AT_ONCE)


@dataclass(frozen=True)
class Written:
    """The file of a slice: its table, month and number, and what the manifest says of it."""

    table: str
    month: str
    number: int
    part: TimelinePart


Doer = Callable[[Callable[[Slice], "Written"], Sequence[Slice]], Iterator["Written"]]
"""Cuts slices into partitions, in this process or in others: the results in any order."""


def update(settings: Settings, known: State, before: Parts, partitions: int, runner: Doer = map) -> Timeline:
    """Bring the timeline to the warehouse's state; what did not change is left as it is.

    Args:
        settings: whose mart; without secrets.
        known: the warehouse's state.
        before: the timeline's parts so far.
        partitions: of the customers.
        runner: cuts the slices of what changed.

    Raises:
        DataError: the system refuses to write.
    """
    mapping = mapping_of(settings, known)
    parts: dict[str, dict[str, tuple[TimelinePart, ...]]] = {}
    withheld: dict[str, Mapping[str, str]] = {}
    slices: list[Slice] = []
    for name in SCHEMAS:
        integrated = known.integrated.get(name)
        kept_back = reasons(mapping, name)
        parts[name] = {}
        seen: set[str] = set()
        for month, part in sorted(integrated.parts.items() if integrated else ()):
            columns = pq.read_schema(settings.home / part.path).names
            seen.update(columns)
            entering = [column for column in columns if _enters(kept_back, name, column, mapping)]
            made_of = state.digest(_LAYOUT, part.sha256, *entering, str(partitions))
            old = before.get(name, {}).get(month, ())
            if not _holds(settings, old, made_of):
                slices += [
                    Slice(settings, name, month, part.path, tuple(entering), number, part.rows, partitions, made_of)
                    for number in range(_files(part.rows))
                ]
            parts[name][month] = old
        unknown = {column for column in seen if not _enters(kept_back, name, column, mapping)} - kept_back.keys()
        withheld[name] = {**kept_back, **dict.fromkeys(sorted(unknown), _UNKNOWN)}
    written = sorted(runner(cut, slices), key=attrgetter("table", "month", "number"))
    for (name, month), found in groupby(written, key=attrgetter("table", "month")):
        parts[name][month] = tuple(each.part for each in found)
    gifts = _given(settings, before.get(names.TAGS, {}).get(GIVEN, ()), partitions)
    if gifts:
        parts[names.TAGS][GIVEN] = gifts
    return Timeline(partitions, parts, withheld)


def _given(settings: Settings, old: tuple[TimelinePart, ...], partitions: int) -> tuple[TimelinePart, ...]:
    """The labels that were given beside the warehouse's, as a part of `tags`."""
    made_of = state.digest(_LAYOUT, given.digest(settings), str(partitions))
    if _holds(settings, old, made_of):
        return old
    labels = given.scan(settings).collect()
    if labels.is_empty():
        return ()
    return tuple(
        _write(
            settings,
            _stem(names.TAGS, GIVEN, number),
            labels.slice(number * ROWS_AT_ONCE, ROWS_AT_ONCE),
            made_of,
            partitions,
        )
        for number in range(_files(labels.height))
    )


AFTER_OUTCOME: Final = "is known only after the outcome that one would predict"
PRIVATE: Final = "is of a privacy class that does not leave the warehouse"
_UNKNOWN: Final = "is of no stated privacy class"


def reasons(mapping: Mapped, table: str) -> dict[str, str]:
    """The columns of a table that views may not see, and why."""
    found = {name: PRIVATE for name, privacy in classes(mapping, table).items() if privacy not in SHOWN}
    for name in (names.CUSTOMER_ID, names.VISITOR_ID):  # pseudonyms since clean
        found.pop(name, None)
    for entry in entries(mapping, table):
        for name, column in entry.columns.items():
            if isinstance(column, ColumnMap) and column.after_outcome:
                found[name] = AFTER_OUTCOME
    return found


def _enters(kept_back: Mapping[str, str], table: str, column: str, mapping: Mapped) -> bool:
    return column not in kept_back and (column in TABLES[table].columns or column in classes(mapping, table))


def _holds(settings: Settings, parts: Sequence[TimelinePart], made_of: str) -> bool:
    """Whether these are the files of what they are to be made of, and whole."""
    return bool(parts) and all(
        part.made_of == made_of and manifest.whole(settings.mart / part.path, sum(part.rows)) for part in parts
    )


def cut(rows: Slice) -> Written:
    """Put a slice's rows in order by partition, into its file."""
    source = pl.scan_parquet(rows.settings.home / rows.path, glob=False).select(rows.columns)
    frame = source.slice(rows.number * ROWS_AT_ONCE, ROWS_AT_ONCE).collect()
    stem = _stem(rows.table, rows.month, rows.number)
    part = _write(rows.settings, stem, frame, rows.made_of, rows.partitions)
    return Written(rows.table, rows.month, rows.number, part)


def _files(rows: int) -> int:
    """How many files a part of so many rows becomes: one for every `ROWS_AT_ONCE`."""
    return max(1, -(-rows // ROWS_AT_ONCE))


def _stem(table: str, month: str, number: int) -> str:
    return f"{FOLDER}/{table}/{month or 'all'}{f'-{number}' if number else ''}"


def _write(settings: Settings, stem: str, frame: pl.DataFrame, made_of: str, partitions: int) -> TimelinePart:
    return _file(settings, stem, list(_grouped(frame, partitions)), made_of)


def _grouped(frame: pl.DataFrame, partitions: int) -> Iterator[pl.DataFrame]:
    """The rows of each partition, then those of no customer; in their order."""
    if names.CUSTOMER_ID not in frame.columns:
        yield from (frame.clear() for _ in range(partitions))
        yield frame
        return
    ids = frame[names.CUSTOMER_ID].drop_nulls().unique()
    known = pl.DataFrame([ids, buckets(ids, partitions)])
    marked = frame.join(known, on=names.CUSTOMER_ID, how="left", maintain_order="left").with_columns(
        pl.col(_BUCKET).fill_null(partitions)
    )
    if partitions > 1:
        marked = marked.sort(_BUCKET, maintain_order=True)
    counts = dict(marked.group_by(_BUCKET).len().iter_rows())
    rows = [counts.get(bucket, 0) for bucket in range(partitions + 1)]
    ordered = marked.drop(_BUCKET) if partitions > 1 else marked.sort(_BUCKET, maintain_order=True).drop(_BUCKET)
    for begin, length in zip(accumulate(rows, initial=0), rows, strict=False):
        yield ordered.slice(begin, length)


def _file(settings: Settings, stem: str, groups: Sequence[pl.DataFrame], made_of: str) -> TimelinePart:
    target = settings.mart / f"{stem}.parquet"
    with files.writing(target) as temporary:
        schema = groups[0].to_arrow(compat_level=pl.CompatLevel.oldest()).schema
        with pq.ParquetWriter(temporary, schema, compression="zstd", compression_level=_LEVEL) as writer:
            for group in groups:
                if group.height:
                    arrow = group.to_arrow(compat_level=pl.CompatLevel.oldest())
                    writer.write_table(arrow, row_group_size=max(1, group.height))
        target = target.with_name(f"{target.stem}.{sha256(temporary)[:16]}.parquet")
        temporary.replace(target)
    path = target.relative_to(settings.mart).as_posix()
    return TimelinePart(path=path, made_of=made_of, rows=tuple(group.height for group in groups))


def partition(settings: Settings, timeline: Timeline, number: int) -> dict[str, pl.DataFrame]:
    """The rows of one partition's customers, by keyed table; the columns of the contract but for those withheld."""
    return {name: _together(settings, timeline, name, number) for name in KEYED}


def unkeyed(settings: Settings, timeline: Timeline) -> dict[str, pl.DataFrame]:
    """The tables whose rows belong to no customer."""
    return {name: _together(settings, timeline, name, timeline.partitions) for name in SCHEMAS if name not in KEYED}


def _together(settings: Settings, timeline: Timeline, name: str, group: int) -> pl.DataFrame:
    """One row group of every part of a table, one after the other."""
    found = [part_rows(settings, part, group) for month in timeline.parts[name].values() for part in month]
    return pl.concat([empty(timeline, name), *found], how="diagonal_relaxed")


def part_rows(settings: Settings, part: TimelinePart, group: int) -> pl.DataFrame:
    """The rows of one partition in one file."""
    begin = sum(part.rows[:group])
    return pl.scan_parquet(settings.mart / part.path, glob=False).slice(begin, part.rows[group]).collect()


def empty(timeline: Timeline, name: str) -> pl.DataFrame:
    """A table without rows: its canonical columns but for those withheld."""
    kept_back = timeline.withheld.get(name, {})
    return pl.DataFrame(schema={k: v for k, v in SCHEMAS[name].items() if k not in kept_back})


def scan(settings: Settings, timeline: Timeline, name: str) -> pl.LazyFrame:
    """A whole table, those rows too that belong to no customer."""
    paths = [part.path for month in timeline.parts[name].values() for part in month]
    frames = [pl.scan_parquet(settings.mart / path, glob=False) for path in paths]
    return pl.concat([empty(timeline, name).lazy(), *frames], how="diagonal_relaxed")


def scans(settings: Settings, timeline: Timeline, name: str) -> Iterator[pl.LazyFrame]:
    """The same rows, a file's at a time; the first are none."""
    nothing = empty(timeline, name).lazy()
    yield nothing
    for month in timeline.parts[name].values():
        for part in month:
            rows = pl.scan_parquet(settings.mart / part.path, glob=False)
            yield pl.concat([nothing, rows], how="diagonal_relaxed")
