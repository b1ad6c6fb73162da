"""The search index of a large catalogue: lists of like items, of which a query reads the most promising. Faiss.

The index holds the vectors, a byte a dimension, in lists by k-means. A query ranks the lists by their centres' products
with it, and reads the best ones until it has been shown a stated number of rows *that the filter allows*: a filter
takes nothing away from what is looked at. What comes back are candidates; `motherlode.nearest` computes their scores.
Why lists and not a graph: docs/decisions/0035.

Importing this imports Faiss, which a small catalogue does not need: training and serving open this room by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from motherlode import nearest
from motherlode.manifest import RECALL
from motherlode.nearest import Floats, Mask, Rows

_FAISS: Final[Any] = faiss
"""Its stubs know the C++ signatures, not those that its own wrappers make of them."""
_WANTED: Final = 0.99
"""What it is tuned for, on other queries than it is then measured on."""
_MARGIN: Final = 2
"""Times what was enough for those: a few customers ask for what lies far apart, and are not always among them."""
_K: Final = 10
_SPARE: Final = 16
_WIDTH: Final = 16
"""Dimensions that Faiss compares in one step; others are filled up with zeros."""
ROWS_A_LIST: Final = 125
"""So many lists that several share a group of like items: with half as many a query reads several times the rows."""
_LISTS_AT_MOST: Final = 8
"""Times the root of the number of items, beyond which building would take too long."""
_PASSES: Final = 3
_LEARNED: Final = 20
"""Vectors a list that k-means learns from."""
_SHARE_AT_MOST: Final = 0.25
"""Of the catalogue; an index that must read more is no faster than reading all of it."""


@dataclass(frozen=True)
class Tuned:
    """How an index does.

    Attributes:
        examined: allowed rows that a query for 10 is shown.
        recall: of the exact best 10, the share that the index finds; the mean over `queries`.
        queries: how many it was measured on.
    """

    examined: int
    recall: float
    queries: int


@dataclass(frozen=True)
class Among:
    """The rows that a filter allows, as an index reads them.

    Attributes:
        bits: one bit a row, the lowest first.
        sizes: allowed rows of each list.
    """

    bits: npt.NDArray[np.uint8]
    sizes: Rows


class Index:
    """An index that was built. May be asked from several threads at once.

    Args:
        content: as `build` made it, byte for byte: Faiss trusts what it reads.

    Raises:
        ValueError: it is no such index.
    """

    def __init__(self, content: bytes) -> None:
        try:
            read = _FAISS.deserialize_index(np.frombuffer(content, dtype=np.uint8))
        except RuntimeError as error:
            raise ValueError(f"Faiss {faiss.__version__} cannot read it: {error}") from None
        if not isinstance(read, faiss.IndexIVFScalarQuantizer):
            raise ValueError(f"it is a {type(read).__name__}")
        _FAISS.omp_set_num_threads(1)  # one query is read by one thread; others wait spinning
        self._read: Any = read
        self.items: int = read.ntotal
        inverted: Any = read.invlists
        sizes = [inverted.list_size(each) for each in range(read.nlist)]
        # Faiss has nothing to point at in a list without rows.
        lists = [
            _FAISS.rev_swig_ptr(inverted.get_ids(each), size) if size else np.zeros(0, dtype=np.int64)
            for each, size in enumerate(sizes)
        ]
        self._ids = np.concatenate([np.zeros(0, dtype=np.int64), *lists])
        self._ends = np.cumsum(sizes)
        self._every = self.among(np.ones(self.items, dtype=np.bool_))
        self._centres: Floats = np.ascontiguousarray(read.quantizer.reconstruct_n(0, read.nlist))

    @property
    def lists(self) -> int:
        return len(self._ends)

    def among(self, allowed: Mask) -> Among:
        """What a filter allows, shape (items,), as `candidates` takes it."""
        seen = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(allowed[self._ids])])
        starts = np.concatenate([np.zeros(1, dtype=np.int64), self._ends[:-1]])
        return Among(np.packbits(allowed, bitorder="little"), seen[self._ends] - seen[starts])

    def candidates(
        self, query: Floats, k: int, examined: int, among: Among | None = None, aside: Rows | None = None
    ) -> Rows:
        """Rows among which the k best lie, all but a measured share of them; in no order.

        Args:
            query: float32, shape (D,).
            k: how many are wanted.
            examined: allowed rows to look at, or more.
            among: what a filter allows; None: every row.
            aside: rows that are not allowed either.
        """
        among = among or self._every
        wide = np.zeros((1, self._read.d), dtype=np.float32)
        wide[0, : len(query)] = query
        order = np.argsort(-(self._centres @ wide[0]))
        shown = np.cumsum(among.sizes[order])
        best = order[: int(np.searchsorted(shown, examined)) + 1]
        best = np.ascontiguousarray(best[among.sizes[best] > 0], dtype=np.int64)
        if not len(best):
            return np.empty(0, dtype=np.int64)
        bits = among.bits
        if aside is not None and len(aside):
            bits = bits.copy()
            np.bitwise_and.at(bits, aside >> 3, ~(np.uint8(1) << (aside & 7).astype(np.uint8)))
        selector = _FAISS.IDSelectorBitmap(bits)
        reading = _FAISS.SearchParametersIVF(nprobe=len(best), sel=selector)
        count = min(2 * k + _SPARE, self.items)
        scores = np.empty((1, count), dtype=np.float32)
        rows = np.empty((1, count), dtype=np.int64)
        # The wrapper of `search_preassigned` takes no parameters, and so no filter; what it wraps does.
        self._read.search_preassigned_c(
            1,
            _FAISS.swig_ptr(wide),
            count,
            _FAISS.swig_ptr(best),
            _FAISS.swig_ptr(np.zeros(len(best), dtype=np.float32)),
            _FAISS.swig_ptr(scores),
            _FAISS.swig_ptr(rows),
            False,
            reading,
        )
        found: Rows = rows[0][rows[0] >= 0]
        return found


def examined_for(examined: int, k: int) -> int:
    """Rows to look at for k items, by those for 10: a longer list reaches further from the query."""
    return int(examined * max(1.0, k / _K) ** 0.5)


def build(vectors: Floats, seed: int, rows_a_list: int = ROWS_A_LIST) -> bytes:
    """Make an index; half a minute of processor time a million vectors.

    Args:
        vectors: float32, shape (items, D).
        seed: of the rows that k-means learns from, and of where it begins.
        rows_a_list: on average.

    Returns:
        What `Index` reads.
    """
    items, width = vectors.shape
    lists = max(1, min(items // rows_a_list, int(_LISTS_AT_MOST * items**0.5)))
    # What all items have in common moves every score of a query alike: without it like items lie closer together.
    moved = np.zeros((items, -(-width // _WIDTH) * _WIDTH), dtype=np.float32)
    moved[:, :width] = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    sample = np.random.default_rng(seed).choice(items, min(items, _LEARNED * lists), replace=False)
    # By distance, though queries come by product: a list by product would gather long vectors, not like ones.
    means = _FAISS.Kmeans(
        moved.shape[1], lists, niter=_PASSES, seed=seed, min_points_per_centroid=1, max_points_per_centroid=_LEARNED
    )
    means.train(moved[sample])
    _, found = means.index.search(moved, 1)
    chosen = np.ascontiguousarray(found[:, 0], dtype=np.int64)
    quantizer = _FAISS.IndexFlatIP(moved.shape[1])
    quantizer.add(means.centroids)
    made = _FAISS.IndexIVFScalarQuantizer(
        quantizer, moved.shape[1], lists, _FAISS.ScalarQuantizer.QT_8bit, _FAISS.METRIC_INNER_PRODUCT, False
    )
    made.sq.train(moved)
    made.is_trained = True
    ids = np.arange(items, dtype=np.int64)
    made.add_core(items, _FAISS.swig_ptr(moved), _FAISS.swig_ptr(ids), _FAISS.swig_ptr(chosen))
    content: bytes = _FAISS.serialize_index(made).tobytes()
    return content


def tune(index: Index, vectors: Floats, queries: Floats, own: Rows | None = None) -> Tuned:
    """Find how many rows a query must be shown, on every other query; measure the recall on the rest.

    Args:
        index: built of `vectors`.
        vectors: float32, shape (items, D).
        queries: as customers ask, float32, shape (Q, D); at least 2.
        own: shape (Q,): the row that each query is, where items ask for others like them; it is not to be found.
    """
    right = exact(vectors, queries, own)
    asked = [None, None] if own is None else [own[::2], own[1::2]]
    examined = max(1, int(4 * index.items**0.5))
    while (
        recall(index, vectors, queries[::2], right[::2], examined, asked[0]) < _WANTED
        and examined < _SHARE_AT_MOST * index.items
    ):
        examined = int(examined * 1.5) + 1
    examined *= _MARGIN
    found = recall(index, vectors, queries[1::2], right[1::2], examined, asked[1])
    return Tuned(examined, found, len(queries[1::2]))


def recall(
    index: Index, vectors: Floats, queries: Floats, right: Sequence[Rows], examined: int, own: Rows | None = None
) -> float:
    """Of the best 10 of each query, `right`, the share that the index finds; the mean over the queries; `own` as in
    `tune`."""
    shares = []
    for i, (query, best) in enumerate(zip(queries, right, strict=True)):
        rows = index.candidates(query, _K, examined, aside=None if own is None else own[i : i + 1])
        found, _ = nearest.ranked(nearest.products(vectors, rows, query), rows, _K)
        shares.append(len(np.intersect1d(found, best)) / len(best))
    return float(np.mean(shares))


def exact(vectors: Floats, queries: Floats, own: Rows | None = None) -> list[Rows]:
    """The best 10 rows of each query; `own` as in `tune`."""
    found = []
    for i, query in enumerate(queries):
        scores = vectors @ query
        if own is not None:
            scores[own[i]] = -np.inf
        found.append(nearest.top_k(scores, _K))
    return found


def unit(vectors: Floats) -> Floats:
    """Each row at length 1, whose products are then cosines; one of no length stays as it is."""
    lengths = nearest.lengths(vectors)
    over = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0).astype(np.float32)
    return np.ascontiguousarray(vectors * over[:, None])


def worthwhile(tuned: Tuned, items: int) -> bool:
    """Whether an index finds enough, and reads less than a good part of the catalogue for it."""
    return tuned.recall >= RECALL and tuned.examined < _SHARE_AT_MOST * items
