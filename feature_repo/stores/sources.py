"""Sources: a Feast source as a lazy frame, its columns under the names that its definition gives them."""

from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.dataset
from feast import FeatureView, FileSource
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.repo_config import RepoConfig

from feature_repo.stores.arrow import has_offsets, in_utc
from feature_repo.stores.join import CREATED, EVENT, ROW, micros
from feature_repo.stores.state import locate
from motherlode.errors import DataError, StoreError


@dataclass(frozen=True)
class Source:
    """A source, opened.

    Attributes:
        name: the source's name, for errors.
        frame: its rows with ROW, their number.
        schema: the types of its columns.
        time: the column of event times.
        created: the column of created times, None where it has none.
    """

    name: str
    frame: pl.LazyFrame
    schema: pl.Schema
    time: str
    created: str | None

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


def open_view(config: RepoConfig, view: FeatureView) -> Source:
    """Open a feature view's source; see `open_source`.

    Raises:
        StoreError: the view has none, naming it.
    """
    if view.batch_source is None:
        raise StoreError(f"View {view.name!r} has no source.", "Give it a FileSource, or push to it alone.")
    return open_source(config, view.batch_source)


def open_source(
    config: RepoConfig,
    source: DataSource,
    *,
    time: str | None = None,
    created: str | None = None,
    mapped: bool = True,
) -> Source:
    """Open a Feast source.

    Args:
        config: where relative paths lie.
        source: a `FileSource` of Parquet: a file, a folder of files, or a URI that Polars reads.
        time, created: the time columns; what the source says by default.
        mapped: whether to rename its columns by its `field_mapping`.

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
    frame = _scan(config, source)
    try:
        schema = frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"Source {source.name!r} cannot be read: {error}", "Build the snapshots again.") from error
    mapping = {old: new for old, new in source.field_mapping.items() if old in schema} if mapped else {}
    if mapping:
        frame = frame.rename(mapping)
        schema = frame.collect_schema()
    # Row numbers are Int64 on both sides of the join, and on both devices.
    numbered = frame.with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64))
    # Feast keeps "" for no created column; and it may name the columns as they were before the mapping.
    event = time or mapping.get(source.timestamp_field, source.timestamp_field)
    made = created if time else (source.created_timestamp_column or None)
    opened = Source(source.name, numbered, schema, event, mapping.get(made, made) if made else None)
    opened.require([opened.time] if opened.created is None else [opened.time, opened.created])
    return opened


def _scan(config: RepoConfig, source: FileSource) -> pl.LazyFrame:
    place = locate(config, source.path)
    if not isinstance(place, Path):
        endpoint = source.s3_endpoint_override
        return pl.scan_parquet(place, storage_options={"aws_endpoint_url": endpoint} if endpoint else None)
    try:
        files = pyarrow.dataset.dataset(place, format="parquet")
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"Source {source.name!r} cannot be read: {error}", "Build the snapshots again.") from error
    if has_offsets(files.schema):
        # Polars has no way to scan these, so they are read whole.
        return pl.DataFrame(pl.from_arrow(in_utc(files.to_table()))).lazy()
    # A folder of files, or one file; either's name may hold any character.
    return (
        pl.scan_parquet(f"{escape(str(place))}/**/*.parquet") if place.is_dir() else pl.scan_parquet(place, glob=False)
    )
