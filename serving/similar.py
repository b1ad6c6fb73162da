"""Items like an item: the nearest by the cosine between item vectors, under the same filters as recommendations."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from motherlode import nearest
from motherlode.api import MAX_ITEMS, Item, Neighbours
from motherlode.bundle import Bundle
from motherlode.nearest import Doubles, Floats, Rows
from serving.catalogue import SAMPLES_ENOUGH, RefusedIndexError, Searched, open_index
from serving.filters import Filters, Narrowed, short
from serving.ranking import NO_HURRY, Deadline

_SCORES_AT_ONCE: Final = 4_000_000
"""Items × items; 16 MB of float32."""
_DIGITS: Final = 5
_ROUNDING: Final = 1e-6
"""Of the two divisions that make a cosine of a product, in float32."""
_POPULAR: Final = 500
"""Items that neighbours are looked for among where there is no time to look among all."""
_CHECKED: Final = 32
"""Items whose neighbours an index has to find before it is used."""
_K: Final = 10
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Among:
    """The items to be compared, as matrices.

    Attributes:
        vectors, over: of these items.
        rows: which; None: all.
        barred: what is added to each cosine; None: nothing.
    """

    vectors: Floats
    over: Floats
    rows: Rows | None
    barred: Floats | None


class Similar:
    """One bundle's neighbours of items.

    Args:
        bundle: the bundle.
        filters: which items there are for a request.
        index: of the item vectors, each of length 1 and without its bias; None: every answer is exact.
    """

    def __init__(self, bundle: Bundle, filters: Filters, index: Searched | None = None) -> None:
        self._items = bundle.items
        self._filters = filters
        self._index = index
        # The bias says how popular an item is: beside it all items would be alike.
        self._vectors: Floats = bundle.vectors[:, :-1] if bundle.manifest.tower.biased else bundle.vectors
        lengths = nearest.lengths(self._vectors)
        # A vector of no length is like nothing: its cosine is 0 with everything.
        self._over: Doubles = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        self._over_short = self._over.astype(np.float32)
        self._popular = filters.popular[:0]
        if not len(filters.popular):
            self._popular = np.array([row for row, _ in bundle.popular.overall], dtype=np.int64)

    def warm(self) -> None:
        """Look for the neighbours of one item, by every way, before anybody waits for them."""
        if len(self._vectors):
            every = self._filters.everything
            self._by_index(0, _K, every)
            self._exactly([0], _K, every, self._among(every))

    def recall(self, count: int = _CHECKED) -> float:
        """Of the nearest 10 of some items, the share that the index finds; 1 without one."""
        every = self._filters.everything
        rows = np.unique(np.linspace(0, len(self._vectors) - 1, count, dtype=np.int64)).tolist()
        among = self._among(every)
        step, right = self._step(among), []
        for start in range(0, len(rows), step):
            right += self._exactly(rows[start : start + step], _K, every, among)
        shares = [
            len(np.intersect1d(self._by_index(row, _K, every)[0], best)) / max(1, len(best))
            for row, (best, _) in zip(rows, right, strict=True)
        ]
        return float(np.mean(shares))

    def neighbours(
        self, ids: Sequence[int | str], k: int, narrowed: Narrowed, deadline: Deadline = NO_HURRY
    ) -> list[Neighbours]:
        """The k nearest items of each, never itself.

        Args:
            ids: N items as the company names them.
            k: how many each.
            narrowed: the items that there are.
            deadline: whose turn comes after it are looked for among the most popular items alone.
        """
        known = [
            (place, self._filters.row[str(each)]) for place, each in enumerate(ids) if str(each) in self._filters.row
        ]
        unknown = ["there is no such item in the catalogue", *narrowed.notes]
        answers = [Neighbours(each, [], unknown, "cold") for each in ids]
        most = min(k, MAX_ITEMS)
        indexed = self._index is not None and narrowed.size > self._index.asked.exact_items
        among = None if indexed or deadline.over or not known else self._among(narrowed)
        step = 1 if among is None else self._step(among)
        for start in range(0, len(known), step):
            some = known[start : start + step]
            if deadline.over:
                for place, row in known[start:]:
                    answers[place] = self._late(ids[place], row, k, narrowed, deadline.reason)
                break
            found = (
                [self._by_index(row, most, narrowed) for _, row in some]
                if among is None
                else self._exactly([row for _, row in some], most, narrowed, among)
            )
            for (place, _), (rows, values) in zip(some, found, strict=True):
                answers[place] = self._answer(ids[place], rows, values, k, narrowed)
        return answers

    def _among(self, narrowed: Narrowed) -> _Among:
        allowed = narrowed.allowed
        if allowed is None:
            return _Among(self._vectors, self._over_short, None, None)
        if allowed.rows is not None:
            return _Among(self._vectors[allowed.rows], self._over_short[allowed.rows], allowed.rows, None)
        return _Among(self._vectors, self._over_short, None, allowed.barred)

    def _step(self, among: _Among) -> int:
        return max(1, _SCORES_AT_ONCE // max(1, len(among.vectors)))

    def _exactly(self, rows: Sequence[int], k: int, narrowed: Narrowed, among: _Among) -> list[tuple[Rows, Doubles]]:
        """The k nearest of each of some rows, by all cosines."""
        asked = self._vectors[rows]
        # One vector is not a matrix of one row: BLAS reads the catalogue at the speed of memory for the first.
        products = (among.vectors @ asked[0])[None] if len(rows) == 1 else asked @ among.vectors.T
        products *= among.over
        slack = 2 * self._vectors.shape[1] * 2.0**-24 + _ROUNDING
        found = []
        for row, scores in zip(rows, products, strict=True):
            scores *= self._over_short[row]
            if among.barred is not None:
                scores += among.barred
            out = np.append(narrowed.aside, row)
            scores[out if among.rows is None else np.isin(among.rows, out)] = -np.inf
            able = nearest.candidates(scores, k, slack)
            able = able[scores[able] > -np.inf]
            found.append(self._ranked(row, able if among.rows is None else among.rows[able], k))
        return found

    def _by_index(self, row: int, k: int, narrowed: Narrowed) -> tuple[Rows, Doubles]:
        """The k nearest of a row, all but a measured share of them."""
        if self._index is None:
            return self._exactly([row], k, narrowed, self._among(narrowed))[0]
        query = self._vectors[row] * self._over_short[row]
        able = self._index.candidates(query, k, narrowed.allowed, np.append(narrowed.aside, row))
        return self._ranked(row, able, k)

    def _ranked(self, row: int, rows: Rows, k: int) -> tuple[Rows, Doubles]:
        cosines: Doubles = nearest.products(self._vectors, rows, self._vectors[row]) * self._over[rows]
        return nearest.ranked(cosines * self._over[row], rows, k)

    def _answer(self, asked: int | str, rows: Rows, values: Doubles, k: int, narrowed: Narrowed) -> Neighbours:
        notes = list(narrowed.notes)
        if len(rows) < k:
            parts = [f"the catalogue has {len(self._items.ids)}, the item itself among them"]
            if narrowed.narrowed:
                parts.append(f"{narrowed.size} pass the filters")
            notes.append(short(len(rows), k, MAX_ITEMS, parts))
        return Neighbours(asked, self._listed(rows, values), notes)

    def _late(self, asked: int | str, row: int, k: int, narrowed: Narrowed, reason: str) -> Neighbours:
        """The nearest of the most popular items, for which there is always time."""
        rows = self._popular if len(self._popular) else self._filters.leading(narrowed, _POPULAR)
        rows = rows[narrowed.among(rows) & (rows != row)]
        notes = [*narrowed.notes, f"not the nearest of all: {reason}; they are of the {len(rows)} most popular"]
        best, values = self._ranked(row, rows, min(k, MAX_ITEMS))
        if len(best) < k:
            notes.append(short(len(best), k, MAX_ITEMS, ["there are no more of those"]))
        return Neighbours(asked, self._listed(best, values), notes, "degraded")

    def _listed(self, rows: Rows, values: Doubles) -> list[Item]:
        return [
            Item(self._items.ids[each], round(value, _DIGITS), self._items.names[each])
            for each, value in zip(rows.tolist(), values.tolist(), strict=True)
        ]


def open_similar(bundle: Bundle, filters: Filters) -> Similar:
    """A bundle's neighbours: by its index where it has one that finds enough, else exactly.

    Raises:
        BundleError: the index cannot be read, or is another catalogue's.
    """
    if bundle.manifest.similar is None:
        return Similar(bundle, filters)
    try:
        found = Similar(bundle, filters, open_index(bundle, bundle.manifest.similar))
        if (recall := found.recall()) < SAMPLES_ENOUGH:
            raise RefusedIndexError(f"it finds {recall:.3f} of the nearest items of {_CHECKED}")
    except RefusedIndexError as refused:
        _log.warning("Bundle %s: neighbours: %s; every answer is exact.", bundle.manifest.version, refused)
        return Similar(bundle, filters)
    return found
