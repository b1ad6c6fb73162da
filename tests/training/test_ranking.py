import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import DataError
from training import ranking
from training.ranking import ItemSets

RANKED = np.array([[3, 1, 2], [0, 4, 1]])


def test_recall_is_the_found_share_of_the_relevant() -> None:
    relevant = ItemSets.of([[1, 3, 7, 8], [9]])
    assert ranking.recall_at_k(RANKED, relevant, 3).tolist() == [0.5, 0.0]
    assert ranking.recall_at_k(RANKED, relevant, 1).tolist() == [0.25, 0.0]


def test_ndcg_of_known_rankings() -> None:
    """A single relevant item at rank r earns 1 / log2(r + 1); two of two in front earn 1."""
    relevant = ItemSets.of([[1], [0, 4]])
    np.testing.assert_allclose(ranking.ndcg_at_k(RANKED, relevant, 3), [1 / np.log2(3), 1.0])


def test_ndcg_ideal_is_cut_at_k() -> None:
    """Three relevant items and k = 2: two hits are perfect."""
    assert ranking.ndcg_at_k(np.array([[5, 6]]), ItemSets.of([[5, 6, 7]]), 2).tolist() == [1.0]


def test_user_with_nothing_relevant_is_nan_and_not_zero() -> None:
    relevant = ItemSets.of([[], [0]])
    assert np.isnan(ranking.recall_at_k(RANKED, relevant, 3)).tolist() == [True, False]
    assert np.isnan(ranking.ndcg_at_k(RANKED, relevant, 3)).tolist() == [True, False]


def test_catalogue_smaller_than_k_costs_nothing_that_was_found() -> None:
    assert ranking.ndcg_at_k(np.array([[0, 1]]), ItemSets.of([[0, 1]]), 10).tolist() == [1.0]


def test_coverage_counts_items_offered_to_anyone() -> None:
    assert ranking.coverage(RANKED, 10) == 0.5


def test_rankings_and_relevant_sets_must_match() -> None:
    with pytest.raises(DataError, match="2 rankings face 1 set"):
        ranking.hits(RANKED, ItemSets.of([[1]]))


def test_take_reorders_sets() -> None:
    taken = ItemSets.of([[1], [2, 3], []]).take(np.array([1, 2, 1]))
    assert [taken[i].tolist() for i in range(3)] == [[2, 3], [], [2, 3]]


@given(
    st.lists(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=4, max_size=4), min_size=1, max_size=5),
    st.integers(0, 6),
)
def test_top_k_agrees_with_a_full_stable_sort(scores: list[list[float]], k: int) -> None:
    """Ties, also those at the cut, go to the lower column."""
    matrix = np.array(scores, dtype=np.float32)
    expected = np.argsort(-matrix, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(ranking.top_k(matrix, k), expected)


def test_top_k_puts_minus_infinity_last() -> None:
    scores = np.array([[-np.inf, 1.0, -np.inf, 0.0]], dtype=np.float32)
    assert ranking.top_k(scores, 3).tolist() == [[1, 3, 0]]
