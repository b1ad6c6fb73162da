import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import evaluate

Y = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 0])
PERFECT = np.array([0.9, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])


def test_figures_of_a_perfect_score_a_reversed_one_and_none() -> None:
    assert evaluate.auc(Y, PERFECT) == 1.0
    assert evaluate.auc(Y, -PERFECT) == 0.0
    assert evaluate.auc(Y, np.zeros(10)) == 0.5
    assert evaluate.average_precision(Y, PERFECT) == 1.0
    assert evaluate.average_precision(Y, np.zeros(10)) == pytest.approx(0.2)
    assert evaluate.brier(Y, PERFECT) == pytest.approx(0.01)


def test_auc_within_groups_does_not_reward_telling_the_groups_apart() -> None:
    """Group 0 has mostly ones and high scores: overall AUC is high, within a group the order is wrong."""
    y = np.array([1, 1, 1, 0, 0, 0, 0, 1])
    score = np.array([0.8, 0.8, 0.8, 0.9, 0.2, 0.2, 0.2, 0.1])
    groups = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert evaluate.auc(y, score) > 0.5
    assert evaluate.auc_within_groups(y, score, groups) == 0.0


def test_a_group_with_one_label_has_no_auc() -> None:
    y, score = np.array([1, 0, 0, 0]), np.array([0.9, 0.1, 0.5, 0.5])
    assert evaluate.auc_within_groups(y, score, np.array(["a", "a", "b", "b"])) == 1.0
    assert np.isnan(evaluate.auc_within_groups(y, score, np.array(["a", "b", "c", "d"])))


def test_top_decile_recall_counts_the_ones_in_the_best_tenth() -> None:
    y = np.zeros(100, dtype=np.int64)
    y[[0, 1, 2, 50]] = 1
    score = -np.arange(100.0)
    assert evaluate.top_decile_recall(y, score) == 0.75


def test_equal_scores_gain_nothing_from_the_order_of_the_rows() -> None:
    y = np.array([1] * 10 + [0] * 90)
    assert evaluate.top_decile_recall(y, np.zeros(100)) == pytest.approx(0.1)
    assert evaluate.top_decile_recall(y[::-1], np.zeros(100)) == pytest.approx(0.1)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=2, max_size=50))
def test_gains_rise_from_0_to_1_whatever_the_order_of_the_rows(rows: list[tuple[int, int]]) -> None:
    y = np.array([1, *(label for label, _ in rows)])
    score = np.array([0, *(value for _, value in rows)], dtype=np.float64)
    contacted, reached = evaluate.gains(y, score)
    for curve in (contacted, reached):
        assert curve[0] == 0.0
        assert curve[-1] == pytest.approx(1.0)
        assert (np.diff(curve) >= 0).all()
    turned = evaluate.gains(y[::-1], score[::-1])
    assert np.array_equal(turned[0], contacted)
    assert np.array_equal(turned[1], reached)


def drawn(rows: int = 20_000) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    random = np.random.default_rng(0)
    probability = random.random(rows)
    return (random.random(rows) < probability).astype(np.int64), probability


def test_probabilities_that_drew_the_labels_are_calibrated() -> None:
    y, probability = drawn()
    assert evaluate.ece(y, probability) < 0.015
    assert evaluate.ece(y, probability / 2) == pytest.approx(0.25, abs=0.02)


def test_calibration_bins_are_of_equal_size_and_none_is_empty() -> None:
    y, probability = drawn(103)
    predicted, observed, counts = evaluate.calibration(y, probability)
    assert counts.tolist() == [11, 11, 11, 10, 10, 10, 10, 10, 10, 10]
    assert (np.diff(predicted) > 0).all()
    assert (observed * counts).sum() == pytest.approx(y.sum())
    assert len(evaluate.calibration(y[:4], probability[:4])[2]) == 4


def test_the_mean_over_float32_probabilities_does_not_drift() -> None:
    probability = np.full(100_000, 0.1, dtype=np.float32)
    predicted, _, _ = evaluate.calibration(np.zeros(100_000, dtype=np.int64), probability)
    assert predicted == pytest.approx(np.full(10, np.float64(np.float32(0.1))), abs=1e-12)


def test_curves_hold_the_model_beside_its_baseline() -> None:
    y, probability = drawn(500)
    curves = evaluate.curves(y, probability, "a coin", np.zeros(500))
    assert curves.baseline == "a coin"
    assert curves.baseline_contacted.tolist() == [0.0, 1.0]
    assert np.interp(0.2, curves.contacted, curves.reached) > 0.3
    assert curves.counts.sum() == 500


def test_a_quality_has_the_mean_of_its_seeds_and_their_spread() -> None:
    def mean(score: npt.NDArray[np.float64]) -> float:
        return float(score.mean())

    seeds = [np.array([0.2, 0.2]), np.array([0.4, 0.4])]
    quality = evaluate.compare("response", "AUC", mean, seeds, "a coin", np.array([0.1, 0.1]))
    assert quality.value == pytest.approx(0.3)
    assert quality.baseline_value == pytest.approx(0.1)
    assert quality.spread == pytest.approx(0.1)
    assert quality.wins
    error = evaluate.compare(
        "response", "Brier score", mean, seeds, "a coin", np.array([0.1, 0.1]), higher_is_better=False
    )
    assert not error.wins


def test_a_fit_that_draws_no_numbers_has_no_spread() -> None:
    seeds = [np.array([0.2, 0.8])] * 3
    assert evaluate.compare("response", "AUC", np.max, seeds, "a coin", seeds[0]).spread is None


def test_the_column_that_decides_is_the_most_important() -> None:
    random = np.random.default_rng(0)
    x = random.random((600, 3)).astype(np.float32)
    y = (x[:, 1] > 0.5).astype(np.int64)
    ranking = evaluate.importance(lambda rows: rows[:, 1], x, y, ["a", "b", "c"])
    assert ranking[0][0] == "b"
    assert ranking[0][1] == pytest.approx(0.5, abs=0.06)
    assert dict(ranking[1:]) == {"a": 0.0, "c": 0.0}
