"""How far a distribution lies from another: the population stability index over bins (Siddiqi, Credit Risk Scorecards,
2006), the sum of (q - p) ln(q / p). Below 0.1 nothing happened, above 0.25 much.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

_FLOOR: Final = 1e-4
"""Of a bin's share: an empty one is to be an alarm, not infinity."""
_FEW: Final = 10
"""Different values up to which each is a bin."""
_TENTHS: Final = np.arange(1, 10) / 10
_WIDTH: Final = 1e-6
"""Of a value's own bin, of the value: what float32 and another order of adding up make of it lies within."""

Floats = npt.NDArray[np.float64]


class Seen(NamedTuple):
    """What was seen of a number.

    Attributes:
        edges: B bins' inner edges, ascending, shape (B - 1,); a value on an edge lies below it.
        shares: of the values by bin, shape (B,), their sum 1; 0 where there was no value.
        nulls: the share of values that were null or not finite.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    nulls: float

    def psi(self, values: npt.NDArray[Any]) -> float:
        """The population stability index of N other values, nulls being a bin of their own."""
        other = seen(values, self.edges)
        return index(*((*np.multiply(each.shares, 1 - each.nulls), each.nulls) for each in (self, other)))


def index(expected: npt.ArrayLike, actual: npt.ArrayLike) -> float:
    """The population stability index of shares of the same bins, shape (B,); none counts for less than 0.0001."""
    p, q = np.maximum(expected, _FLOOR), np.maximum(actual, _FLOOR)
    return float(((q - p) * np.log(q / p)).sum())


def of_counts(before: npt.ArrayLike, now: npt.ArrayLike) -> float:
    """The same of counts by the same bins, shape (B,); half a row is added to each bin."""
    sides = [np.asarray(side, dtype=np.float64) + 0.5 for side in (before, now)]
    return index(*(side / side.sum() for side in sides))


def bins(values: npt.NDArray[Any]) -> Floats:
    """The inner edges, shape (B - 1,), of bins for values like N finite ones: each value its own where there are ten or
    fewer, so that one never seen before has a bin of its own too; else tenths, and a bin for each value that fills one.
    """
    kept = values.astype(np.float64)
    own = np.unique(kept)
    edges = np.empty(0)
    if len(own) > _FEW:
        tenths, times = np.unique(np.quantile(kept, _TENTHS, method="inverted_cdf"), return_counts=True)
        own, edges = tenths[times > 1], tenths[times == 1]
    return np.unique(np.concatenate([edges, around(own)]))


def around(values: Floats) -> Floats:
    """The edges of bins that hold one of N values each, shape (2 N,)."""
    half = np.maximum(np.abs(values) * _WIDTH, 1e-12)
    return np.concatenate([values - half, values + half])


def counted(edges: Sequence[float] | Floats, values: npt.NDArray[Any]) -> Floats:
    """How many of N finite values lie in each bin, shape (B,)."""
    return np.bincount(np.searchsorted(edges, values.astype(np.float64)), minlength=len(edges) + 1).astype(np.float64)


def seen(values: npt.NDArray[Any], edges: Sequence[float] | None = None) -> Seen:
    """What is kept of N values, to hold others against later; what is not finite counts as null.

    Args:
        values: shape (N,).
        edges: of the bins; None chooses them.
    """
    numbers = values.astype(np.float64)
    kept = numbers[np.isfinite(numbers)]
    edges = tuple(bins(kept).tolist()) if edges is None else tuple(edges)
    counts = counted(edges, kept)
    nulls = 1 - len(kept) / len(numbers) if len(numbers) else 0.0
    return Seen(edges, tuple((counts / max(1, len(kept))).tolist()), nulls)
