"""Which items there are for a question: by category, price, stock, and the lists of what is kept back. No HTTP."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from motherlode.api import ItemFilters
from motherlode.manifest import ItemTable
from motherlode.nearest import Mask, Rows
from serving.catalogue import Allowed, Catalogue

_KEPT: Final = 64
_KEPT_ITEMS: Final = 16_000_000
"""Filters that are kept, and their items in all; each takes some six bytes an item at most."""
_NAMED: Final = 10
"""Categories that an error names."""


class FilterError(ValueError):
    """A filter that cannot be answered.

    Args:
        field: of the request.
        problem: what is wrong.
        remedy: what to do about it.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        self.field = field
        self.remedy = remedy
        super().__init__(problem)


@dataclass(frozen=True)
class Narrowed:
    """The items that there are for one request.

    Attributes:
        allowed: by what can be asked again; None: all of them.
        aside: rows that this one request excludes besides, ascending.
        size: how many are left.
        narrowed: whether the request asked for fewer than all.
        notes: what of the filter is not in the catalogue.
    """

    allowed: Allowed | None
    aside: Rows
    size: int
    narrowed: bool
    notes: tuple[str, ...]

    def among(self, rows: Rows) -> Mask:
        """Which of some rows are left."""
        left = np.ones(len(rows), dtype=np.bool_) if self.allowed is None else self.allowed.mask[rows]
        return left & ~np.isin(rows, self.aside)


_Key = tuple[frozenset[str] | None, frozenset[str], float | None, float | None, bool, frozenset[str]]


class Filters:
    """One bundle's filters. May be asked from several threads at once.

    Args:
        items: the catalogue's table.
        catalogue: the same, to be searched.

    Attributes:
        row: of the catalogue, by an item's key.
        popular: every row, the most popular first; none where the table does not say how popular its items are.
        everything: what there is without a filter.
    """

    def __init__(self, items: ItemTable, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.row: Mapping[str, int] = {key: row for row, key in enumerate(items.keys)}
        self._size = len(items.ids)
        self.popular: Rows = np.argsort(-np.array(items.popularity, dtype=np.float64), kind="stable")
        # Not by NumPy, which sorts texts without giving the interpreter back: a bundle is loaded beside requests.
        codes: dict[str, int] = {}
        self._code = np.array([codes.setdefault(name, len(codes)) for name in items.categories], dtype=np.int64)
        self._category = {name: code for name, code in codes.items() if name}
        # NaN, where nobody says, is never within.
        self._prices = np.array([np.nan if each is None else each for each in items.prices], dtype=np.float64)
        self._stock = np.array([np.nan if each is None else each for each in items.stock], dtype=np.float64)
        self._keep = max(1, min(_KEPT, _KEPT_ITEMS // max(1, self._size)))
        self._lock = threading.Lock()
        self._known: OrderedDict[_Key, Allowed] = OrderedDict()
        self.everything = self.narrow(ItemFilters())

    def check(self, asked: ItemFilters) -> None:
        """Check that the bundle knows what a filter asks for.

        Raises:
            FilterError: it does not, naming what there is; or nothing can pass.
        """
        for field in ("categories", "exclude_categories"):
            if getattr(asked, field) and not self._category:
                raise self._lacking(field, "categories")
        for field in ("min_price", "max_price"):
            if getattr(asked, field) is not None and not len(self._prices):
                raise self._lacking(field, "prices")
        if asked.in_stock and not len(self._stock):
            raise self._lacking("in_stock", "stock")
        if asked.min_price is not None and asked.max_price is not None and asked.min_price > asked.max_price:
            raise FilterError(
                "min_price",
                f"It is {asked.min_price:g}, above max_price, {asked.max_price:g}.",
                "Give a min_price that is at most max_price.",
            )

    def leading(self, narrowed: Narrowed, count: int) -> Rows:
        """The most popular rows of those that can be asked for again: `count` of `popular`, or all there are."""
        return self.popular[:count] if narrowed.allowed is None else narrowed.allowed.leading(self.popular, count)

    def narrow(self, asked: ItemFilters, suppressed: frozenset[str] = frozenset()) -> Narrowed:
        """The items for a request.

        Args:
            asked: checked (see `check`).
            suppressed: keys of items that nobody is recommended; equal lists are compared by what they hold.
        """
        wanted = None if asked.categories is None else frozenset(asked.categories)
        unwanted = frozenset(asked.exclude_categories)
        key = (wanted, unwanted, asked.min_price, asked.max_price, asked.in_stock, suppressed)
        plain = key == (None, frozenset(), None, None, False, frozenset())
        allowed = None if plain else self._allowed(key)
        aside = np.unique(self._rows(map(str, asked.exclude_items)))
        left = aside if allowed is None else aside[allowed.mask[aside]]
        size = (self._size if allowed is None else allowed.size) - len(left)
        unknown = sorted(name for name in (wanted or frozenset()) | unwanted if name not in self._category)
        notes = tuple(f"no item has the category {name!r}" for name in unknown[:_NAMED])
        return Narrowed(allowed, left, size, not plain or len(left) > 0, notes)

    def _allowed(self, key: _Key) -> Allowed:
        with self._lock:
            if (known := self._known.get(key)) is not None:
                self._known.move_to_end(key)
                return known
        made = self._catalogue.allow(self._mask(*key))
        with self._lock:
            self._known[key] = made
            while len(self._known) > self._keep:
                self._known.popitem(last=False)
        return made

    def _mask(
        self,
        wanted: frozenset[str] | None,
        unwanted: frozenset[str],
        lowest: float | None,
        highest: float | None,
        in_stock: bool,
        suppressed: frozenset[str],
    ) -> Mask:
        mask = np.ones(self._size, dtype=np.bool_)
        if wanted is not None:
            mask &= np.isin(self._code, self._codes(wanted))
        if unwanted:
            mask &= ~np.isin(self._code, self._codes(unwanted))
        if lowest is not None:
            mask &= self._prices >= lowest
        if highest is not None:
            mask &= self._prices <= highest
        if in_stock:
            mask &= self._stock > 0
        mask[self._rows(suppressed)] = False
        return mask

    def _codes(self, categories: Iterable[str]) -> list[int]:
        return [self._category[name] for name in categories if name in self._category]

    def _rows(self, keys: Iterable[str]) -> Rows:
        return np.array([self.row[key] for key in keys if key in self.row], dtype=np.int64)

    def _lacking(self, field: str, what: str) -> FilterError:
        there = {"categories": len(self._category), "prices": len(self._prices), "stock": len(self._stock)}
        known = " and ".join(name for name, size in there.items() if size)
        remedy = f"It knows their {known}." if known else "It can be asked by exclude_items alone."
        return FilterError(field, f"This bundle's items have no {what}.", f"{remedy} See docs/data.md, `items`.")


def short(got: int, wanted: int, most: int, parts: Sequence[str]) -> str:
    """Why a list is short.

    Args:
        got, wanted: how many items.
        most: how many are given at most.
        parts: the reasons.
    """
    if got == most:
        return f"{got} of {wanted} items: at most {most} are given"
    return f"{got} of {wanted} items: {', '.join(parts)}"
