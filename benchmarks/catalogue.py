"""Claim: the best 10 of 100,000 × 64 cost at most 1.5 × one pass over the matrix; an index finds 98 % of a million's.

One thread, processor time, every figure in turns with what it is compared with, medians. One pass is told twice: as
plain reading, the largest number of the matrix, and as the bare product with a vector. `MOTHERLODE_BENCH_ITEMS` names
the largest catalogue.
"""

import os
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from benchmarks.results import Row, publish
from motherlode.index import Index, build, examined_for, tune
from motherlode.manifest import RECALL, SearchIndex
from serving.catalogue import Allowed, Catalogue, Searched

ITEMS: Final = 100_000
WIDTH: Final = 64
K: Final = 10
ROUNDS: Final = 101
SIZES: Final = (50_000, 200_000, 300_000, 1_000_000)
QUERIES: Final = 300
_SHOWN: Final = 40
"""Queries that a filter's recall and time are measured by."""

Floats = npt.NDArray[np.float32]


def main() -> None:
    """The pass, then each size of catalogue."""
    most = int(float(os.environ.get("MOTHERLODE_BENCH_ITEMS", SIZES[-1])))
    with threadpool_limits(1):
        rows = _one_pass()
        for size in SIZES:
            if size <= most:
                rows += _large(size)
    publish("catalogue", rows)


def _one_pass() -> list[Row]:
    vectors, queries = shop(ITEMS, ROUNDS)
    catalogue = Catalogue(vectors)
    half = catalogue.allow(np.random.default_rng(1).random(ITEMS) < 0.5)
    few = catalogue.allow(np.random.default_rng(1).random(ITEMS) < 0.05)
    bought = np.random.default_rng(2).integers(0, ITEMS, 500)

    found = _in_turns(
        {
            "read": lambda query: vectors.max(),
            "product": lambda query: vectors @ query,
            "search": lambda query: catalogue.search(query[None], K),
            "bought": lambda query: catalogue.search(query[None], K, None, [bought]),
            "half": lambda query: catalogue.search(query[None], K, half, [bought]),
            "few": lambda query: catalogue.search(query[None], K, few, [bought]),
        },
        queries,
    )
    what = f"best {K} of {ITEMS:,} × {WIDTH}"
    goal = "<= 1.5"
    return [
        Row("one pass, read", found["read"] * 1e3, "ms"),
        Row("one pass, product with a vector", found["product"] * 1e3, "ms"),
        Row(what, found["search"] * 1e3, "ms"),
        Row(f"{what}, by one pass read", found["search"] / found["read"], "×", goal=goal),
        Row(f"{what}, by one product", found["search"] / found["product"], "×", goal=goal),
        Row(f"{what}, 500 bought left out, by one product", found["bought"] / found["product"], "×", goal=goal),
        Row(f"{what}, half filtered out too, by one product", found["half"] / found["product"], "×", goal=goal),
        Row(f"{what}, 95 % filtered out too, by one product", found["few"] / found["product"], "×"),
    ]


def _large(size: int) -> list[Row]:
    vectors, queries = shop(size, QUERIES)
    began = time.process_time()
    content = build(vectors, 0)
    built = time.process_time() - began
    index = Index(content)
    tuned = tune(index, vectors, queries)
    asked = SearchIndex("", 0, tuned.examined, tuned.recall, tuned.queries)
    exact, indexed = Catalogue(vectors), Catalogue(vectors, Searched(index, asked, examined_for))
    what = f"{size:,} × {WIDTH}"
    third = np.random.default_rng(3).random(size) < 0.3
    corner = np.argmax(vectors[:, :10], axis=1) == 0
    rows = [
        Row(f"{what}: recall@{K}", tuned.recall, "", goal=f">= {RECALL}"),
        Row(f"{what}: to build", built, "s"),
        Row(f"{what}: the index", len(content) / 1e6, "MB"),
        Row(f"{what}: items read", tuned.examined / size * 100, "%"),
    ]
    for name, mask in (("", None), (", a third allowed", third), (", a tenth, all alike", corner)):
        allowed = None if mask is None else (exact.allow(mask), indexed.allow(mask))
        rows += _against(f"{what}{name}", exact, indexed, queries[:_SHOWN], allowed)
    return rows


def _against(
    what: str, exact: Catalogue, indexed: Catalogue, queries: Floats, allowed: tuple[Allowed, Allowed] | None
) -> list[Row]:
    ours, theirs = allowed or (None, None)
    found = _in_turns(
        {
            "exact": lambda query: exact.search(query[None], K, ours),
            "index": lambda query: indexed.search(query[None], K, theirs),
        },
        queries,
    )
    pairs = zip(exact.search(queries, K, ours), indexed.search(queries, K, theirs), strict=True)
    recall = float(np.mean([len(np.intersect1d(a.rows, b.rows)) / len(a.rows) for a, b in pairs]))
    return [
        Row(f"{what}: exact", found["exact"] * 1e3, "ms"),
        Row(f"{what}: by index", found["index"] * 1e3, "ms", "the line above", found["exact"] / found["index"]),
        Row(f"{what}: recall@{K} of {len(queries)} queries", recall, "", goal=f">= {RECALL}"),
    ]


def _in_turns(ways: Mapping[str, Callable[[Floats], object]], queries: Floats) -> dict[str, float]:
    """Seconds of processor time that each way takes for a query, medians over the queries."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for query in queries:
        for name, way in ways.items():
            began = time.thread_time()
            way(query)
            taken[name].append(time.thread_time() - began)
    return {name: median(each) for name, each in taken.items()}


def shop(items: int, customers: int) -> tuple[Floats, Floats]:
    """Items in groups of about 300, of unlike lengths and with a bias, and customers who like three of them each.

    Returns:
        float32, shapes (items, WIDTH) and (customers, WIDTH).
    """
    draw = np.random.default_rng(items)
    width = WIDTH - 1
    centres = draw.standard_normal((max(50, items // 300), width), dtype=np.float32)
    body = centres[draw.integers(0, len(centres), items)]
    body += 0.6 * draw.standard_normal((items, width), dtype=np.float32)
    body *= np.exp(0.2 * draw.standard_normal((items, 1), dtype=np.float32)) / np.float32(np.sqrt(width))
    bias = draw.normal(-1.0, 0.1, (items, 1)).astype(np.float32)
    liked = body[draw.integers(0, items, (customers, 3))].mean(axis=1)
    liked += 0.05 * draw.standard_normal(liked.shape, dtype=np.float32)
    one = np.ones((customers, 1), dtype=np.float32)
    return np.hstack([body, bias]), np.hstack([liked * np.float32(4.0), one]).astype(np.float32)
