from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from motherlode import names
from motherlode.errors import DataError
from motherlode.manifest import Input
from training.inputs import feature_columns, label, learn, matrix

FRAME = pl.DataFrame(
    {
        "customer_id": ["a", "b", "c", "d", "e"],
        "campaign_type": ["Type A", "Type B", "Type B", "Type C", "Type B"],
        "label": [0, 1, 0, 1, 0],
        "rfm__recency_days": [1.0, 2.0, None, 4.0, float("nan")],
        "rfm__recency_score": pl.Series([1, None, 3, 4, 5], dtype=pl.Int32),
        "history__latest_items": [["1"], [], None, ["2"], []],
    }
)
COLUMNS = ("rfm__recency_days", "rfm__recency_score")


def test_only_columns_of_one_number_a_row_are_features() -> None:
    assert feature_columns(FRAME) == COLUMNS


def test_null_and_nan_become_the_median_of_what_is_there() -> None:
    inputs = learn(FRAME, COLUMNS)
    assert [each.default for each in inputs] == [2.0, 3.5]
    x = matrix(FRAME, inputs)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    assert x.tolist() == [[1, 1], [2, 3.5], [2, 3], [4, 4], [2, 5]]


def test_a_default_is_a_float32_so_that_serving_imputes_the_same_bits() -> None:
    frame = pl.DataFrame({"rfm__recency_days": pl.Series([0.1, 0.3], dtype=pl.Float32)})
    (only,) = learn(frame, ("rfm__recency_days",))
    assert only.default == float(np.float32(only.default))


def test_the_drift_profile_is_tenths_their_shares_and_the_share_of_nulls() -> None:
    frame = pl.DataFrame({"rfm__recency_days": [*map(float, range(1, 101)), *[None] * 25]})
    (only,) = learn(frame, ("rfm__recency_days",))
    assert only.edges == tuple(float(each) for each in range(10, 100, 10))
    assert only.shares == pytest.approx([0.1] * 10)
    assert only.nulls == pytest.approx(0.2)
    assert only.moved is None


def windows(*values: npt.NDArray[np.float64]) -> pl.DataFrame:
    """A window of rows a month, the oldest first, as the inactivity model is trained on."""
    return pl.concat(
        pl.DataFrame({"rfm__tenure_days": each}).with_columns(
            pl.lit(datetime(2026, month, 1, tzinfo=UTC)).alias(names.EVENT_TIMESTAMP)
        )
        for month, each in enumerate(values, 1)
    )


def test_the_drift_profile_is_of_the_newest_rows_and_says_how_far_they_moved_by_themselves() -> None:
    """What only grows would else drift from a training that looked back over a year."""
    days = np.arange(1200.0)
    (growing,) = learn(windows(days, days + 400, days + 800), ("rfm__tenure_days",))
    assert (growing.edges[0], growing.edges[-1]) == (919, 1879)
    assert growing.moved is not None
    assert growing.moved > 0.25
    assert growing.default == np.median(np.concatenate([days, days + 400, days + 800]))
    (steady,) = learn(windows(days, days, days), ("rfm__tenure_days",))
    assert steady.moved == pytest.approx(0)


def test_a_few_rows_are_all_looked_at_and_nothing_is_said_of_those_before() -> None:
    few, many = np.arange(300.0), np.arange(1200.0)
    (all_of_them,) = learn(windows(few, few, few), ("rfm__tenure_days",))
    assert all_of_them.moved is None
    (newest,) = learn(windows(few, many), ("rfm__tenure_days",))
    assert (newest.edges[-1], newest.moved) == (1079, None)


def test_the_campaign_is_one_hot_and_an_unknown_type_is_none_of_them() -> None:
    inputs = learn(FRAME, (), ("Type A", "Type B"))
    assert inputs == (Input("campaign", "Type A", 0.0), Input("campaign", "Type B", 0.0))
    assert matrix(FRAME, inputs).tolist() == [[1, 0], [0, 1], [0, 1], [0, 0], [0, 1]]


def test_a_feature_without_any_value_is_zero_and_its_profile_is_nulls() -> None:
    frame = pl.DataFrame({"rfm__recency_days": pl.Series([None, None], dtype=pl.Float32)})
    inputs = learn(frame, ("rfm__recency_days",))
    assert inputs == (Input("rfm", "recency_days", 0.0, (), (0.0,), 1.0),)
    assert matrix(frame, inputs).tolist() == [[0], [0]]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="rfm__frequency"):
        learn(FRAME, ("rfm__frequency",))


def test_a_name_for_people() -> None:
    assert label(Input("rfm", "recency_days", 0.0)) == "rfm.recency_days"


def test_no_rows_give_an_empty_matrix_of_the_right_width() -> None:
    assert matrix(FRAME.clear(), learn(FRAME, COLUMNS, ("Type A",))).shape == (0, 3)
