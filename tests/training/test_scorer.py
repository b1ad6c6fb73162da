import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.compute import Compute
from motherlode.manifest import Input
from training import scorer
from training.evaluate import auc
from training.scorer import Recipe

INPUTS = (Input("rfm", "a", 0.0), Input("rfm", "b", 0.0), Input("campaign", "A", 1.0), Input("campaign", "B", 0.0))


def by_type(rows: int = 4000) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Rows of two types: in A the label follows the first feature, in B the second; and the true log-odds."""
    random = np.random.default_rng(1)
    features = random.random((rows, 2))
    type_a = random.random(rows) < 0.5
    log_odds = np.where(type_a, 6 * (features[:, 0] - 0.5), 6 * (features[:, 1] - 0.5) - 2)
    y = (random.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(np.int64)
    return np.column_stack([features, type_a, ~type_a]).astype(np.float32), y, log_odds


def test_the_linear_part_learns_what_counts_in_which_campaign_type(cpu: Compute) -> None:
    x, y, truth = by_type()
    fitted = scorer.fit(Recipe(c=1.0), x, y, INPUTS, cpu, seed=0)
    found = fitted.log_odds(x)
    assert np.corrcoef(found, truth)[0, 1] > 0.98
    assert np.abs(found - truth).mean() < 0.25


def test_a_strong_penalty_leaves_each_type_its_own_level(cpu: Compute) -> None:
    """The penalty shrinks what the features say, not how often a type is answered."""
    x, y, _ = by_type()
    fitted = scorer.fit(Recipe(c=1e-4), x, y, INPUTS, cpu, seed=0)
    for kind in (2, 3):
        rows = x[:, kind] == 1
        assert fitted.probability(x[rows]).mean() == pytest.approx(y[rows].mean(), abs=0.05)


def test_the_mean_of_both_is_the_mean_of_their_log_odds(cpu: Compute) -> None:
    x, y, _ = by_type(500)
    recipe = Recipe(c=0.1, depth=2, rounds=20)
    parts = [scorer.fit(part, x, y, INPUTS, cpu, seed=3).log_odds(x) for part in recipe.parts]
    assert scorer.fit(recipe, x, y, INPUTS, cpu, seed=3).log_odds(x) == pytest.approx(np.mean(parts, axis=0))


def test_trees_find_what_is_not_additive(cpu: Compute) -> None:
    random = np.random.default_rng(0)
    x = random.random((3000, 2)).astype(np.float32)
    y = ((x[:, 0] > 0.5) ^ (x[:, 1] > 0.5)).astype(np.int64)
    x = np.tile(x, 4)  # a tree sees half of the columns, and would never see both
    inputs = [Input("rfm", str(column), 0.0) for column in range(8)]
    trees, linear = (
        scorer.fit(recipe, x, y, inputs, cpu, seed=0) for recipe in (Recipe(depth=3, rounds=60), Recipe(c=1.0))
    )
    assert auc(y, trees.log_odds(x)) > 0.95
    assert auc(y, linear.log_odds(x)) < 0.6


def test_a_seed_draws_the_same_trees_again_and_another_seed_others(cpu: Compute) -> None:
    x, y, _ = by_type(500)
    one, again, other = (
        scorer.fit(Recipe(depth=2, rounds=10), x, y, INPUTS, cpu, seed=seed).log_odds(x) for seed in (0, 0, 1)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_probability_is_float32_and_calibrated_by_its_sigmoid(cpu: Compute) -> None:
    x, y, _ = by_type(500)
    fitted = scorer.fit(Recipe(c=0.1), x, y, INPUTS, cpu, seed=0)
    answer = fitted.probability(x)
    assert answer.dtype == np.float32
    assert answer == pytest.approx(1 / (1 + np.exp(-fitted.log_odds(x))), abs=1e-6)


def test_platt_finds_the_sigmoid_that_drew_the_labels() -> None:
    random = np.random.default_rng(0)
    log_odds = random.normal(size=50_000)
    y = (random.random(50_000) < 1 / (1 + np.exp(-(2.5 * log_odds - 1)))).astype(np.int64)
    slope, intercept = scorer.platt(log_odds, y)
    assert slope == pytest.approx(2.5, abs=0.08)
    assert intercept == pytest.approx(-1.0, abs=0.05)


def test_a_score_that_runs_the_wrong_way_is_answered_by_the_share_of_ones() -> None:
    random = np.random.default_rng(0)
    log_odds = random.normal(size=5000)
    y = (random.random(5000) < 1 / (1 + np.exp(2 * log_odds))).astype(np.int64)
    slope, intercept = scorer.platt(log_odds, y)
    assert slope == 0.0
    assert 1 / (1 + np.exp(-intercept)) == pytest.approx(y.mean(), abs=1e-3)


@settings(deadline=None)
@given(
    values=st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=40),
    ones=st.integers(0, 40),
)
def test_platt_never_fails_and_never_turns_an_order_around(values: list[float], ones: int) -> None:
    """Perfectly parted labels, one label alone, huge log-odds: the slope stays finite and not negative."""
    y = (np.arange(len(values)) < ones).astype(np.int64)
    slope, intercept = scorer.platt(np.array(values), y)
    assert np.isfinite([slope, intercept]).all()
    assert slope >= 0


def test_the_sigmoid_does_not_overflow() -> None:
    assert scorer.sigmoid(np.array([-1e300, 0.0, 1e300])).tolist() == [0.0, 0.5, 1.0]


def test_a_recipe_says_what_it_is() -> None:
    assert str(Recipe(c=0.003, depth=2, rounds=150)) == (
        "the mean of logistic regression (C = 0.003) and 150 boosted trees (depth 2)"
    )
    assert str(Recipe(c=0.1)) == "logistic regression (C = 0.1)"
    assert str(Recipe(depth=4, rounds=50)) == "50 boosted trees (depth 4)"
