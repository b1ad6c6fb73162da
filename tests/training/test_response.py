from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import onnxruntime as ort
import polars as pl
import pytest

from motherlode.compute import Compute
from motherlode.errors import DataError
from motherlode.manifest import Quality
from training import response
from training.evaluate import Evidence
from training.result import Fitted

Build = Callable[..., pl.DataFrame]


def until(frame: pl.DataFrame) -> datetime:
    """A day on which the last campaign still runs."""
    return max(times(frame)) + timedelta(days=5)


def times(frame: pl.DataFrame, column: str = "event_timestamp") -> list[datetime]:
    return frame[column].to_list()


def by_metric(rows: tuple[Quality, ...]) -> dict[str, Quality]:
    return {row.metric: row for row in rows}


@pytest.fixture(scope="module")
def trained(cpu: Compute, campaign_frame: Build) -> tuple[Fitted, Evidence]:
    frame = campaign_frame()
    return response.fit(frame, until(frame), cpu, seeds=2)


def test_it_knows_more_than_past_coupon_use(trained: tuple[Fitted, Evidence]) -> None:
    """In the frame, half of the campaigns are answered by something else."""
    quality = by_metric(trained[0].quality)
    assert list(quality) == ["AUC", "average precision", "AUC within campaign", "top-decile recall", "Brier score"]
    assert all(row.wins for row in quality.values())
    assert quality["AUC"].value - quality["AUC"].baseline_value > 0.05
    assert {row.baseline for row in quality.values()} == {"past coupon use"}


def test_the_evidence_names_what_matters_and_what_was_chosen(trained: tuple[Fitted, Evidence]) -> None:
    _, evidence = trained
    most = {label for label, _ in evidence.importance[:3]}
    assert {"price_sensitivity.coupon_amount_84d", "rfm.monetary_28d"} <= most
    assert evidence.recipe in {str(recipe) for recipe in response.RECIPES}
    assert evidence.curves.baseline == "past coupon use"
    assert all("running campaigns" in row.metric for row in evidence.besides)


def test_what_is_published_answers_as_it_was_trained(trained: tuple[Fitted, Evidence]) -> None:
    fitted, _ = trained
    session = ort.InferenceSession(fitted.onnx)
    (answer,) = session.run([fitted.model.output], {"features": fitted.features})
    assert np.abs(answer - fitted.answer).max() <= 1e-5
    assert [each.name for each in fitted.model.inputs if each.view == "campaign"] == ["Type A", "Type B"]


def test_an_answer_depends_on_the_campaign(trained: tuple[Fitted, Evidence]) -> None:
    """A household with many coupons and little money: likely in type A, not in type B."""
    fitted, _ = trained
    values = {"coupon_amount_84d": 25.0, "monetary_28d": 1.0}
    row = np.array([[values.get(each.name, each.default) for each in fitted.model.inputs]] * 2, dtype=np.float32)
    row[:, -2:] = np.eye(2)
    (answer,) = ort.InferenceSession(fitted.onnx).run(None, {"features": row})
    assert answer[0] > 0.5 > answer[1]


def test_the_test_part_is_later_and_the_train_part_was_known_when_it_began(campaign_frame: Build) -> None:
    frame = campaign_frame()
    parts = response.split(frame, until(frame), purge=True)
    start = until(frame) - response.TEST
    assert min(times(parts.test)) >= start
    assert max(times(parts.train, "ended_at")) < start
    loose = response.split(frame, until(frame), purge=False)
    assert max(times(loose.train)) < start
    assert loose.train.height >= parts.train.height
    assert loose.train.height + loose.test.height == frame.height


def test_a_campaign_that_still_runs_is_neither_trained_nor_tested_on(cpu: Compute, campaign_frame: Build) -> None:
    """Its zeros may yet become ones: turning them around changes no headline figure and no answer."""
    frame = campaign_frame()
    running = pl.col("ended_at") >= until(frame)
    turned = frame.with_columns(
        pl.when(running).then(1 - pl.col("label")).otherwise("label").cast(pl.Int8).alias("label")
    )
    assert frame.filter(running).height == 150
    (one, beside), (other, changed) = (response.fit(each, until(frame), cpu, seeds=1) for each in (frame, turned))
    assert one.quality == other.quality
    assert np.array_equal(one.answer, other.answer)
    assert beside.besides != changed.besides


def test_the_folds_lie_in_the_train_part_each_after_what_it_validates(campaign_frame: Build) -> None:
    train = response.split(campaign_frame(), until(campaign_frame()), purge=True).train
    folds = response.folds(train)
    assert len(folds) == 2
    for fold in folds:
        assert fold.usable
        assert max(times(fold.train)) < min(times(fold.validation))
    assert sum(fold.validation.height for fold in folds) < train.height


def test_campaigns_from_before_there_were_features_are_left_out(campaign_frame: Build) -> None:
    frame = campaign_frame(campaigns=3)
    features = [column for column in frame.columns if "__" in column]
    early = pl.col("campaign_id") == "0"
    holes = frame.with_columns(pl.when(early).then(None).otherwise(pl.col(name)).alias(name) for name in features)
    assert set(response.covered(holes)["campaign_id"]) == {"1", "2"}


def test_a_household_without_features_in_a_covered_campaign_stays(campaign_frame: Build) -> None:
    frame = campaign_frame(campaigns=1)
    features = [column for column in frame.columns if "__" in column]
    cold = pl.col("customer_id") == "0"
    holes = frame.with_columns(pl.when(cold).then(None).otherwise(pl.col(name)).alias(name) for name in features)
    assert response.covered(holes).height == frame.height


def test_too_few_campaigns_are_an_error_that_counts_them(cpu: Compute, campaign_frame: Build) -> None:
    frame = campaign_frame(campaigns=4)
    with pytest.raises(DataError, match="hold 0 contacts and 0 responses"):
        response.fit(frame, until(frame), cpu)


def test_thirty_households_still_make_a_model(cpu: Compute, campaign_frame: Build) -> None:
    frame = campaign_frame(households=12)
    fitted, evidence = response.fit(frame, until(frame), cpu, seeds=1)
    assert np.isfinite(fitted.answer).all()
    assert np.isfinite([row.value for row in (*fitted.quality, *evidence.besides)]).all()
