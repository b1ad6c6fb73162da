"""The index of a large catalogue: it finds what the exact search finds behind any filter, and says how well."""

import numpy as np
import numpy.typing as npt
import pytest

from motherlode import nearest
from motherlode.index import Index, Tuned, build, exact, examined_for, recall, tune, unit, worthwhile
from motherlode.manifest import RECALL

ITEMS, WIDTH, GROUPS = 300_000, 64, 1000
Floats = npt.NDArray[np.float32]


class Large:
    """300,000 items in groups, with a bias as the towers have it, and customers who like three items each.

    Attributes:
        vectors, queries: the last dimension is the bias, of which all items have much.
        group: of each item.
        index, tuned: built and tuned once.
    """

    def __init__(self) -> None:
        draw = np.random.default_rng(5)
        centres = draw.standard_normal((GROUPS, WIDTH - 1), dtype=np.float32)
        self.group = draw.integers(0, GROUPS, ITEMS)
        body = centres[self.group] + 0.5 * draw.standard_normal((ITEMS, WIDTH - 1), dtype=np.float32)
        bias = draw.normal(-20, 1, (ITEMS, 1)).astype(np.float32)
        self.vectors: Floats = np.hstack([body, bias])
        liked = self.vectors[draw.integers(0, ITEMS, (120, 3)), :-1].mean(axis=1)
        self.queries: Floats = np.hstack([liked, np.ones((120, 1), np.float32)]).astype(np.float32)
        self.index = Index(build(self.vectors, seed=0))
        self.tuned = tune(self.index, self.vectors, self.queries)

    def recall(self, allowed: npt.NDArray[np.bool_] | None, queries: Floats, k: int = 10) -> float:
        """Of the exact best that are allowed, the share that the index finds."""
        among = None if allowed is None else self.index.among(allowed)
        shares = []
        for query in queries:
            scores = self.vectors @ query
            if allowed is not None:
                scores[~allowed] = -np.inf
            rows = self.index.candidates(query, k, examined_for(self.tuned.examined, k), among)
            assert allowed is None or allowed[rows].all()
            found, _ = nearest.ranked(nearest.products(self.vectors, rows, query), rows, k)
            right = nearest.top_k(scores, k)
            shares.append(len(np.intersect1d(found, right[scores[right] > -np.inf])) / max(1, len(found)))
        return float(np.mean(shares))


@pytest.fixture(scope="module")
def large() -> Large:
    return Large()


def test_it_finds_enough_of_300_000_items_by_reading_few(large: Large) -> None:
    assert worthwhile(large.tuned, ITEMS)
    assert large.tuned.queries == 60
    assert large.tuned.examined < ITEMS / 10
    others = np.random.default_rng(6).permutation(len(large.queries))[:40]
    assert large.recall(None, large.queries[others]) >= RECALL
    assert large.recall(None, large.queries[others[:10]], k=200) >= RECALL


def test_a_filter_takes_nothing_away_from_what_is_found(large: Large) -> None:
    draw = np.random.default_rng(7)
    some = large.queries[:25]
    assert large.recall(draw.random(ITEMS) < 0.3, some) >= RECALL
    # Whole groups: what is left lies where a customer's own taste does not lead.
    assert large.recall(large.group % 10 == 3, some) >= RECALL


def test_what_stands_aside_is_never_a_candidate_and_nothing_allowed_is_nothing(large: Large) -> None:
    query = large.queries[0]
    best = nearest.top_k(large.vectors @ query, 50)
    rows = large.index.candidates(query, 10, large.tuned.examined, None, best[:30])
    assert not np.isin(best[:30], rows).any()
    assert np.isin(best[30:38], rows).all()
    none = large.index.among(np.zeros(ITEMS, dtype=np.bool_))
    assert len(large.index.candidates(query, 10, large.tuned.examined, none)) == 0


def test_vectors_without_any_likeness_make_an_index_that_is_not_worth_it() -> None:
    draw = np.random.default_rng(8)
    vectors = draw.standard_normal((20_000, 64), dtype=np.float32)
    tuned = tune(Index(build(vectors, 0)), vectors, draw.standard_normal((60, 64), dtype=np.float32))
    assert not worthwhile(tuned, len(vectors))
    assert not worthwhile(Tuned(10, RECALL - 0.001, 60), len(vectors))


def test_equal_vectors_and_seeds_give_equal_bytes() -> None:
    vectors = np.random.default_rng(9).standard_normal((3000, 5), dtype=np.float32)
    assert build(vectors, 1, 9) == build(vectors, 1, 9)


@pytest.mark.parametrize("items", [1, 2, 7])
def test_a_catalogue_of_a_handful_is_searched_too(items: int) -> None:
    vectors = np.random.default_rng(items).standard_normal((items, 4), dtype=np.float32)
    rows = Index(build(vectors, 0, 1)).candidates(vectors[0], 10, 10)
    assert sorted(rows.tolist()) == list(range(items))


def test_what_is_no_index_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot read it"):
        Index(b"not an index at all")


def test_items_that_ask_for_others_like_them_are_not_what_is_to_be_found() -> None:
    """Found, each would be a tenth of a recall that is none."""
    draw = np.random.default_rng(6)
    vectors = unit(draw.standard_normal((3000, 16), dtype=np.float32))
    own = np.arange(0, 3000, 100)
    right = exact(vectors, vectors[own], own)
    assert not any(row in best for row, best in zip(own.tolist(), right, strict=True))
    assert all(row in best for row, best in zip(own.tolist(), exact(vectors, vectors[own]), strict=True))
    index = Index(build(vectors, seed=0))
    assert recall(index, vectors, vectors[own], right, 3000, own) > 0.99
    assert recall(index, vectors, vectors[own], right, 3000) <= recall(index, vectors, vectors[own], right, 3000, own)
    alone = recall(index, vectors, vectors[own], right, 1, own)
    assert alone < recall(index, vectors, vectors[own], exact(vectors, vectors[own]), 1)


def test_a_vector_of_no_length_stays_as_it_is() -> None:
    vectors = np.array([[3, 4], [0, 0]], dtype=np.float32)
    assert unit(vectors).ravel().tolist() == pytest.approx([0.6, 0.8, 0, 0])
