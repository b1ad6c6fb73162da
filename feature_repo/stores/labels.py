"""Label frames: what the user asks about, in whatever form Feast's users have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd
import polars as pl
import pyarrow as pa

from feature_repo.stores.arrow import in_utc
from feature_repo.stores.join import LABEL, TIME, micros
from motherlode import names
from motherlode.errors import DataError, StoreError

_EXACT: int = 2**53
"""Beyond it a float does not tell one integer from the next."""


@dataclass(frozen=True)
class Labels:
    """A label frame.

    Attributes:
        table: its own columns, as they came.
        time: the column of label times.
        times_us: the label times, Int64 microseconds since 1970 UTC, as TIME.
    """

    table: pa.Table
    time: str
    times_us: pl.Series

    @property
    def span_us(self) -> tuple[int, int] | None:
        """The first and last label time, microseconds since 1970 UTC; None without labels."""
        first, last = self.times_us.min(), self.times_us.max()
        return (first, last) if isinstance(first, int) and isinstance(last, int) else None

    @property
    def span(self) -> tuple[datetime, datetime] | tuple[None, None]:
        """`span_us` as times."""
        return (None, None) if self.span_us is None else (_time(self.span_us[0]), _time(self.span_us[1]))

    def require(self, column: str) -> None:
        """Check that the labels have a join key.

        Raises:
            DataError: they lack it, naming it and what they have.
        """
        if column not in self.table.column_names:
            raise DataError(
                f"The labels have no column {column!r}; they have {', '.join(self.table.column_names)}.",
                "Add the join key to the label frame.",
            )

    def keyed(self, columns: Sequence[str], targets: Sequence[tuple[str, pl.DataType]]) -> pl.LazyFrame:
        """The labels' keys in the types of a view's keys, with TIME and LABEL.

        Args:
            columns: the label columns.
            targets: for each its name in the join and its type there.

        Raises:
            DataError: a column is missing, or its type cannot be compared.
        """
        for column in columns:
            self.require(column)
        keys = [
            comparable(_series(self.table, column), dtype).alias(name)
            for column, (name, dtype) in zip(columns, targets, strict=True)
        ]
        positions = pl.int_range(len(self.times_us), dtype=pl.Int64, eager=True).alias(LABEL)
        return pl.DataFrame([*keys, self.times_us, positions]).lazy()


def read(entity_df: object) -> Labels:
    """A label frame from pandas, Polars or PyArrow.

    Raises:
        StoreError: it is SQL, or no frame.
        DataError: it has no usable column of times, or a column that Arrow cannot hold.
    """
    table = _table(entity_df)
    time = _time_column(table.schema)
    times = _series(table, time).to_frame()
    return Labels(table, time, times.select(micros(time, times.schema[time]).alias(TIME)).to_series())


def _series(table: pa.Table, column: str) -> pl.Series:
    return pl.DataFrame(pl.from_arrow(in_utc(table.select([column])))).to_series()


def _table(entity_df: object) -> pa.Table:
    if isinstance(entity_df, pa.Table):
        return entity_df
    if isinstance(entity_df, pl.LazyFrame):
        entity_df = entity_df.collect()
    if isinstance(entity_df, pl.DataFrame):
        return entity_df.to_arrow()
    if isinstance(entity_df, pd.DataFrame):
        return _from_pandas(entity_df)
    if isinstance(entity_df, str):
        raise StoreError("The labels are SQL text.", "Motherlode joins files: give a pandas or Polars frame.")
    raise StoreError(f"The labels are a {type(entity_df).__name__}.", "Give a pandas, Polars or PyArrow frame.")


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    times = names.EVENT_TIMESTAMP
    if times in frame.columns and (frame[times].dtype == object or frame.empty):
        # Python datetimes, perhaps of several offsets; and an empty column, which pandas takes for floats.
        frame = frame.assign(**{times: pd.to_datetime(frame[times], utc=True)})
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"The labels cannot be read: {error}", "Give each column values of one type.") from error


def _time_column(schema: pa.Schema) -> str:
    named = [names.EVENT_TIMESTAMP] if names.EVENT_TIMESTAMP in schema.names else None
    found = named or [field.name for field in schema if pa.types.is_timestamp(field.type)]
    if len(found) != 1:
        raise DataError(
            f"The labels have no column {names.EVENT_TIMESTAMP!r}; they have {', '.join(schema.names) or 'none'}.",
            "Name the column of label times so.",
        )
    dtype = schema.field(found[0]).type
    if not (pa.types.is_timestamp(dtype) or pa.types.is_date32(dtype)):
        raise DataError(f"The labels' column {found[0]!r} is {dtype}.", "Give timestamps.")
    return found[0]


def key_type(dtype: pl.DataType) -> pl.DataType:
    """The type in which a view's join key of this type is compared."""
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return pl.String()
    if dtype.is_integer():
        return pl.UInt64() if dtype == pl.UInt64 else pl.Int64()
    return dtype


def comparable(series: pl.Series, target: pl.DataType) -> pl.Series:
    """A label column in the type of a view's key; null where it can equal no key of that type.

    Raises:
        DataError: the types have nothing to do with each other.
    """
    dtype = series.dtype
    if dtype == target:
        return series
    if series.null_count() == len(series):
        return pl.Series(series.name, [None] * len(series), dtype=target)
    if key_type(dtype) == target or (dtype.is_integer() and target.is_integer()):
        return series.cast(target, strict=False)
    if dtype.is_float() and target.is_integer():
        # pandas turns integers with a gap into floats.
        whole = series.is_finite() & (series == series.floor()) & (series.abs() < _EXACT)
        return pl.select(pl.when(whole).then(series)).to_series().cast(target, strict=False)
    raise DataError(
        f"Join key {series.name!r} is {dtype} in the labels and {target} in the features.", "Cast one to the other."
    )


def _time(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
