"""The catalogue: the best items for vectors of customers, under any filter, at any size. No HTTP.

Three ways to look, chosen by size and device, that answer alike: one product with every vector; on a GPU the same
there; above `SearchIndex.exact_items` an index whose recall was measured when the bundle was made. Each finds
candidates, and their scores are computed again in float64 (`motherlode.nearest`): what an item scores does not depend
on how it was found. What a filter forbids is barred before anything is chosen.
"""

import importlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from motherlode import names, nearest
from motherlode.bundle import RECALL, SEARCH, Bundle, SearchIndex
from motherlode.compute import Compute
from motherlode.errors import BundleError
from motherlode.nearest import Doubles, Floats, Mask, Rows

if TYPE_CHECKING:
    from motherlode.index import Among, Index
    from motherlode.product import Product

_SCORES_AT_ONCE: Final = 4_000_000
"""Customers × items; 16 MB of float32, and a bound on how long one step takes."""
_SCORES_AT_ONCE_ON_DEVICE: Final = 64_000_000
"""The same on a GPU, which has the memory for it and is asked for in large steps."""
_GATHERED: Final = 8
"""A filter that leaves less than an eighth of the items has their vectors copied together, which is then the faster."""
_SPARE: Final = 16
"""Candidates that a device is asked for beyond those wanted, lest a tie at the end makes it be asked again."""
_SAMPLES_ENOUGH: Final = 0.94
"""Recall on the few customers that a bundle holds samples of: two standard errors of 32 of them below `RECALL`."""
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
        index: of the same vectors; None: every search is exact.
        product: the vectors on a device, which is then asked; None: they are multiplied here.

    Attributes:
        vectors: as given.
        note: why the search is not what it might be; empty where it is.
    """

    def __init__(
        self,
        vectors: Floats,
        index: "Searched | None" = None,
        product: "Product | None" = None,
    ) -> None:
        self.vectors = vectors
        self.note = ""
        self._index = index
        self._product = product
        self._longest = float(nearest.lengths(vectors).max(initial=0.0))

    def __len__(self) -> int:
        return len(self.vectors)

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
        if self._product is not None:
            try:
                return self._on_device(self._product, queries, k, allowed, barred)
            except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no common base; the CPU can answer
                self._product, self.note = None, f"the GPU cannot search, the CPU does: {error}"
                _log.error("The GPU cannot search the catalogue, the CPU does from now on.", exc_info=error)
        if self._index is not None and left > self._index.asked.exact_items:
            return [
                self._ranked(query, self._index.candidates(query, k, allowed, rows), k)
                for query, rows in zip(queries, barred, strict=True)
            ]
        return self._exactly(queries, k, allowed, barred)

    def scores(self, query: Floats, rows: Rows) -> Doubles:
        """What some rows score, as `search` says it."""
        return nearest.products(self.vectors, rows, query)

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


def open_catalogue(bundle: Bundle, compute: Compute) -> Catalogue:
    """A bundle's catalogue: on the GPU where that computes, else by its index where it has one that finds enough.

    Raises:
        BundleError: the index cannot be read, or is another catalogue's; the search cannot be sent to the GPU.
    """
    if compute.kind == "gpu" and SEARCH in bundle.manifest.files:
        room = importlib.import_module("motherlode.product")
        return Catalogue(
            bundle.vectors, product=room.Product(bundle.folder / SEARCH, bundle.vectors, "gpu", compute.onnx_providers)
        )
    if bundle.manifest.index is None:
        return Catalogue(bundle.vectors)
    try:
        index = _open_index(bundle, bundle.manifest.index)
    except _RefusedError as refused:
        _log.warning("Bundle %s: %s; every search is exact.", bundle.manifest.version, refused)
        exact = Catalogue(bundle.vectors)
        exact.note = f"searched exactly, without its index: {refused}"
        return exact
    return Catalogue(bundle.vectors, index)


class _RefusedError(Exception):
    """An index that is not used, and why."""


def _open_index(bundle: Bundle, asked: SearchIndex) -> Searched:
    if asked.recall < RECALL:
        raise _RefusedError(f"its recall is {asked.recall:.3f}, {RECALL:g} is asked for")
    try:
        room = importlib.import_module("motherlode.index")
    except ImportError as error:
        raise _RefusedError(f"Faiss is not installed ({error})") from None
    what, remedy = f"{asked.file} of bundle {bundle.manifest.version}", "Train and publish again."
    try:
        index = room.Index((bundle.folder / asked.file).read_bytes())
    except (OSError, ValueError) as error:
        raise BundleError(f"{what} cannot be read: {error}.", remedy) from error
    if index.items != len(bundle.vectors):
        raise BundleError(
            f"{asked.file} of bundle {bundle.manifest.version} has {index.items} items of {len(bundle.vectors)}.",
            remedy,
        )
    searched = Searched(index, asked, room.examined_for)
    samples = bundle.answers.get(f"{names.USER_TOWER}.answer")
    if samples is not None and len(samples):
        found = room.recall(index, bundle.vectors, samples, room.exact(bundle.vectors, samples), asked.examined)
        if found < _SAMPLES_ENOUGH:
            raise _RefusedError(f"it finds {found:.3f} of the best items of the bundle's sample customers")
    return searched


def _places(rows: Rows, some: Rows) -> Any:
    """Where some rows stand among others, which ascend; those that do not are left out."""
    places = np.minimum(np.searchsorted(rows, some), len(rows) - 1)
    return places[rows[places] == some]
