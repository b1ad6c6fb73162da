"""The CPU plan of the point-in-time join: a view's rows in an index, and a search in it for every label.

The rows are sorted by key and time. Each key's span of time is cut into equal buckets, about two for every row, and
the index knows where each bucket begins: a label's row lies in its own bucket, or is the last before it. Weekly
snapshots and scattered events take the same road; only how many halvings remain inside a bucket differs.

A search only picks: for each label the *number* of the row that it may see, or `NONE`. Times are Int64 microseconds
since 1970 UTC. It gives the same bits as `feature_repo.stores.join`, the GPU's plan; see docs/decisions/0026.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

Integers = npt.NDArray[np.integer[Any]]
Times = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]

NONE: Final = -1
"""In place of a row's number: there is none."""
NEVER: Final = -(2**62)
"""Before any time there is: a label without a time sees nothing, a row without a created time is the oldest."""

_CHUNK: Final = 1 << 18
"""Labels searched for at a time: what they need stays in a core's cache."""
_BUCKETS: Final = 2
"""For each row, or each label where these are fewer."""
_FITS: Final = 2**62


@dataclass(frozen=True)
class Column:
    """One label column, and where its values stand among a view's keys.

    Attributes:
        indices: shape (labels,): each label's distinct value; the last one stands for null.
        codes: shape (distinct values + 1,): that value's code among the view's keys; NONE where the view lacks it.
        size: how many codes the view's key has.
    """

    indices: Integers
    codes: Integers
    size: int


@dataclass(frozen=True)
class Combined:
    """Several keys as one code: the combinations that a view has.

    Attributes:
        levels: for each key after the first, the sorted combinations with it: code so far × size + its code.
        count: how many combinations there are; this number itself is the code of what the view lacks.
    """

    levels: tuple[Times, ...]
    count: int

    def of(self, columns: Sequence[Column], part: slice) -> Integers:
        """The codes of some labels, `count` where the view has no such key."""
        if not columns:
            return np.zeros(part.stop - part.start, dtype=np.int64)
        found = columns[0].codes[columns[0].indices[part]]
        for column, level in zip(columns[1:], self.levels, strict=True):
            codes = column.codes[column.indices[part]]
            wanted = found.astype(np.int64) * column.size + codes
            at = np.searchsorted(level, wanted)
            there = (found >= 0) & (codes >= 0) & (at < len(level))
            there[there] = level[at[there]] == wanted[there]
            found = np.where(there, at, NONE)
        return np.where(found < 0, self.count, found)


def combine(codes: Sequence[Integers], sizes: Sequence[int], rows: int) -> tuple[Integers, Combined]:
    """Each row's keys as one code.

    Args:
        codes: for each key, shape (rows,): its code, at least 0.
        sizes: for each key, how many codes it has.
        rows: how many rows there are.
    """
    if not codes:
        return np.zeros(rows, dtype=np.int64), Combined((), 1)
    combined, count, levels = codes[0], sizes[0], []
    for following, size in zip(codes[1:], sizes[1:], strict=True):
        level, combined = np.unique(combined.astype(np.int64) * size + following, return_inverse=True)
        levels.append(level)
        count = len(level)
    return combined, Combined(tuple(levels), count)


@dataclass(frozen=True)
class Index:
    """A view's rows by key and time.

    Attributes:
        rows: their numbers, by key, then `times`, then age; the last of equal ones is the newest.
        times: when each may be seen.
        starts: shape (keys × buckets + 1,): how many rows lie before each bucket.
        buckets: of each key; one more key without rows stands at the end.
        origin: where the first bucket begins.
        shift: a bucket is 2**shift microseconds wide.
        ties: whether a key has two rows of one time.
    """

    rows: Integers
    times: Times
    starts: Integers
    buckets: int
    origin: int
    shift: int
    ties: bool

    def search(self, codes: Integers, times: Times) -> Integers:
        """The number of the newest row at or before each label's time, NONE where there is none.

        Args:
            codes: the labels' keys; `keys` for one that the view lacks.
            times: when each asks.
        """
        first = codes.astype(np.int64) * self.buckets
        cells = first + np.clip((times - self.origin) >> self.shift, 0, self.buckets - 1)
        low, high = self.starts[cells], self.starts[cells + 1]
        open_ = np.flatnonzero(low < high)
        while len(open_):
            lower, upper = low[open_], high[open_]
            middle = (lower + upper) >> 1
            seen = self.times[middle] <= times[open_]
            lower, upper = np.where(seen, middle + 1, lower), np.where(seen, upper, middle)
            low[open_], high[open_] = lower, upper
            open_ = open_[lower < upper]
        there = low > self.starts[first]
        # A label whose key has no earlier row looks at whatever stands before, and is told NONE.
        return np.where(there, self.rows[low - 1], NONE) if len(self.rows) else np.full(len(codes), NONE)


def build(numbers: Integers, codes: Integers, times: Times, ages: Sequence[Times], *, keys: int, labels: int) -> Index:
    """The index of a view's rows.

    Args:
        numbers: of the rows.
        codes: each row's key, from 0.
        times: when each row may be seen.
        ages: of two rows of one key and time the newer is greater by the first of these, else by the next, else it
            is the later row.
        keys: how many there are.
        labels: how many will be searched for.
    """
    order, ties = _sorted(codes, times, ages)
    times = times[order]
    origin, last = (int(times.min()), int(times.max())) if len(times) else (0, 0)
    wished = max(1, _BUCKETS * min(len(order), labels) // (keys + 1))
    shift = max(0, ((last - origin) // wished).bit_length())
    buckets = ((last - origin) >> shift) + 1
    cells = codes[order].astype(np.int64) * buckets + ((times - origin) >> shift)
    starts = np.zeros((keys + 1) * buckets + 1, dtype=_narrow(len(order)))
    np.cumsum(np.bincount(cells, minlength=(keys + 1) * buckets), out=starts[1:])
    return Index(
        numbers[order].astype(_narrow(int(numbers.max(initial=0)))), times, starts, buckets, origin, shift, ties
    )


def known(codes: Integers, events: Times, created: Times) -> Integers:
    """The rows that were their key's newest when they became known, at the later of event and created time.

    Of these the last one known is the newest of those known, so that a search by that time finds it.

    Returns:
        The rows' positions, in order of age.
    """
    ages = np.lexsort((np.arange(len(codes)), created, events))
    came = np.maximum(events, created)[ages]
    arrival = np.lexsort((np.arange(len(ages)), came, codes[ages]))
    # A key's rows stand together, and the greatest age so far starts anew with each key.
    best = np.maximum.accumulate(codes[ages][arrival].astype(np.int64) * len(codes) + arrival)
    kept = best == codes[ages][arrival].astype(np.int64) * len(codes) + arrival
    newest: Integers = ages[np.sort(arrival[kept])]
    return newest


def in_parts(labels: int, work: Callable[[slice], None]) -> None:
    """Do some work on all labels, a part at a time, on as many threads as Polars has."""
    parts = [slice(start, min(start + _CHUNK, labels)) for start in range(0, labels, _CHUNK)]
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        for _ in pool.map(work, parts):
            pass


def _sorted(codes: Integers, times: Times, ages: Sequence[Times]) -> tuple[npt.NDArray[np.intp], bool]:
    """The rows by key, time and age, and whether a key has two rows of one time."""
    together = _together(codes, times)
    if together is None:
        order = np.lexsort((times, codes))
        equal = (np.diff(codes[order]) == 0) & (np.diff(times[order]) == 0)
    else:
        order = np.argsort(together, kind="stable")
        equal = np.diff(together[order]) == 0
    ties = bool(equal.any())
    # Without ties no age was asked for.
    return (np.lexsort((*reversed(ages), times, codes)) if ties and ages else order), ties


def _together(codes: Integers, times: Times) -> Times | None:
    """Key and time in one integer, which sorts faster; None where they do not fit."""
    if not len(times):
        return None
    origin, codes_end = int(times.min()), int(codes.max()) + 1
    span = int(times.max()) - origin + 1
    return codes.astype(np.int64) * span + (times - origin) if codes_end * span < _FITS else None


def _narrow(rows: int) -> npt.DTypeLike:
    return np.int32 if rows < 2**31 - 1 else np.int64
