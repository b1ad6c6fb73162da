"""Reading for materialisation: each key's newest row of those wanted, as a stream of batches.

Two passes over a source. The first reads keys and times and marks the rows; the second reads the marked rows' columns.
Memory holds a byte a row, the hashes of a share of the keys, and one batch: never the view.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_repo.stores import dtypes
from feature_repo.stores.join import CREATED, EVENT, ROW
from feature_repo.stores.picks import NEVER, Marks
from feature_repo.stores.rows import Packer
from feature_repo.stores.sources import Source
from motherlode.errors import DataError

BATCH: Final = 1 << 23
"""Bytes of columns that are packed and written at a time."""

LOT: Final = 20_000
"""Rows read at a time, at the most."""

KEYS: Final = 100_000
"""Rows whose keys are read at a time."""

ALONE: Final = 12_000_000
"""Rows whose keys' hashes are compared at once, 8 bytes each, to see whether every key has but one."""

SHARE: Final = 1_000_000
"""Rows among which the newest of each key is looked for at a time, 40 bytes each."""

_FIRST, _SECOND = "first hash", "second hash"


@dataclass(frozen=True)
class Wanted:
    """Which rows a run is about; times in microseconds since 1970 UTC.

    Attributes:
        first, last: the event times, both included.
        late: rows with a created time after this count too, whatever their event time up to `last`; None: none do.
        horizon: rows with an event time up to here never count; None: all may.
    """

    first: int
    last: int
    late: int | None = None
    horizon: int | None = None

    @property
    def expression(self) -> pl.Expr:
        """The rows, by their EVENT and CREATED."""
        wanted = pl.col(EVENT) >= self.first
        if self.late is not None:
            wanted = wanted | (pl.col(CREATED) > self.late).fill_null(False)
        wanted = wanted & (pl.col(EVENT) <= self.last)
        return wanted if self.horizon is None else wanted & (pl.col(EVENT) > self.horizon)


def newest(source: Source, keys: Sequence[str], wanted: Wanted) -> Marks:
    """Which rows of the source are their key's newest, of those wanted; shape (rows,).

    Rows without an event time or a key never are. Of two of one event and created time, the later row is.

    Args:
        source: the view's.
        keys: the join keys; none makes one row of all.
        wanted: the rows that count.
    """
    found = source.within(wanted.first, wanted.last, wanted.late)
    considered = int(found.sum())
    if considered <= ALONE and (every := _alone(source, keys, wanted, found, considered)) is not None:
        return every
    shares = 1 + considered // SHARE if keys else 1
    marks = np.zeros(len(found), dtype=np.bool_)
    for share in range(shares):
        mine = pl.lit(True) if shares == 1 else pl.col(_FIRST) % shares == share
        parts = [_last(frame.filter(mine)) for frame in _hashed(source, keys, wanted, found, twice=True)]
        marks[_last(pl.concat(parts))[ROW].to_numpy() if parts else []] = True
    return marks


def _alone(source: Source, keys: Sequence[str], wanted: Wanted, found: Marks, considered: int) -> Marks | None:
    """The rows wanted, where each key has but one: no two hashes are equal then. None where some may have more."""
    hashes, n = np.empty(considered, dtype=np.uint64), 0
    marks = np.zeros(len(found), dtype=np.bool_)
    for frame in _hashed(source, keys, wanted, found, twice=False):
        if frame[_FIRST].n_unique() < frame.height:
            return None
        hashes[n : n + frame.height] = frame[_FIRST].to_numpy()
        marks[frame[ROW].to_numpy()] = True
        n += frame.height
    ordered = hashes[:n]
    ordered.sort()
    return marks if not (ordered[1:] == ordered[:-1]).any() else None


def _hashed(
    source: Source, keys: Sequence[str], wanted: Wanted, found: Marks, *, twice: bool
) -> Iterator[pl.DataFrame]:
    """EVENT, CREATED, ROW and the keys' hashes of the rows that are wanted; two hashes tell any two keys apart."""
    columns = [*keys, source.time, *([source.created] if source.created else [])]
    key = pl.struct(_text(source, name) for name in keys) if keys else pl.lit(0)
    hashes = [key.hash(1).alias(_FIRST), *([key.hash(2).alias(_SECOND)] if twice else [])]
    there = pl.all_horizontal(pl.col(name).is_not_null() for name in (*keys, EVENT))
    for start, frame in source.stream(columns, found, KEYS):
        timed = frame.select(*keys, source.event_us(), source.created_us()).with_row_index(ROW, start)
        yield (
            timed.filter(there & wanted.expression)
            .with_columns(pl.col(ROW).cast(pl.Int64), pl.col(CREATED).fill_null(NEVER))
            .select(EVENT, CREATED, ROW, *hashes)
        )


def _text(source: Source, key: str) -> pl.Expr:
    """A key's value in a form that hashes alike in every batch; a dictionary's code does not."""
    return pl.col(key) if source.schema[key].is_integer() else pl.col(key).cast(pl.String)


def _last(frame: pl.DataFrame) -> pl.DataFrame:
    """The newest row of each pair of hashes."""
    return frame.sort(EVENT, CREATED, ROW).unique([_FIRST, _SECOND], keep="last")


def batches(source: Source, marks: Marks, packer: Packer, after: int = 0) -> Iterator[tuple[int, pl.DataFrame]]:
    """The marked rows in the packer's types, a batch at a time, each with the number of the row it goes up to.

    Args:
        source: the view's.
        marks: shape (rows,).
        packer: the view's.
        after: rows before this number are left out.
    """
    names = [column.name for column in packer.schema.columns]
    features = [pl.col(column.name).cast(dtypes.polars_type(column.dtype)) for column in packer.schema.columns]
    columns = [*packer.keys, *names, source.time, *([source.created] if source.created else [])]
    wanted = marks if not after else np.concatenate([np.zeros(after, dtype=np.bool_), marks[after:]])
    for start, lot in source.stream(columns, wanted, LOT):
        mine = wanted[start : start + lot.height]
        if not mine.any():
            continue
        _require_whole(source, packer, lot)
        frame = lot.select(source.event_us(), source.created_us(), *packer.keys, *features)
        kept = frame if mine.all() else frame.filter(pl.Series(mine))
        height = max(1, min(kept.height, BATCH * kept.height // max(1, int(kept.estimated_size()))))
        ends = _ends(mine, start, height)
        yield from zip(ends, kept.iter_slices(height), strict=True)


def _require_whole(source: Source, packer: Packer, lot: pl.DataFrame) -> None:
    """Check that no number loses its fraction where the view declares whole ones.

    Raises:
        DataError: one would, naming it.
    """
    for column in packer.schema.columns:
        if source.schema[column.name].is_float() and dtypes.polars_type(column.dtype).is_integer():
            values = lot[column.name].drop_nulls()
            wrong = values.filter(values.is_finite() & (values != values.round()))
            if len(wrong):
                raise DataError(
                    f"Column {column.name!r} of view {packer.schema.view!r} holds {wrong[0]!r}, and is declared "
                    f"{column.dtype}.",
                    "Declare it Float64, or round it in its source.",
                )


def _ends(mine: Marks, start: int, height: int) -> list[int]:
    """The number of the row behind each batch of `height` marked rows."""
    numbers: npt.NDArray[np.intp] = np.flatnonzero(mine) + start + 1
    return [int(numbers[min(i + height, len(numbers)) - 1]) for i in range(0, len(numbers), height)]
