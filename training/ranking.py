"""Ranking measures over held-out item sets: recall@k, NDCG@k, coverage.

Every function takes whole arrays and returns one figure a user, so that the caller can take means,
spreads and paired differences.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from motherlode.errors import DataError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ItemSets:
    """N sets of item rows, one behind the other.

    Attributes:
        items: shape (total,), int64; a set's items are distinct.
        offsets: shape (N + 1,), int64; set i is `items[offsets[i]:offsets[i + 1]]`.
    """

    items: Ints
    offsets: Ints

    @classmethod
    def of(cls, sets: list[list[int]]) -> Self:
        """The sets of nested lists."""
        offsets = np.cumsum([0, *map(len, sets)], dtype=np.int64)
        return cls(np.array([item for one in sets for item in one], dtype=np.int64), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Ints:
        return self.items[self.offsets[index] : self.offsets[index + 1]]

    @property
    def sizes(self) -> Ints:
        return np.diff(self.offsets)

    @property
    def owners(self) -> Ints:
        """Shape (total,): the set that each item belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.sizes)

    def take(self, rows: Ints) -> "ItemSets":
        """The sets at `rows`, in that order."""
        sizes = self.sizes[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        within = np.arange(offsets[-1], dtype=np.int64) - np.repeat(offsets[:-1], sizes)
        return ItemSets(self.items[np.repeat(self.offsets[rows], sizes) + within], offsets)


def top_k(scores: Floats, k: int) -> Ints:
    """The k best columns of each row, best first; among equals the lower column.

    Args:
        scores: shape (N, items). `-inf` is never recommended before anything else.
        k: how many; fewer columns give fewer.

    Returns:
        int64 of shape (N, min(k, items)).
    """
    k = min(k, scores.shape[1])
    if k == 0:
        return np.empty((len(scores), 0), dtype=np.int64)
    # Everything at least as good as the k-th takes part, so that ties at the cut do not depend on the partition.
    cut = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
    best = np.empty((len(scores), k), dtype=np.int64)
    for row, least in enumerate(cut):
        candidates = np.flatnonzero(scores[row] >= least)
        best[row] = candidates[np.argsort(-scores[row, candidates], kind="stable")[:k]]
    return best


def hits(ranked: Ints, relevant: ItemSets) -> npt.NDArray[np.bool_]:
    """Where a recommendation is relevant: shape of `ranked`, (N, k).

    Raises:
        DataError: there are not as many rankings as relevant sets.
    """
    if len(ranked) != len(relevant):
        raise DataError(f"{len(ranked)} rankings face {len(relevant)} sets of relevant items.", "Give one for each.")
    width = int(max(ranked.max(initial=-1), relevant.items.max(initial=-1))) + 1
    wanted = relevant.owners * width + relevant.items
    offered = np.arange(len(ranked), dtype=np.int64)[:, None] * width + ranked
    return np.isin(offered, wanted)


def recall_at_k(ranked: Ints, relevant: ItemSets, k: int) -> npt.NDArray[np.float64]:
    """The share of each user's relevant items among the first k; users with none get NaN.

    Args:
        ranked: shape (N, at least k unless the catalogue is smaller), item rows, best first.
        relevant: N sets.

    Returns:
        float64 of shape (N,).
    """
    found = hits(ranked[:, :k], relevant).sum(axis=1)
    return _ratio(found, relevant.sizes)


def ndcg_at_k(ranked: Ints, relevant: ItemSets, k: int) -> npt.NDArray[np.float64]:
    """Normalised discounted cumulative gain with binary relevance; users without relevant items get NaN.

    The ideal is cut at min(k, relevant items); the discount is 1 / log2(rank + 1) with ranks from 1
    (Järvelin and Kekäläinen, 2002).

    Args:
        ranked: shape (N, at least k unless the catalogue is smaller), item rows, best first.
        relevant: N sets.

    Returns:
        float64 of shape (N,).
    """
    found = hits(ranked[:, :k], relevant)
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(relevant.sizes, k)]
    gained = found @ discount[: found.shape[1]]
    return _ratio(gained, ideal)


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def coverage(ranked: Ints, items: int) -> float:
    """The share of the catalogue that at least one user is offered.

    Args:
        ranked: shape (N, k), item rows.
        items: the catalogue's size, above 0.
    """
    return len(np.unique(ranked)) / items
