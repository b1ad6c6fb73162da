"""The exact best rows: a stable sort whatever the ties, and one score however a row was found."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from motherlode import nearest

SCORES = st.sampled_from([-np.inf, -1.0, 0.0, 1.0, 2.0, np.float32(2.0000002)])


@given(scores=hnp.arrays(np.float32, st.integers(0, 40), elements=SCORES), k=st.integers(1, 50))
def test_top_k_is_a_stable_sort_whatever_the_ties(scores: Any, k: int) -> None:
    right = sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:k]
    assert nearest.top_k(scores, k).tolist() == right


@given(
    scores=hnp.arrays(np.float32, st.integers(600, 900), elements=st.floats(-5, 5, width=16)),
    k=st.integers(1, 9),
    slack=st.sampled_from([0.0, 0.125, 100.0]),
)
def test_candidates_are_all_that_could_be_among_the_best(scores: Any, k: int, slack: float) -> None:
    least = np.sort(scores)[::-1][k - 1] - slack
    assert nearest.candidates(scores, k, slack).tolist() == np.flatnonzero(scores >= least).tolist()


def test_many_equal_rows_cost_no_more_memory_than_a_few() -> None:
    matrix = np.ones((10_000, 3), dtype=np.float32)
    rows = np.arange(10_000)
    assert nearest.products(matrix, rows, np.array([1, 2, 3], np.float32)).tolist() == [6.0] * 10_000


def test_equal_vectors_score_the_same_wherever_they_stand() -> None:
    draw = np.random.default_rng(1)
    vector = draw.normal(size=67).astype(np.float32)
    matrix = draw.normal(size=(1003, 67)).astype(np.float32)
    same = np.array([0, 5, 500, 999, 1001, 1002])
    matrix[same] = vector
    query = draw.normal(size=67).astype(np.float32)
    assert len(set(nearest.products(matrix, same, query).tolist())) == 1
    assert len({float(nearest.products(matrix, same[i:], query)[0]) for i in range(6)}) == 1


@pytest.mark.parametrize("width", [1, 16, 129, 700])
def test_slack_bounds_the_error_of_a_product_in_float32(width: int) -> None:
    draw = np.random.default_rng(width)
    matrix = (draw.normal(size=(2000, width)) * 10 ** draw.uniform(-3, 3, (2000, 1))).astype(np.float32)
    query = draw.normal(size=width).astype(np.float32)
    wrong = np.abs((matrix @ query).astype(np.float64) - nearest.products(matrix, np.arange(2000), query))
    assert 2 * wrong.max() <= nearest.slack(float(nearest.lengths(matrix).max()), query)


def test_ranked_takes_the_lower_row_among_equals_and_leaves_out_what_is_barred() -> None:
    rows, scores = nearest.ranked(np.array([1.0, 3.0, 1.0, -np.inf]), np.array([9, 7, 2, 1]), 4)
    assert (rows.tolist(), scores.tolist()) == ([7, 2, 9], [3.0, 1.0, 1.0])
