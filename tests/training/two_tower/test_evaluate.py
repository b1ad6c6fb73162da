import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import ranking
from training.ranking import ItemSets
from training.two_tower import evaluate
from training.two_tower.data import Examples

NONE = np.empty((0,), dtype=np.int64)


def examples(
    customers: list[int], baskets: list[list[int]], top: list[list[int]], weights: list[list[float]]
) -> Examples:
    n = len(customers)
    return Examples(
        customers=np.array(customers, dtype=np.int64),
        times=np.zeros(n, dtype=np.int64),
        history=np.array(top, dtype=np.int64).reshape(n, -1),
        top=np.array(top, dtype=np.int64).reshape(n, -1),
        weights=np.array(weights, dtype=np.float32).reshape(n, -1),
        features=np.empty((n, 0), dtype=np.float32),
        baskets=ItemSets.of(baskets),
    )


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 3.0, 100.0]), st.integers(1, 6))
def test_blend_is_the_score_that_serving_computes(seed: int, weight: float, k: int) -> None:
    """The candidates lose nothing: the same as adding the habits to every item's score."""
    rng = np.random.default_rng(seed)
    users, items = rng.normal(size=(3, 2)).astype(np.float32), rng.normal(size=(12, 2)).astype(np.float32)
    top = np.stack([rng.permutation(12)[:4] + 1 for _ in range(3)])
    top[0, 2:] = 0
    weights = np.where(top > 0, rng.random(top.shape) * 3, 0)
    known = examples([0, 1, 2], [[0]] * 3, top.tolist(), weights.tolist())
    served = users @ items.T
    for row in range(3):
        for item, count in zip(top[row], weights[row], strict=True):
            served[row, item - 1] += weight * np.log1p(count) if item else 0.0
    ours = evaluate.candidates(users, items, known, k).ranked(weight, k)
    best = np.take_along_axis(served, ranking.top_k(served, k), axis=1)
    np.testing.assert_allclose(np.take_along_axis(served, ours, axis=1), best, rtol=1e-5)
    assert all(len(set(row)) == k for row in ours.tolist())


def test_repeat_weight_follows_the_validation_part() -> None:
    """Where only habits predict, a weight above zero wins; where only the tower does, zero."""
    users, items = np.ones((2, 1), np.float32), np.linspace(1, 0, 30, dtype=np.float32)[:, None]
    known = examples([0, 1], [[29], [28]], [[30], [29]], [[2.0], [2.0]])
    found = evaluate.candidates(users, items, known)
    assert evaluate.choose_repeat_weight(found, known.baskets) > 0
    assert evaluate.choose_repeat_weight(found, ItemSets.of([[0], [0]])) == 0.0


def test_own_most_bought_is_filled_up_from_the_most_popular() -> None:
    before = examples([4, 4, 9], [[3, 5], [5], [0]], [[0]] * 3, [[0.0]] * 3)
    popularity = np.array([9, 8, 7, 1, 0, 2, 0, 0, 0, 0, 0, 0])
    ranked = evaluate.most_bought_own(before, popularity, np.array([9, 4]))
    assert ranked[0].tolist() == [0, 1, 2, 5, 3, 4, 6, 7, 8, 9]
    assert ranked[1].tolist() == [5, 3, 0, 1, 2, 4, 6, 7, 8, 9]


def test_decayed_counts_rank_before_popularity() -> None:
    known = examples([0, 1], [[0], [0]], [[4, 2], [0, 0]], [[0.5, 0.25], [0.0, 0.0]])
    ranked = evaluate.most_bought_decayed(known, np.array([9, 1, 3, 0]))
    assert ranked.tolist() == [[3, 1, 0, 2], [0, 2, 1, 3]]


def test_everyone_gets_the_same_popular_list() -> None:
    assert evaluate.most_bought_overall(np.array([1, 5, 3]), 2).tolist() == [[1, 2, 0]] * 2


def test_discovery_leaves_out_what_was_bought() -> None:
    before = examples([7, 7, 3], [[0, 1], [1, 2], [4]], [[0]] * 3, [[0.0]] * 3)
    now = examples([3, 7], [[4, 0], [1, 5]], [[0]] * 2, [[0.0]] * 2)
    found = evaluate.discovery(before, now, 6)
    assert [found.new[i].tolist() for i in range(2)] == [[0], [5]]
    ranked = found.ranked(np.ones((2, 1), np.float32), np.arange(6, 0, -1, dtype=np.float32)[:, None])
    assert ranked[0, :5].tolist() == [0, 1, 2, 3, 5]
    assert ranked[1, :3].tolist() == [3, 4, 5]


def test_quality_of_a_perfect_tower_is_one() -> None:
    """A tower that knows the one item of each basket beats habits that point elsewhere."""
    before = examples([0, 1], [[0, 1], [1, 0]], [[0], [0]], [[0.0], [0.0]])
    test = examples([0, 1], [[20], [21]], [[1], [2]], [[1.0], [1.0]])
    items = np.eye(30, dtype=np.float32)
    users = items[[20, 21]]
    found = evaluate.quality("now", evaluate.candidates(users, items, test), 0.0, users, items, before, test)
    for each in found[:-1]:
        assert each.value == pytest.approx(1.0)
        assert each.baseline_value == 0.0
        assert each.wins
    assert found[0].metric == "recall@10, now"
    assert found[-1].metric == "coverage@10, now"
