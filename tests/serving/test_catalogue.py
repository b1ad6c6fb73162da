"""The catalogue's search is the brute-force one over what a filter allows, whichever way it is done."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode import bundle, bundles
from motherlode.compute import Compute
from motherlode.errors import BundleError
from motherlode.index import Index, build, examined_for
from motherlode.manifest import ITEM_INDEX, SearchIndex
from motherlode.product import Product
from serving.catalogue import Allowed, Catalogue, Found, Searched, open_catalogue
from tests.serving.conftest import bundle_files, make_manifest
from training.search_graph import search_graph

if TYPE_CHECKING:
    from tests.serving.conftest import Company

WAYS = ("exact", "device", "index")
Floats = npt.NDArray[np.float32]
Open = Callable[[str, Floats], Catalogue]


@pytest.fixture(scope="module")
def opened() -> Open:
    """A catalogue by the name of its way; the index is asked for everything, so that it too must be exact."""
    graph = search_graph()

    def of(way: str, vectors: Floats) -> Catalogue:
        if way == "device":
            return Catalogue(vectors, opening=lambda: Product(graph, vectors, "cpu", ["CPUExecutionProvider"]))
        if way == "index":
            asked = SearchIndex("", exact_items=0, examined=len(vectors), recall=1.0, queries=0)
            return Catalogue(vectors, Searched(Index(build(vectors, 0, rows_a_list=4)), asked, examined_for))
        return Catalogue(vectors)

    return of


def brute_force(vectors: Floats, query: Floats, k: int, mask: Any, aside: Sequence[int]) -> list[tuple[int, float]]:
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    able = [row for row in range(len(vectors)) if (mask is None or mask[row]) and row not in aside]
    return sorted(((row, float(scores[row])) for row in able), key=lambda pair: (-pair[1], pair[0]))[:k]


def told(found: Found) -> list[tuple[int, float]]:
    return list(zip(found.rows.tolist(), found.scores.tolist(), strict=True))


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    items=st.integers(1, 400),
    k=st.integers(1, 450),
    share=st.sampled_from([0.0, 0.02, 0.1, 0.5, 0.95, 1.0, None]),
    aside=st.integers(0, 20),
)
def test_it_is_brute_force_for_any_filter_with_ties_and_any_k(
    opened: Open, way: str, seed: int, items: int, k: int, share: float | None, aside: int
) -> None:
    draw = np.random.default_rng(seed)
    # Small whole numbers: no rounding anywhere, and many equal scores and equal rows.
    vectors = draw.integers(-2, 3, (items, 3)).astype(np.float32)
    queries = draw.integers(-2, 3, (3, 3)).astype(np.float32)
    catalogue = opened(way, vectors)
    mask = None if share is None else draw.random(items) < share
    allowed = None if mask is None else catalogue.allow(mask)
    out = [draw.integers(0, items, aside) for _ in queries]
    if way == "index":
        # It gives as many candidates as are asked for, and of equal ones some: scores are right, rows may be others'.
        for query, found, rows in zip(queries, catalogue.search(queries, k, allowed, out), out, strict=True):
            right = brute_force(vectors, query, k, mask, rows.tolist())
            assert [score for _, score in told(found)] == [score for _, score in right]
            assert mask is None or mask[found.rows].all()
            assert not np.isin(found.rows, rows).any()
        return
    answers = catalogue.search(queries, k, allowed, out)
    for query, found, rows in zip(queries, answers, out, strict=True):
        assert told(found) == brute_force(vectors, query, k, mask, rows.tolist())
    assert catalogue.lost is None


@pytest.mark.parametrize("way", WAYS)
def test_a_score_does_not_depend_on_how_it_was_found(opened: Open, way: str) -> None:
    draw = np.random.default_rng(4)
    vectors = draw.normal(size=(5000, 33)).astype(np.float32)
    vectors[[17, 4999, 2500]] = vectors[3]
    queries = draw.normal(size=(40, 33)).astype(np.float32)
    queries[0] = vectors[3]
    catalogue, exact = opened(way, vectors), Catalogue(vectors)
    together = catalogue.search(queries, 20)
    alone = [exact.search(query[None], 20)[0] for query in queries]
    assert [told(each) for each in together] == [told(each) for each in alone]
    assert together[0].rows[:4].tolist() == [3, 17, 2500, 4999]
    few = exact.allow(np.isin(np.arange(5000), together[1].rows))
    assert few.rows is not None, "so few are multiplied apart"
    assert told(exact.search(queries[1:2], 20, few)[0]) == told(together[1])


def test_a_large_batch_is_searched_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(5)
    vectors, queries = draw.normal(size=(900, 4)).astype(np.float32), draw.normal(size=(50, 4)).astype(np.float32)
    whole = [told(each) for each in Catalogue(vectors).search(queries, 5)]
    monkeypatch.setattr("serving.catalogue._SCORES_AT_ONCE", 2000)
    assert [told(each) for each in Catalogue(vectors).search(queries, 5)] == whole


class Card:
    """A device that answers by the CPU, and fails from when `full` is set."""

    def __init__(self, vectors: Floats) -> None:
        self.full = False
        self.tries = 0
        self._vectors = vectors

    def open(self) -> Product:
        self.tries += 1
        self._need()
        product = Product(search_graph(), self._vectors, "cpu", ["CPUExecutionProvider"])
        best = product.best

        def on_card(*asked: Any) -> Any:
            self._need()
            return best(*asked)

        product.best = on_card  # type: ignore[method-assign, assignment]
        return product

    def _need(self) -> None:
        if self.full:
            raise RuntimeError("CUDA failure 2: out of memory")


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("at_first", [True, False])
def test_while_a_device_fails_the_cpu_searches_and_says_so_until_it_is_well_again(at_first: bool) -> None:
    vectors = np.eye(4, dtype=np.float32)
    card = Card(vectors)
    card.full = at_first
    catalogue = Catalogue(vectors, opening=card.open, again_s=0.02)
    assert (catalogue.how == "on the GPU") is not at_first

    def found() -> list[tuple[int, float]]:
        return told(catalogue.search(vectors[2:3], 1)[0])

    card.full = True
    assert found() == [(2, 1.0)]
    assert catalogue.lost == "RuntimeError: CUDA failure 2: out of memory"
    assert catalogue.how == "exactly; the GPU failed: RuntimeError: CUDA failure 2: out of memory"
    until(lambda: found() == [(2, 1.0)] and card.tries >= 2)
    assert catalogue.lost is not None, "it was tried again, and still fails"
    card.full = False
    until(lambda: found() == [(2, 1.0)] and catalogue.lost is None)
    assert (found(), catalogue.how) == ([(2, 1.0)], "on the GPU")


def test_a_device_that_finds_other_items_is_not_used() -> None:
    vectors = (np.eye(40) + np.arange(40)).astype(np.float32)
    other = np.ascontiguousarray(vectors[::-1])
    catalogue = Catalogue(vectors, opening=Card(other).open)
    assert catalogue.lost == "BundleError: The GPU finds other items than the CPU. Look for its own message in the log."
    assert told(catalogue.search(vectors[:1], 3)[0]) == told(Catalogue(vectors).search(vectors[:1], 3)[0])


def publish(company: "Company", version: str, index: bytes, **asked: Any) -> bundle.Bundle:
    """A bundle with an index of its 30 items."""
    said = SearchIndex(ITEM_INDEX, exact_items=5, examined=30, recall=0.99, queries=100)
    manifest = msgspec.structs.replace(
        make_manifest(version, company.settings.project), index=msgspec.structs.replace(said, **asked)
    )
    files = {**bundle_files(), ITEM_INDEX: index}
    return bundle.load(bundle.write(company.settings.models, manifest, files, lambda _: None))


CPU = Compute("cpu", "a test")


def test_a_bundle_s_index_is_used_where_a_filter_leaves_more_than_is_searched_exactly(company: "Company") -> None:
    loaded = publish(company, "v2", build(np.ascontiguousarray(company_vectors(company)), 0, rows_a_list=4))
    catalogue = open_catalogue(loaded, CPU)
    assert catalogue.how == "by index above 5 items, recall 0.990"
    query = loaded.vectors[7]
    assert told(catalogue.search(query[None], 4)[0]) == told(Catalogue(loaded.vectors).search(query[None], 4)[0])


@pytest.mark.parametrize(
    ("asked", "note"),
    [
        ({"recall": 0.979}, "exactly, without its index: its recall is 0.979, 0.98 is asked for"),
        ({"examined": 1}, "of the best items of the bundle's sample customers"),
    ],
)
def test_an_index_that_finds_too_little_is_not_used(company: "Company", asked: Any, note: str) -> None:
    vectors = company_vectors(company)
    catalogue = open_catalogue(publish(company, "v2", build(vectors, 0, rows_a_list=4), **asked), CPU)
    assert note in catalogue.how
    assert told(catalogue.search(vectors[:1], 30)[0]) == told(Catalogue(vectors).search(vectors[:1], 30)[0])


@pytest.mark.parametrize(("content", "problem"), [(b"?", "cannot be read"), (None, "has 12 items of 30")])
def test_an_index_of_something_else_refuses_the_bundle(company: "Company", content: bytes | None, problem: str) -> None:
    index = content or build(company_vectors(company)[:12], 0, rows_a_list=4)
    with pytest.raises(BundleError, match=problem):
        open_catalogue(publish(company, "v2", index), CPU)


def test_an_index_that_was_changed_is_refused_before_it_is_read(company: "Company") -> None:
    loaded = publish(company, "v2", build(company_vectors(company), 0, rows_a_list=4))
    path: Path = loaded.folder / ITEM_INDEX
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=r"items\.index of bundle v2 is not the file that was published"):
        bundle.load(loaded.folder)


def company_vectors(company: "Company") -> Floats:
    return bundle.load(bundles.current(company.settings.models)).vectors


def test_the_leading_rows_are_as_many_as_asked_for_though_another_thread_keeps_fewer_meanwhile() -> None:
    class Raced(Allowed):
        """Another thread, that was asked for one row, keeps its own a moment after."""

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value[:1] if name == "_leading" else value)

    allowed = Raced(np.array([True, False, True, True]))
    assert allowed.leading(np.arange(4), 3).tolist() == [0, 2, 3]
