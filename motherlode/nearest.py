"""The exact best rows of a matrix by its product with a vector, at the cost of the product itself.

The product is taken once, in float32. Whatever could be among the best by its rounding error is then computed again in
float64: so a row has one score, whether it was found alone, in a batch, behind a filter, on another device or through
an index, and equal vectors tie exactly.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_STRIPES: Final = 64
"""Scores a maximum is taken over: one maximum in 64 is soon sorted, and few others are as good as the k-th of them."""
_ROUNDING: Final = 2.0**-24 * 1.01
"""Of one addition or product in float32, relative; the hundredth is for the terms of higher order."""
_REFINED_AT_ONCE: Final = 4096


def top_k(scores: Floats, k: int) -> Rows:
    """The rows of the k best scores, best first; among equals the lower row.

    Args:
        scores: shape (rows,).
        k: how many; fewer rows give fewer.
    """
    able = candidates(scores, k)
    return able[np.argsort(-scores[able], kind="stable")[:k]]


def candidates(scores: Floats, k: int, slack: float = 0.0) -> Rows:
    """Every row whose score is not less than the k-th best less `slack`, ascending.

    Args:
        scores: shape (rows,); minus infinity is one score among others.
        k: at least 1; more than there are rows takes all of them.
        slack: how far a score may be off; from 0.
    """
    if k >= len(scores):
        return np.arange(len(scores))
    rows = np.flatnonzero(scores >= _lower_bound(scores, k) - slack)
    found = scores[rows]
    able: Rows = rows[found >= np.partition(found, len(found) - k)[len(found) - k] - slack]
    return able


def _lower_bound(scores: Floats, k: int) -> float:
    """Something that k scores or more are not less than, and few others."""
    if (columns := len(scores) // _STRIPES) < 2 * k:
        return float(np.partition(scores, len(scores) - k)[len(scores) - k])
    # The maxima of disjoint sets are that many different scores; over strides, so that whole registers are compared.
    maxima = scores[: columns * _STRIPES].reshape(_STRIPES, columns).max(axis=0)
    return float(np.partition(maxima, columns - k)[columns - k])


def slack(longest: float, query: Floats) -> float:
    """By how much the difference of two products with `query` may be off in float32, in whatever order it is summed.

    Args:
        longest: the greatest length of a row.
        query: shape (D,).
    """
    wide = query.astype(np.float64)
    return 2 * len(query) * _ROUNDING * longest * math.sqrt(wide @ wide)


def lengths(matrix: Floats) -> Doubles:
    """The Euclidean length of each row."""
    squares = [np.square(each).sum(axis=1) for each in _doubles(matrix)]
    found: Doubles = np.sqrt(np.concatenate([np.zeros(0), *squares]))
    return found


def products(matrix: Floats, rows: Rows, query: Floats) -> Doubles:
    """The products of some rows with a vector, in float64, each summed in the same order.

    Args:
        matrix: shape (M, D).
        rows: shape (R,).
        query: shape (D,).

    Returns:
        Shape (R,).
    """
    wide = query.astype(np.float64)
    if len(rows) > _REFINED_AT_ONCE:
        return np.concatenate([products(matrix, some, query) for some in _pieces(rows)])
    # Not `@`: that sums the last rows of a matrix in another order than the first.
    summed: Doubles = (matrix[rows] * wide).sum(axis=1)
    return summed


def ranked(scores: Doubles, rows: Rows, k: int) -> tuple[Rows, Doubles]:
    """The k best of some rows with their scores, best first, among equals the lower row; minus infinity is none."""
    order = np.lexsort((rows, -scores))[:k]
    order = order[scores[order] > -np.inf]
    return rows[order], scores[order]


def _pieces(rows: Rows) -> Iterator[Rows]:
    return (rows[start : start + _REFINED_AT_ONCE] for start in range(0, len(rows), _REFINED_AT_ONCE))


def _doubles(matrix: Floats) -> Iterable[Doubles]:
    starts = range(0, len(matrix), _REFINED_AT_ONCE)
    return (matrix[start : start + _REFINED_AT_ONCE].astype(np.float64) for start in starts)
