"""The catalogue: the best items for vectors of customers, under any filter, at any size. No HTTP.

Three ways to look, chosen by size and device, that answer alike: one product with every vector; on a GPU the same
there; above `SearchIndex.exact_items` an index whose recall was measured when the bundle was made. Each finds
candidates, and their scores are computed again in float64 (`motherlode.nearest`): what an item scores does not depend
on how it was found. What a filter forbids is barred before anything is chosen. Where the GPU fails, the CPU answers
until it is well again (`motherlode.standby`).
"""

import importlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from motherlode import names, nearest
from motherlode.bundle import Bundle
from motherlode.compute import Compute
from motherlode.errors import BundleError, DeviceError
from motherlode.manifest import RECALL, SEARCH, SearchIndex
from motherlode.nearest import Doubles, Floats, Mask, Rows
from motherlode.standby import AGAIN_S, Standby
from motherlode.weak import weakly

if TYPE_CHECKING:
    from motherlode.index import Among, Index
    from motherlode.product import Product

_SCORES_AT_ONCE: Final = 4_000_000
"""Customers × items; 16 MB of float32, and a bound on how long one step takes."""
_SCORES_AT_ONCE_ON_DEVICE: Final = 64_000_000
"""The same on a GPU, which has the memory for it and is asked for in large steps."""
_GATHERED: Final = 8
"""A filter that leaves less than an eighth of the items has their vectors copied together, which is then the faster."""
_LEADING: Final = 16_384
"""Rows of an order that a filter keeps; whoever needs more makes it keep more."""
_SPARE: Final = 16
"""Candidates that a device is asked for beyond those wanted, lest a tie at the end makes it be asked again."""
SAMPLES_ENOUGH: Final = 0.94
"""Recall on the few customers that a bundle holds samples of: two standard errors of 32 of them below `RECALL`."""
_WARMED: Final = 10
"""Items that a catalogue is asked for before anybody does."""
_NONE: Final = np.empty(0, dtype=np.int64)

_log: Final = logging.getLogger(__name__)


class Allowed:
    """The items that a filter leaves.

    Args:
        mask: shape (items,).
        index: of the catalogue, where there is one.

    Attributes:
        mask: as given.
        size: how many are left.
    """

    def __init__(self, mask: Mask, index: "Index | None" = None) -> None:
        self.mask = mask
        self.size = int(np.count_nonzero(mask))
        self._index = index
        self._leading = _NONE

    def leading(self, order: Rows, count: int) -> Rows:
        """The first rows of an order that are left: `count`, or all there are.

        Args:
            order: of all rows; always the same one.
            count: how many.
        """
        leading = self._leading  # read once: another thread may put a shorter one there meanwhile
        if len(leading) < min(count, self.size):
            leading = self._leading = order[self.mask[order]][: max(count, _LEADING)]
        return leading[:count]

    @cached_property
    def rows(self) -> Rows | None:
        """The rows that are left, where they are so few that their vectors are copied together; else None."""
        return np.flatnonzero(self.mask) if self.size * _GATHERED <= len(self.mask) else None

    @cached_property
    def barred(self) -> Floats:
        """What is added to every score: 0, or minus infinity; fifty times faster than to set those of a mask."""
        return np.where(self.mask, np.float32(0), np.float32(-np.inf))

    @cached_property
    def among(self) -> "Among | None":
        """The same as an index reads it."""
        return None if self._index is None else self._index.among(self.mask)


@dataclass(frozen=True)
class Searched:
    """An index as a bundle says that it is to be asked.

    Attributes:
        index: of the catalogue's vectors.
        asked: see `SearchIndex`.
        examined_for: `motherlode.index.examined_for`.
    """

    index: "Index"
    asked: SearchIndex
    examined_for: Callable[[int, int], int]

    def candidates(self, query: Floats, k: int, allowed: "Allowed | None", aside: Rows) -> Rows:
        """Rows among which the k best lie, but for what the recall says."""
        among = None if allowed is None else allowed.among
        return self.index.candidates(query, k, self.examined_for(self.asked.examined, k), among, aside)


@dataclass(frozen=True)
class Found:
    """The best items of one query, the best first; among equal scores the lower row.

    Attributes:
        rows: shape (K,): as many as were asked for, or all that are allowed.
        scores: shape (K,), finite.
    """

    rows: Rows
    scores: Doubles


class Catalogue:
    """Item vectors and the ways to search them. May be asked from several threads at once.

    Args:
        vectors: float32, shape (items, D), finite.
        index: of the same vectors; None: every search here is exact.
        opening: sends the vectors to a device, which is then asked; None: they are multiplied here. A device that
            fails, now or later, is tried again.
        unindexed: why there is no index though there could be one.
        again_s: seconds until a device that failed is tried again.

    Attributes:
        vectors: as given.
    """

    def __init__(
        self,
        vectors: Floats,
        index: "Searched | None" = None,
        opening: "Callable[[], Product] | None" = None,
        unindexed: str = "",
        again_s: float = AGAIN_S,
    ) -> None:
        self.vectors = vectors
        self._index = index
        self._opening = opening or _nowhere
        self._has_device = opening is not None
        self._unindexed = unindexed
        self._longest = float(nearest.lengths(vectors).max(initial=0.0))
        product, lost = None, None
        if self._has_device:
            try:
                product = self._opened()
            except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no common base; the CPU can answer
                lost = f"{type(error).__name__}: {error}"
                _log.error("The GPU cannot search the catalogue, and the CPU does.", exc_info=error)
        self._standby: Standby[Product | None] = Standby(
            "the search of the catalogue", product, None, weakly(self._opened), again_s, lost
        )

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def lost(self) -> str | None:
        """What the GPU failed with; None while it answers, or where there is none."""
        return self._standby.lost

    @property
    def how(self) -> str:
        """How it is searched, and why not better; for people."""
        if self._has_device and self.lost is None:
            return "on the GPU"
        gone = "" if self.lost is None else f"; the GPU failed: {self.lost}"
        if self._index is None:
            why = f", without its index: {self._unindexed}" if self._unindexed else ""
            return f"exactly{why}{gone}"
        asked = self._index.asked
        return f"by index above {asked.exact_items} items, recall {asked.recall:.3f}{gone}"

    @property
    def at_once(self) -> int:
        """Queries that one step of a search answers; after as many, whoever is in a hurry may look at the clock."""
        on_gpu = self._has_device and self.lost is None
        return max(1, (_SCORES_AT_ONCE_ON_DEVICE if on_gpu else _SCORES_AT_ONCE) // max(1, len(self)))

    def warm(self) -> None:
        """Search by every way that a request may take: the first of them is not to wait for memory or a device."""
        query = self.vectors[:1]
        if not len(query):
            return
        self.search(query, _WARMED)
        self._exactly(query, _WARMED, None, [_NONE])
        half = self.allow(np.arange(len(self)) % 2 == 0)
        self.search(query, _WARMED, half)

    def allow(self, mask: Mask) -> Allowed:
        """A filter, shape (items,), as `search` takes it; worth keeping for the next request."""
        return Allowed(mask, None if self._index is None else self._index.index)

    def search(
        self,
        queries: Floats,
        k: int,
        allowed: Allowed | None = None,
        aside: Sequence[Rows] | None = None,
    ) -> list[Found]:
        """The k best items for each of N vectors.

        Args:
            queries: float32, shape (N, D), finite.
            k: how many each, at least 1.
            allowed: what a filter leaves; None: everything.
            aside: for each query, rows that are not for it either.
        """
        barred = aside if aside is not None else [_NONE] * len(queries)
        left = len(self) if allowed is None else allowed.size
        if not left:
            return [Found(_NONE, np.empty(0)) for _ in queries]
        return self._standby.ask(
            lambda product: (
                self._here(queries, k, allowed, barred)
                if product is None
                else self._on_device(product, queries, k, allowed, barred)
            )
        )

    def _here(self, queries: Floats, k: int, allowed: Allowed | None, barred: Sequence[Rows]) -> list[Found]:
        """The search on the CPU."""
        left = len(self) if allowed is None else allowed.size
        if self._index is not None and left > self._index.asked.exact_items:
            return [
                self._ranked(query, self._index.candidates(query, k, allowed, rows), k)
                for query, rows in zip(queries, barred, strict=True)
            ]
        return self._exactly(queries, k, allowed, barred)

    def scores(self, query: Floats, rows: Rows) -> Doubles:
        """What some rows score, as `search` says it."""
        return nearest.products(self.vectors, rows, query)

    def _opened(self) -> "Product":
        """The vectors on the device, which finds there what is found here.

        Raises:
            Exception: it does not, or cannot take them: ONNX Runtime's errors have no common base.
        """
        product, queries = self._opening(), self.vectors[:1]
        if len(queries):
            (there,) = self._on_device(product, queries, _WARMED, None, [_NONE])
            (here,) = self._exactly(queries, _WARMED, None, [_NONE])
            if there.rows.tolist() != here.rows.tolist():
                raise BundleError("The GPU finds other items than the CPU.", "Look for its own message in the log.")
        return product

    def _exactly(self, queries: Floats, k: int, allowed: Allowed | None, aside: Sequence[Rows]) -> list[Found]:
        matrix, rows, barred = self.vectors, None, None
        if allowed is not None and allowed.rows is not None:
            matrix, rows = self.vectors[allowed.rows], allowed.rows
        elif allowed is not None:
            barred = allowed.barred
        step = max(1, _SCORES_AT_ONCE // len(matrix))
        found = []
        for start in range(0, len(queries), step):
            some = queries[start : start + step]
            # One vector is not a matrix of one row: BLAS reads the catalogue at the speed of memory for the first.
            products = (matrix @ some[0])[None] if len(some) == 1 else some @ matrix.T
            for query, scores, out in zip(some, products, aside[start : start + step], strict=True):
                if barred is not None:
                    scores += barred
                scores[out if rows is None else _places(rows, out)] = -np.inf
                able = nearest.candidates(scores, k, nearest.slack(self._longest, query))
                able = able[scores[able] > -np.inf]
                found.append(self._ranked(query, able if rows is None else rows[able], k))
        return found

    def _on_device(
        self, product: "Product", queries: Floats, k: int, allowed: Allowed | None, aside: Sequence[Rows]
    ) -> list[Found]:
        mask = None if allowed is None else allowed.mask
        step = max(1, _SCORES_AT_ONCE_ON_DEVICE // len(self))
        found = []
        for start in range(0, len(queries), step):
            some, out = queries[start : start + step], aside[start : start + step]
            count = min(len(self), k + max(map(len, out)) + _SPARE)
            for query, barred, rows, scores in zip(some, out, *product.best(some, count, mask), strict=True):
                whole = self._whole(query, k, rows, scores, barred)
                wider = count
                while whole is None:
                    wider = min(len(self), 2 * wider)
                    (rows,), (scores,) = product.best(query[None], wider, mask)
                    whole = self._whole(query, k, rows, scores, barred)
                found.append(whole)
        return found

    def _whole(self, query: Floats, k: int, rows: Rows, scores: Floats, aside: Rows) -> Found | None:
        """The best of what a device gave; None where one that it did not give could be among them."""
        able = (scores > -np.inf) & ~np.isin(rows, aside)
        given_all = len(rows) == len(self) or scores[-1] == -np.inf
        if given_all or scores[-1] < scores[able][k - 1] - nearest.slack(self._longest, query):
            return self._ranked(query, rows[able], k)
        return None

    def _ranked(self, query: Floats, rows: Rows, k: int) -> Found:
        return Found(*nearest.ranked(self.scores(query, rows), rows, k))


def open_catalogue(bundle: Bundle, compute: Compute, *, strict: bool = False, again_s: float = AGAIN_S) -> Catalogue:
    """A bundle's catalogue: on the GPU where that computes, else by its index where it has one that finds enough.

    Args:
        bundle: the bundle.
        compute: what to search on. Where its GPU cannot, the CPU does, and is ready to beside it.
        strict: then fail instead: the GPU was asked for by name.
        again_s: seconds until a GPU that failed is tried again.

    Raises:
        BundleError: the index cannot be read, or is another catalogue's.
        DeviceError: the search cannot be sent to the GPU, and `strict`.
    """
    opening: Callable[[], Product] | None = None
    if compute.kind == "gpu" and SEARCH in bundle.manifest.files:
        room = importlib.import_module("motherlode.product")

        def opening() -> "Product":
            product: Product = room.Product(bundle.content(SEARCH), bundle.vectors, "gpu", compute.onnx_providers)
            return product

    index, unindexed = None, ""
    if bundle.manifest.index is not None:
        try:
            found = open_index(bundle, bundle.manifest.index)
            _hold(found, bundle)
            index = found
        except RefusedIndexError as refused:
            unindexed = str(refused)
            _log.warning("Bundle %s: %s; every search is exact.", bundle.manifest.version, refused)
    catalogue = Catalogue(bundle.vectors, index, opening, unindexed, again_s)
    if strict and catalogue.lost is not None:
        raise DeviceError(f"The GPU cannot search the catalogue: {catalogue.lost}.", "Use `--device auto`.")
    return catalogue


class RefusedIndexError(Exception):
    """An index that is not used, and why."""


def open_index(bundle: Bundle, asked: SearchIndex) -> Searched:
    """An index of a bundle's items.

    Raises:
        BundleError: it cannot be read, or is another catalogue's.
        RefusedIndexError: it finds too little, or Faiss is not installed.
    """
    if asked.recall < RECALL:
        raise RefusedIndexError(f"its recall is {asked.recall:.3f}, {RECALL:g} is asked for")
    try:
        room = importlib.import_module("motherlode.index")
    except ImportError as error:
        raise RefusedIndexError(f"Faiss is not installed ({error})") from None
    what, remedy = f"{asked.file} of bundle {bundle.manifest.version}", "Train and publish again."
    try:
        index = room.Index(bundle.content(asked.file))
    except ValueError as error:
        raise BundleError(f"{what} cannot be read: {error}.", remedy) from error
    if index.items != len(bundle.vectors):
        raise BundleError(
            f"{asked.file} of bundle {bundle.manifest.version} has {index.items} items of {len(bundle.vectors)}.",
            remedy,
        )
    return Searched(index, asked, room.examined_for)


def _hold(searched: Searched, bundle: Bundle) -> None:
    """Hold an index to the bundle's sample customers.

    Raises:
        RefusedIndexError: it finds too few of their best items.
    """
    room = importlib.import_module("motherlode.index")
    samples = bundle.answers.get(f"{names.USER_TOWER}.answer")
    if samples is not None and len(samples):
        right = room.exact(bundle.vectors, samples)
        found = room.recall(searched.index, bundle.vectors, samples, right, searched.asked.examined)
        if found < SAMPLES_ENOUGH:
            raise RefusedIndexError(f"it finds {found:.3f} of the best items of the bundle's sample customers")


def _nowhere() -> "Product":
    raise DeviceError("The catalogue has no device.", "Ask it on the CPU.")


def _places(rows: Rows, some: Rows) -> Any:
    """Where some rows stand among others, which ascend; those that do not are left out."""
    places = np.minimum(np.searchsorted(rows, some), len(rows) - 1)
    return places[rows[places] == some]
