"""What a table's columns hold: how full they are, how many values, and how these are distributed."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from feature_repo.warehouse.contract import Privacy
from feature_repo.warehouse.quality.parquet import Extent

Floats = npt.NDArray[np.float64]
Kind = Literal["number", "time", "text", "boolean", "hidden"]

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS: Final = 24
TOP: Final = 12
"""Values of a text column that are kept, the most frequent first."""
CROWD: Final = 5
"""Rows that must share a value of a `quasi` column before it is shown: fewer may be one person."""
_TAIL: Final = 0.005
"""The share of values at either end that a histogram gathers in its outer bins."""
LONGEST: Final = 80
"""Characters of a value that are kept."""
_APPROXIMATE: Final = 5_000_000
"""Rows from which distinct values are estimated (HyperLogLog, 2 %): counting them takes too much memory."""


class Value(msgspec.Struct, frozen=True):
    """A frequent value and the rows that have it."""

    text: str
    rows: int


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column's figures.

    Attributes:
        name, dtype: its name and type.
        privacy: its class; of `identifier` and `sensitive` nothing but counts is kept.
        kind: how it is shown.
        rows, nulls: of the whole table.
        looked_at: rows that the rest is taken from; fewer than `rows` in a sample.
        distinct: different values among those.
        low, high: the extremes of the whole table; times in seconds since 1970 UTC, as all figures of times.
        mean, deviation: of numbers.
        quantiles: at QUANTILES, or empty.
        edges, counts: the histogram; the outer bins also hold what lies beyond them.
        top: the most frequent values of texts and booleans.
    """

    name: str
    dtype: str
    privacy: Privacy
    kind: Kind
    rows: int
    nulls: int
    looked_at: int
    distinct: int
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    deviation: float | None = None
    quantiles: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    top: tuple[Value, ...] = ()

    @property
    def null_share(self) -> float:
        return self.nulls / self.rows if self.rows else 0.0

    @property
    def exact(self) -> bool:
        """Whether every row was looked at."""
        return self.looked_at == self.rows


class Table(msgspec.Struct, frozen=True):
    """A table's columns, in their order."""

    name: str
    rows: int
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)


def table(
    name: str, frame: pl.DataFrame, rows: int, classes: Mapping[str, Privacy], known: Mapping[str, Extent]
) -> Table:
    """A table's figures from a frame of its rows.

    Args:
        name: the table's.
        frame: all of its rows, or a sample.
        rows: of the whole table.
        classes: column → privacy class; a column without one counts as an identifier.
        known: what the files say of the whole table's columns.
    """
    return Table(
        name,
        rows,
        tuple(column(frame[it], rows, classes.get(it, "identifier"), known.get(it)) for it in frame.columns),
    )


def column(values: pl.Series, rows: int, privacy: Privacy, known: Extent | None = None) -> Column:
    """A column's figures; those of an identifier or a sensitive column are counts alone."""
    filled = values.drop_nulls()
    if known is not None and known.nulls is not None:
        nulls = known.nulls
    else:
        nulls = round(values.null_count() * rows / len(values)) if len(values) else 0
    counts = Column(
        name=values.name,
        dtype=str(values.dtype),
        privacy=privacy,
        kind="hidden",
        rows=rows,
        nulls=nulls,
        looked_at=len(values),
        distinct=_distinct(filled),
    )
    if privacy in ("identifier", "sensitive"):
        return counts
    if values.dtype == pl.Boolean or values.dtype == pl.String:
        kind: Kind = "boolean" if values.dtype == pl.Boolean else "text"
        return msgspec.structs.replace(counts, kind=kind, top=_top(filled, counts.distinct, privacy))
    if values.dtype.is_numeric() or values.dtype.is_temporal():
        return _described(counts, filled, known)
    return counts


def numbers(values: pl.Series) -> Floats:
    """A column's values as float64: times in seconds since 1970 UTC; what is null or not finite is left out."""
    series = values.drop_nulls()
    if series.dtype == pl.Date:
        series = series.cast(pl.Datetime("us"))
    if series.dtype.is_temporal():
        series = series.dt.epoch("ms").cast(pl.Float64) / 1000
    array: Floats = series.cast(pl.Float64).to_numpy()
    finite: Floats = array[np.isfinite(array)]
    return finite


def histogram(values: Floats) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Edges and counts: equal bins between the quantiles that leave half a per cent at either end, a bin each for few
    whole numbers."""
    if not len(values):
        return (), ()
    low, high = (float(edge) for edge in np.quantile(values, (_TAIL, 1 - _TAIL), method="inverted_cdf"))
    if low == high:
        low, high = float(values.min()), float(values.max())
    if low == high:
        return (low, high), (len(values),)
    bins = BINS
    if high - low < bins and bool((values == np.rint(values)).all()):
        bins = round(high - low) + 1
    counts, edges = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
    return tuple(map(float, edges)), tuple(map(int, counts))


def counted(values: Floats, edges: Sequence[float]) -> tuple[int, ...]:
    """How many values lie in another histogram's bins, the outer ones taking what lies beyond; of a histogram of one
    value: how many are that value, and how many are not."""
    low, high = edges[0], edges[-1]
    if low == high:
        same = int((values == low).sum())
        return same, len(values) - same
    counts, _ = np.histogram(np.clip(values, low, high), bins=np.asarray(edges))
    return tuple(map(int, counts))


def _described(counts: Column, filled: pl.Series, known: Extent | None) -> Column:
    values = numbers(filled)
    if not len(values):
        return msgspec.structs.replace(counts, kind=_kind(filled.dtype))
    edges, bins = histogram(values)
    quantiles = tuple(float(value) for value in np.quantile(values, QUANTILES, method="inverted_cdf"))
    if counts.privacy == "quasi":  # a bin of few rows, an extreme or a rare quantile may be one person
        bins = tuple(count if count >= CROWD else 0 for count in bins)
        return msgspec.structs.replace(
            counts, kind=_kind(filled.dtype), edges=edges if sum(bins) else (), counts=bins if sum(bins) else ()
        )
    low, high = (_stamp(known.low), _stamp(known.high)) if known is not None else (None, None)
    return msgspec.structs.replace(
        counts,
        kind=_kind(filled.dtype),
        low=float(values.min()) if low is None else low,
        high=float(values.max()) if high is None else high,
        mean=float(values.mean()),
        deviation=float(values.std()),
        quantiles=quantiles,
        edges=edges,
        counts=bins,
    )


def _kind(dtype: pl.DataType) -> Kind:
    return "time" if dtype.is_temporal() else "number"


def _stamp(value: Any) -> float | None:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    # Plus zero: a footer's least zero is -0.0.
    return float(value) + 0.0 if isinstance(value, int | float) and math.isfinite(value) else None


def _top(filled: pl.Series, distinct: int, privacy: Privacy) -> tuple[Value, ...]:
    """The most frequent values; none where nearly every row has its own: keys tell nothing."""
    if not len(filled) or (distinct > TOP and distinct > len(filled) / 2):
        return ()
    found = (
        filled.cast(pl.String)
        .str.slice(0, LONGEST)
        .to_frame("value")
        .lazy()
        .group_by("value")
        .len("rows")
        .filter(pl.col("rows") >= (CROWD if privacy == "quasi" else 1))
        .sort("rows", "value", descending=[True, False])
        .head(TOP)
        .collect(engine="streaming")
    )
    return tuple(Value(value, rows) for value, rows in found.iter_rows())


def _distinct(values: pl.Series) -> int:
    counted = pl.col(values.name).approx_n_unique() if len(values) > _APPROXIMATE else pl.col(values.name).n_unique()
    return int(values.to_frame().select(counted).item())
