"""The GPU plan of the point-in-time join: one union, sorted, filled forward, all in Polars expressions.

A plan only picks: for each label the *row number* of the feature row it may see, or null. `take` then
fetches whole rows by that number, so the newest row's null stays null. Times are Int64 microseconds
since 1970 UTC here. cuDF has no as-of join (NVIDIA/cudf#24110); see docs/decisions/0004. The CPU's plan, with the
same bits, is `feature_repo.stores.picks`; the names of columns and the reading of times are both plans'.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

LABEL: Final = "@label"
"""A label's position in its frame, from 0."""
ROW: Final = "@row"
"""A feature row's number in its source, from 0; of two equal rows the later one is the newer."""
TIME: Final = "@time"
"""When a label asks, and from when on a feature row may be seen."""
EVENT: Final = "@event"
"""A feature row's event time: what its age is reckoned from."""
CREATED: Final = "@created"
"""When a feature row was created; of two rows with one event time the later created is the newer."""

_RANK: Final = "@rank"
_SIDE: Final = "@side"
_OTHER_TIME: Final = "@other_time"
_OTHER_RANK: Final = "@other_rank"
_OUTDONE: Final = "@outdone"
_NEVER: Final = -(2**62)
"""Before any time there is: a label without a time sees nothing, a row without a created time is the oldest."""
_AGES: Final = (EVENT, CREATED, ROW)
"""What makes one row of a key newer than another, in this order."""


def micros(name: str, dtype: pl.DataType, *, up: bool = False) -> pl.Expr:
    """A Date or Datetime column as Int64 microseconds since 1970 UTC; a naive one is UTC.

    Args:
        name: the column.
        dtype: its type.
        up: round nanoseconds up, not down. Feature times go up and label times down, so that no value is
            seen even a nanosecond before its time.

    Raises:
        TypeError: the column holds no times.
    """
    ticks = pl.col(name).cast(pl.Int64)
    if isinstance(dtype, pl.Date):
        return ticks * 86_400_000_000
    if not isinstance(dtype, pl.Datetime):
        raise TypeError(f"Column {name!r} is {dtype}, not a date or a time.")
    if dtype.time_unit == "ms":
        return ticks * 1000
    if dtype.time_unit == "ns":
        return (ticks + (999 if up else 0)) // 1000
    return ticks


def known(features: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """Features as they became known: a row counts from its created time on, if that is after its event.

    Of a key's rows only those are kept that were the newest when they came, so that *the last one known* is
    also *the newest of those known*, and the plan can pick it. Rows without a created time go: nobody knows
    when they were known. cuDF has no running maximum by group: of what came at one time the newest alone stays,
    which leaves one row a key and time to compare.

    Args:
        features: keys, EVENT, CREATED, ROW.
        keys: the join keys' columns.

    Returns:
        The rows kept, with TIME, in no order.
    """
    later = pl.when(pl.col(CREATED) > pl.col(EVENT)).then(pl.col(CREATED)).otherwise(pl.col(EVENT))
    dated = features.filter(pl.col(CREATED).is_not_null()).with_columns(later.alias(TIME))
    ranked = dated.sort(_AGES).with_row_index(_RANK).with_columns(pl.col(_RANK).cast(pl.Int64))
    best = ranked.filter(pl.col(_RANK) == pl.col(_RANK).max().over([*keys, TIME]))
    ours = best.select(*keys, TIME, _RANK)
    theirs = ours.rename({TIME: _OTHER_TIME, _RANK: _OTHER_RANK})
    earlier_and_newer = (pl.col(_OTHER_TIME) <= pl.col(TIME)) & (pl.col(_OTHER_RANK) > pl.col(_RANK))
    # A column between join and filter keeps the optimizer from making them one conditional join, which cuDF
    # would run over all pairs.
    outdone = (
        ours.join(theirs, on=list(keys), how="inner")
        .with_columns(earlier_and_newer.alias(_OUTDONE))
        .filter(pl.col(_OUTDONE))
        .select(_RANK)
        .unique()
    )
    return best.join(outdone, on=_RANK, how="anti").drop(_RANK)


def timeline(features: pl.LazyFrame) -> pl.LazyFrame:
    """Features that count from their event time on: keys, EVENT, CREATED, ROW and, equal to EVENT, TIME."""
    return features.with_columns(pl.col(EVENT).alias(TIME))


def union_sort_fill(labels: pl.LazyFrame, features: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """Labels and features in one column, sorted, the features' row numbers filled forward: never their values.

    Args:
        labels: keys, TIME, LABEL.
        features: keys, TIME, EVENT, CREATED, ROW; no null key or time.
        keys: the join keys' columns; at least one.

    Returns:
        LABEL, TIME, and the picked row's ROW and EVENT (null where none), one row a label, in no order.
    """
    nothing = pl.lit(None, dtype=pl.Int64)
    ours = features.select(
        *keys, TIME, pl.lit(0, dtype=pl.Int64).alias(_SIDE), EVENT, CREATED, ROW, nothing.alias(LABEL)
    )
    theirs = labels.select(
        *keys,
        TIME,
        pl.lit(1, dtype=pl.Int64).alias(_SIDE),
        nothing.alias(EVENT),
        nothing.alias(CREATED),
        nothing.alias(ROW),
        LABEL,
    )
    both = pl.concat([ours, theirs]).sort(*keys, TIME, _SIDE, *_AGES)
    filled = both.with_columns(pl.col(ROW).forward_fill().over(keys), pl.col(EVENT).forward_fill().over(keys))
    return filled.filter(pl.col(_SIDE) == 1).select(LABEL, TIME, ROW, EVENT)


def pick(
    labels: pl.LazyFrame,
    features: pl.LazyFrame,
    keys: Sequence[str],
    *,
    ttl_us: int | None,
    by_created: bool = False,
) -> pl.LazyFrame:
    """The feature row that each label may see.

    Args:
        labels: keys, TIME (null sees nothing), LABEL.
        features: keys, EVENT, CREATED (may be null), ROW. Rows without a key or an event time are left out.
        keys: the join keys' columns; at least one, and of one type on both sides.
        ttl_us: a picked row older than this is dropped, exactly this old is kept; None: no limit.
        by_created: a row counts only from its created time on.

    Returns:
        ROW (Int64, null where there is none), one row a label, in the labels' order.
    """
    whole = features.filter(pl.all_horizontal(pl.col(name).is_not_null() for name in (*keys, EVENT)))
    dated = (known(whole, keys) if by_created else timeline(whole)).with_columns(pl.col(CREATED).fill_null(_NEVER))
    picked = union_sort_fill(labels.with_columns(pl.col(TIME).fill_null(_NEVER)), dated, keys).sort(LABEL)
    if ttl_us is None:
        return picked.select(ROW)
    fresh = pl.col(TIME) - pl.col(EVENT) <= ttl_us
    return picked.select(pl.when(fresh).then(pl.col(ROW)).otherwise(None).alias(ROW))


def take(picked: pl.LazyFrame, features: pl.LazyFrame, columns: Sequence[str]) -> pl.LazyFrame:
    """Whole feature rows by their numbers.

    Args:
        picked: ROW, as `pick` answers it.
        features: ROW (each once) and the columns.
        columns: what to fetch.

    Returns:
        The columns, one row a picked row, in their order; null where ROW is null.
    """
    # The position orders the answer on either device: cuDF's joins keep no order.
    numbered = picked.with_row_index(LABEL)
    return numbered.join(features.select(ROW, *columns), on=ROW, how="left").sort(LABEL).select(*columns)
