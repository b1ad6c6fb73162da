"""Sources: a Feast source as a lazy frame, its columns under the names that its definition gives them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from feast import FeatureView, Field, FileSource
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.repo_config import RepoConfig

from feature_repo.mart import manifest
from feature_repo.mart.manifest import Manifest
from feature_repo.stores import dtypes
from feature_repo.stores.arrow import from_polars, has_offsets, in_utc, join_chunks, plain
from feature_repo.stores.join import CREATED, EVENT, ROW, micros
from feature_repo.stores.parquet import Pieces, look
from feature_repo.stores.picks import Integers, Marks
from feature_repo.stores.state import locate, pieces, settings_of
from motherlode.errors import DataError, StoreError


@dataclass(frozen=True)
class Source:
    """A source, opened.

    Attributes:
        name: the source's name, for errors.
        files: its Parquet files; None where Polars reads it from elsewhere.
        scanned: its rows as they lie there, under the names that they have there.
        mapping: of its columns: name there → name here, where these differ.
        schema: the types of its columns.
        time: the column of event times.
        created: the column of created times, None where it has none.
    """

    name: str
    files: Pieces | None
    scanned: Callable[[], pl.LazyFrame]
    mapping: Mapping[str, str]
    schema: pl.Schema
    time: str
    created: str | None

    @cached_property
    def frame(self) -> pl.LazyFrame:
        """Its rows with ROW, their number."""
        # Row numbers are Int64 on both sides of the join, and on both devices.
        numbered = self.scanned().rename(dict(self.mapping)).with_row_index(ROW)
        return numbered.with_columns(pl.col(ROW).cast(pl.Int64))

    def dated(self, columns: Sequence[str], within: tuple[int, int]) -> tuple[pa.Table, Integers]:
        """Columns of all rows whose event time may lie within a span, and the rows' numbers.

        Args:
            columns: what to read.
            within: the first and last microsecond since 1970 UTC.
        """
        if self.files is None:
            table = from_polars(self.frame.select(columns).collect(engine="streaming"))
            return _plain(table), np.arange(table.num_rows)
        groups = self.files.within(self._there(self.time), *within)
        table = self.files.read(groups, [self._there(name) for name in columns]).rename_columns(columns)
        numbers = [np.arange(group.start, group.start + group.rows) for group in groups]
        return _in_utc(table), np.concatenate([np.arange(0), *numbers])

    def take(self, used: Marks, columns: Sequence[str]) -> pa.Table:
        """Columns of the rows that are marked, in order, in the types of `arrow.plain`.

        Args:
            used: shape (rows,).
            columns: what to read of them.
        """
        if self.files is None:
            frame = self.frame.select(columns).collect(engine="streaming")
            return _plain(from_polars(frame.filter(pl.Series(used))))
        return _in_utc(self.files.take(used, [self._there(name) for name in columns]).rename_columns(columns))

    def stream(self, columns: Sequence[str], used: Marks, rows: int) -> Iterator[tuple[int, pl.DataFrame]]:
        """Columns of its rows, some at a time: the number of the first, and the rows.

        Args:
            columns: what to read.
            used: shape (rows,): row groups without a marked row are not read; the others are, with all their rows.
            rows: at most so many at a time. Memory holds these alone, whatever the size of the files' row groups.
        """
        columns = list(dict.fromkeys(columns))
        if self.files is None:
            for start in range(0, len(used), rows):
                if used[start : start + rows].any():
                    # Not `collect_batches`: it runs ahead of its reader and holds what it has read.
                    yield start, self.frame.slice(start, rows).select(columns).collect(engine="streaming")
            return
        there = [self._there(name) for name in columns]
        for group in self.files.groups:
            if used[(start := group.start) : start + group.rows].any():
                for table in group.file.stream(group.index, there, rows):
                    yield start, pl.DataFrame(pl.from_arrow(_in_utc(table.rename_columns(columns))))
                    start += table.num_rows

    def within(self, first: int, last: int, late: int | None = None) -> Marks:
        """Rows that may have an event time from `first` to `last`, or up to `last` and a created time after `late`;
        shape (rows,). It is their row groups that tell; all times in microseconds since 1970 UTC."""
        if self.files is None:
            return np.ones(self.rows, dtype=np.bool_)
        found = np.zeros(self.rows, dtype=np.bool_)
        for group in self.files.groups:
            event = group.file.times(group.index, self._there(self.time))
            created = None if self.created is None else group.file.times(group.index, self._there(self.created))
            came = late is not None and self.created is not None and (created is None or created[1] > late)
            there = event is None or (event[0] <= last and (event[1] >= first or came))
            found[group.start : group.start + group.rows] = there
        return found

    @property
    def rows(self) -> int:
        """How many rows it has."""
        if self.files is None:
            counted: int = self.frame.select(pl.len()).collect().item()
            return counted
        return self.files.rows

    def _there(self, column: str) -> str:
        return next((there for there, here in self.mapping.items() if here == column), column)

    def event_us(self) -> pl.Expr:
        """Event times, Int64 microseconds, as EVENT."""
        return self._micros(self.time).alias(EVENT)

    def created_us(self) -> pl.Expr:
        """Created times, Int64 microseconds, as CREATED; null where the source has none."""
        if self.created is None:
            return pl.lit(None, dtype=pl.Int64).alias(CREATED)
        return self._micros(self.created).alias(CREATED)

    def newest(self, keys: Sequence[str], within: pl.Expr) -> pl.LazyFrame:
        """The newest row of each key: its ROW, EVENT and CREATED.

        Args:
            keys: the join keys; none makes one row of all.
            within: of EVENT and CREATED: which rows count. Rows without an event time or a key never do.
        """
        dated = self.frame.select(*keys, self.event_us(), self.created_us(), ROW)
        there = pl.all_horizontal(pl.col(name).is_not_null() for name in (*keys, EVENT))
        ordered = dated.filter(there & within).sort(EVENT, CREATED, ROW)
        last = ordered.unique(subset=list(keys), keep="last") if keys else ordered.last()
        return last.select(ROW, EVENT, CREATED)

    def require(self, columns: Sequence[str]) -> None:
        """Check that the columns are here.

        Raises:
            DataError: one is missing, naming it and those there are.
        """
        for column in columns:
            if column not in self.schema:
                raise DataError(
                    f"Source {self.name!r} has no column {column!r}; it has {', '.join(self.schema)}.",
                    "Correct the definition or its field_mapping, or build the snapshots again.",
                )

    def _micros(self, column: str) -> pl.Expr:
        try:
            return micros(column, self.schema[column], up=True)
        except TypeError as error:
            raise DataError(f"Source {self.name!r}: {error}", "Store it as a timestamp.") from error


def open_view(config: RepoConfig, view: FeatureView, mart: Manifest | None = None) -> Source:
    """Open a feature view's source; see `open_source`.

    Raises:
        StoreError: the view has none, naming it.
    """
    if view.batch_source is None:
        raise StoreError(f"View {view.name!r} has no source.", "Give it a FileSource, or push to it alone.")
    source = view.batch_source
    fields = {field.name: _declared(view, field) for field in (*view.entity_columns, *view.features)}
    times = dict.fromkeys(
        filter(None, (source.timestamp_field, source.created_timestamp_column)), dtypes.POLARS["timestamp"]
    )
    back = {new: old for old, new in source.field_mapping.items()}
    empty = pl.Schema({back.get(name, name): dtype for name, dtype in (fields | times).items()})
    return open_source(config, source, mart=mart, empty=empty)


def _declared(view: FeatureView, field: Field) -> pl.DataType:
    return dtypes.polars_type(dtypes.kind(view.name, field).packed)


def open_source(
    config: RepoConfig,
    source: DataSource,
    *,
    time: str | None = None,
    created: str | None = None,
    mapped: bool = True,
    mart: Manifest | None = None,
    empty: pl.Schema | None = None,
) -> Source:
    """Open a Feast source.

    Args:
        config: where relative paths lie.
        source: a `FileSource` of Parquet: a view in the mart, a file, a folder of files, or a URI that Polars reads.
        time, created: the time columns; what the source says by default.
        mapped: whether to rename its columns by its `field_mapping`.
        mart: which mart, so that all sources of one call are of one; the present one by default.
        empty: the columns of a view in the mart that has no row and so no file.

    Raises:
        StoreError: it is no such source, or its file is not there.
        DataError: its file cannot be read, or lacks a time column.
    """
    if not isinstance(source, FileSource):
        raise StoreError(
            f"Source {source.name!r} is a {type(source).__name__}.", "Motherlode's offline store reads FileSource."
        )
    if not isinstance(source.file_format, ParquetFormat | None):
        raise StoreError(f"Source {source.name!r} is a {type(source.file_format).__name__}.", "Write it as Parquet.")
    try:
        mart = manifest.read(settings_of(config)) if mart is None else mart
        files, scanned = _found(config, source, mart, pl.Schema() if empty is None else empty)
        schema = scanned().collect_schema() if files is None else _schema(files)
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"Source {source.name!r} cannot be read: {error}", "Build the snapshots again.") from error
    mapping = {old: new for old, new in source.field_mapping.items() if old in schema} if mapped else {}
    schema = pl.Schema({mapping.get(name, name): dtype for name, dtype in schema.items()})
    # Feast keeps "" for no created column; and it may name the columns as they were before the mapping.
    event = time or mapping.get(source.timestamp_field, source.timestamp_field)
    made = created if time else (source.created_timestamp_column or None)
    opened = Source(source.name, files, scanned, mapping, schema, event, mapping.get(made, made) if made else None)
    opened.require([opened.time] if opened.created is None else [opened.time, opened.created])
    return opened


def _found(
    config: RepoConfig, source: FileSource, mart: Manifest, empty: pl.Schema
) -> tuple[Pieces | None, Callable[[], pl.LazyFrame]]:
    """A source's files, looked up once, and how Polars scans them."""
    paths = pieces(config, source.path, mart)
    if paths is None:
        place = locate(config, source.path)
        if not isinstance(place, Path):
            endpoint = source.s3_endpoint_override
            options = {"aws_endpoint_url": endpoint} if endpoint else None
            return None, lambda: pl.scan_parquet(place, storage_options=options)
        paths = sorted(place.rglob("*.parquet")) if place.is_dir() else [place]
    if not paths:
        return Pieces((), from_polars(pl.DataFrame(schema=empty)).schema, 0), lambda: pl.LazyFrame(schema=empty)
    files = look(paths)
    if has_offsets(files.schema):
        # Polars has no way to scan these, so they are read whole.
        return files, lambda: pl.DataFrame(pl.from_arrow(in_utc(files.read(files.groups, files.schema.names)))).lazy()
    return files, lambda: pl.scan_parquet(paths, glob=False)


def _schema(files: Pieces) -> pl.Schema:
    return pl.DataFrame(pl.from_arrow(in_utc(files.schema.empty_table()))).schema


def _in_utc(table: pa.Table) -> pa.Table:
    return in_utc(table) if has_offsets(table.schema) else table


def _plain(table: pa.Table) -> pa.Table:
    return pa.table({name: join_chunks([table[name]], plain(table[name].type)) for name in table.column_names})
