from collections.abc import Callable

import numpy as np
import onnxruntime as ort
import polars as pl
import pytest

from motherlode.compute import Compute
from motherlode.errors import DataError
from training import churn
from training.evaluate import Evidence
from training.result import Fitted

Build = Callable[..., pl.DataFrame]


@pytest.fixture(scope="module")
def trained(cpu: Compute, window_frame: Build) -> tuple[Fitted, Evidence]:
    return churn.fit(window_frame(), cpu, seeds=2)


def test_it_knows_more_than_either_single_feature(trained: tuple[Fitted, Evidence]) -> None:
    """In the frame, recency and frequency only count together."""
    fitted, _ = trained
    assert {row.baseline for row in fitted.quality} == {"recency alone", "baskets of 84 days alone"}
    assert all(row.wins for row in fitted.quality)
    assert {row.metric for row in fitted.quality} == {"AUC", "average precision", "Brier score"}


def test_it_is_also_judged_on_those_whom_recency_cannot_tell(trained: tuple[Fitted, Evidence]) -> None:
    _, evidence = trained
    auc = [row for row in evidence.besides if row.metric == "AUC, customers of the last 28 days"]
    assert len(auc) == 2
    assert all(row.wins for row in auc)


def test_what_is_published_answers_as_it_was_trained(trained: tuple[Fitted, Evidence]) -> None:
    fitted, _ = trained
    (answer,) = ort.InferenceSession(fitted.onnx).run([fitted.model.output], {"features": fitted.features})
    assert np.abs(answer - fitted.answer).max() <= 1e-5
    assert [each.name for each in fitted.model.inputs] == ["recency_days", "frequency_84d", "evening_share"]


def test_who_comes_rarely_may_stay_away_longer(trained: tuple[Fitted, Evidence]) -> None:
    fitted, _ = trained
    rows = np.array([[40, 12, 0.5], [40, 2, 0.5], [1, 12, 0.5]], dtype=np.float32)
    (answer,) = ort.InferenceSession(fitted.onnx).run(None, {"features": rows})
    assert answer[1] > answer[0] > answer[2]


def test_the_last_window_is_tested_and_the_one_before_it_validates(window_frame: Build) -> None:
    frame = window_frame()
    times = frame["event_timestamp"].unique().sort()
    train, test = churn.split(frame)
    (fold,) = churn.folds(train)
    assert test["event_timestamp"].unique().to_list() == [times[-1]]
    assert fold.validation["event_timestamp"].unique().to_list() == [times[-2]]
    assert fold.train["event_timestamp"].max() == times[-3]


def test_two_windows_are_too_few(window_frame: Build) -> None:
    with pytest.raises(DataError, match="has 2 windows"):
        churn.split(window_frame(windows=2))


def test_a_part_where_everybody_stayed_is_an_error_that_counts_them(window_frame: Build) -> None:
    frame = window_frame(customers=20).with_columns(pl.lit(0, pl.Int8).alias("label"))
    with pytest.raises(DataError, match="Of 100 customers"):
        churn.split(frame)


def test_twelve_customers_still_make_a_model(cpu: Compute, window_frame: Build) -> None:
    fitted, _ = churn.fit(window_frame(customers=12), cpu, seeds=1)
    assert np.isfinite(fitted.answer).all()
