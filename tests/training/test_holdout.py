from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from motherlode.compute import Compute
from training import evaluate, holdout
from training.choice import Fold
from training.holdout import Baseline, Figure, Holdout, Plan
from training.inputs import feature_columns, learn, matrix
from training.scorer import Recipe

PLAN_RECIPES = (Recipe(c=0.1), Recipe(depth=2, rounds=20))


def test_the_sigmoid_undoes_what_the_recipe_shrinks(cpu: Compute, window_frame: Callable[..., pl.DataFrame]) -> None:
    """Ten trees have said too little of what they know; calibrated, their probabilities are right."""
    frame = window_frame(windows=2, customers=2500)
    inputs = learn(frame, feature_columns(frame))
    recipe = Recipe(depth=3, rounds=10)
    slope, intercept = holdout.crossfit(recipe, frame, inputs, cpu)
    assert slope > 1.5
    later = window_frame(windows=2, customers=2500, seed=9)
    figures = [
        evaluate.ece(
            later["label"].to_numpy(),
            holdout.fit(recipe, sigmoid, frame, inputs, cpu).probability(matrix(later, inputs)),
        )
        for sigmoid in ((slope, intercept), (1.0, 0.0))
    ]
    assert figures[0] < 0.05 < figures[1]


def test_a_score_of_pure_noise_is_not_believed(cpu: Compute, window_frame: Callable[..., pl.DataFrame]) -> None:
    """Rows of one customer stay together: a model that knows its rows by heart is not taken to know others."""
    random = np.random.default_rng(0)
    frame = window_frame(windows=5, customers=200).select("customer_id", "event_timestamp")
    identity = pl.Series("rfm__identity", random.random(200)).gather(frame["customer_id"].cast(pl.Int64))
    label = pl.Series("label", random.integers(0, 2, 200).astype(np.int8)).gather(frame["customer_id"].cast(pl.Int64))
    frame = frame.with_columns(identity.alias("rfm__identity"), label.alias("label"))
    inputs = learn(frame, ("rfm__identity",))
    slope, _ = holdout.crossfit(Recipe(depth=4, rounds=100), frame, inputs, cpu)
    assert slope < 0.35


def test_where_a_group_leaves_one_label_the_log_odds_are_taken_as_they_are(
    cpu: Compute, window_frame: Callable[..., pl.DataFrame]
) -> None:
    frame = window_frame(windows=1, customers=40).with_columns(
        (pl.col("customer_id") == "7").cast(pl.Int8).alias("label")
    )
    assert holdout.crossfit(Recipe(c=0.1), frame, learn(frame, feature_columns(frame)), cpu) == (1.0, 0.0)


def test_few_rows_with_a_real_effect_keep_their_order(cpu: Compute, window_frame: Callable[..., pl.DataFrame]) -> None:
    """Groups that differ in their shares of ones would turn the slope around."""
    frame = window_frame(windows=1, customers=90)
    slope, _ = holdout.crossfit(Recipe(c=0.001), frame, learn(frame, feature_columns(frame)), cpu)
    assert slope > 0


def test_no_label_of_the_test_part_reaches_the_model(cpu: Compute, window_frame: Callable[..., pl.DataFrame]) -> None:
    """With the test labels turned around, the model is the same, and its AUC is turned around."""
    frame = window_frame()
    last = pl.col("event_timestamp") == frame["event_timestamp"].max()
    train, test = frame.filter(~last), frame.filter(last)
    turned = test.with_columns((1 - pl.col("label")).cast(pl.Int8).alias("label"))
    plan = Plan(feature_columns(frame), (), PLAN_RECIPES, seeds=1)
    baseline = Baseline("recency alone", lambda rows: rows["rfm__recency_days"].to_numpy().astype(np.float64))
    one, other = (Holdout.run(train, part, _folds(train), plan, (baseline,), cpu) for part in (test, turned))
    assert one.choice == other.choice
    assert np.array_equal(one.probabilities[0], other.probabilities[0])
    assert np.array_equal(one.baselines["recency alone"], other.baselines["recency alone"])
    figures = {"AUC": Figure(evaluate.auc)}
    (right,), (wrong,) = (each.quality("inactive_28d", "recency alone", figures) for each in (one, other))
    assert right.value + wrong.value == pytest.approx(1.0)
    assert right.value > right.baseline_value > 0.6


def test_the_baseline_is_calibrated_on_the_train_part(cpu: Compute, window_frame: Callable[..., pl.DataFrame]) -> None:
    """Its errors can only be compared if it gives probabilities."""
    frame = window_frame()
    last = pl.col("event_timestamp") == frame["event_timestamp"].max()
    train, test = frame.filter(~last), frame.filter(last)
    baseline = Baseline("recency alone", lambda rows: rows["rfm__recency_days"].to_numpy().astype(np.float64))
    plan = Plan(feature_columns(frame), (), PLAN_RECIPES, seeds=2)
    tested = Holdout.run(train, test, _folds(train), plan, (baseline,), cpu)
    probability = tested.baselines["recency alone"]
    assert ((probability > 0) & (probability < 1)).all()
    assert evaluate.ece(tested.y, probability) < 0.07
    assert len(tested.probabilities) == 2


def test_a_figure_of_some_rows_sees_those_alone() -> None:
    rows = np.array([True, True, False, False])
    figure = Figure(evaluate.auc).among(rows)
    assert figure.metric(np.array([1, 0, 0, 1]), np.array([0.9, 0.1, 0.8, 0.2])) == 1.0


def _folds(train: pl.DataFrame) -> tuple[Fold, ...]:
    time = pl.col("event_timestamp")
    return (Fold(train.filter(time < time.max()), train.filter(time > time.max() - timedelta(days=1))),)
