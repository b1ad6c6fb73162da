"""Items like an item: the nearest by the cosine between item vectors, under the same filters as recommendations."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from motherlode import nearest
from motherlode.api import MAX_ITEMS, Item, Neighbours
from motherlode.bundle import Bundle
from motherlode.nearest import Doubles, Floats, Rows
from serving.filters import Filters, Narrowed, short

_SCORES_AT_ONCE: Final = 4_000_000
"""Items × items; 16 MB of float32."""
_DIGITS: Final = 5
_ROUNDING: Final = 1e-6
"""Of the two divisions that make a cosine of a product, in float32."""


class Similar:
    """One bundle's neighbours of items.

    An index finds the largest products and not the largest angles: this is exact at every size of catalogue.

    Args:
        bundle: the bundle.
        filters: which items there are for a request.
    """

    def __init__(self, bundle: Bundle, filters: Filters) -> None:
        self._items = bundle.items
        self._filters = filters
        # The bias says how popular an item is: beside it all items would be alike.
        self._vectors: Floats = bundle.vectors[:, :-1] if bundle.manifest.tower.biased else bundle.vectors
        lengths = nearest.lengths(self._vectors)
        # A vector of no length is like nothing: its cosine is 0 with everything.
        self._over: Doubles = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        self._over_short = self._over.astype(np.float32)

    def neighbours(self, ids: Sequence[int | str], k: int, narrowed: Narrowed) -> list[Neighbours]:
        """The k nearest items of each, never itself.

        Args:
            ids: N items as the company names them.
            k: how many each.
            narrowed: the items that there are.
        """
        known = [
            (place, self._filters.row[str(each)]) for place, each in enumerate(ids) if str(each) in self._filters.row
        ]
        answers = [Neighbours(each, [], ["there is no such item in the catalogue", *narrowed.notes]) for each in ids]
        step = max(1, _SCORES_AT_ONCE // len(self._vectors)) if known else 1
        for start in range(0, len(known), step):
            some = known[start : start + step]
            cosines = (self._vectors[[row for _, row in some]] @ self._vectors.T) * self._over_short
            for (place, row), scores in zip(some, cosines, strict=True):
                answers[place] = self._answer(ids[place], row, scores, k, narrowed)
        return answers

    def _answer(self, asked: int | str, row: int, scores: Floats, k: int, narrowed: Narrowed) -> Neighbours:
        scores *= self._over_short[row]
        if narrowed.allowed is not None:
            scores += narrowed.allowed.barred
        scores[narrowed.aside] = -np.inf
        scores[row] = -np.inf
        slack = 2 * len(self._vectors[row]) * 2.0**-24 + _ROUNDING
        able = nearest.candidates(scores, min(k, MAX_ITEMS), slack)
        able = able[scores[able] > -np.inf]
        rows, values = nearest.ranked(self._cosines(row, able), able, min(k, MAX_ITEMS))
        items = [
            Item(self._items.ids[each], round(value, _DIGITS), self._items.names[each])
            for each, value in zip(rows.tolist(), values.tolist(), strict=True)
        ]
        notes = list(narrowed.notes)
        if len(items) < k:
            parts = [f"the catalogue has {len(self._items.ids)}, the item itself among them"]
            if narrowed.narrowed:
                parts.append(f"{narrowed.size} pass the filters")
            notes.append(short(len(items), k, MAX_ITEMS, parts))
        return Neighbours(asked, items, notes)

    def _cosines(self, row: int, rows: Rows) -> Doubles:
        found: Doubles = nearest.products(self._vectors, rows, self._vectors[row]) * self._over[rows] * self._over[row]
        return found
