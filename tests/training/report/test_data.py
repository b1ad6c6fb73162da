"""What a report is made from."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from motherlode.errors import DataError
from training.report import Plane, Profile, ReportData, distribution


@given(arrays(np.float32, st.integers(1, 300), elements=st.floats(width=32)))
def test_a_histogram_holds_every_customer_that_has_a_value(values: np.ndarray) -> None:
    histogram = distribution("view", "feature", values)
    present = int(np.isfinite(values).sum())
    assert sum(histogram.counts) == present
    assert histogram.null_share == pytest.approx(1 - present / len(values))
    assert len(histogram.edges) == (len(histogram.counts) + 1 if present else 0)
    assert list(histogram.edges) == sorted(histogram.edges)


def test_one_outlier_does_not_flatten_a_histogram() -> None:
    values = np.append(np.random.default_rng(0).uniform(0, 10, 999), 1e9)
    histogram = distribution("view", "feature", values)
    assert histogram.edges[-1] < 11
    assert sum(count > 10 for count in histogram.counts) == len(histogram.counts)


def test_a_feature_that_is_nearly_always_zero_still_shows_the_rest() -> None:
    values = np.zeros(1000)
    values[0] = 5.0
    histogram = distribution("view", "feature", values)
    assert (histogram.counts[0], histogram.counts[-1], histogram.edges[-1]) == (999, 1, 5.0)


def test_whole_numbers_get_a_bar_each() -> None:
    histogram = distribution("view", "score", np.repeat([1.0, 2.0, 3.0, 5.0], [4, 3, 2, 1]))
    assert histogram.counts == (4, 3, 2, 0, 1)
    assert (histogram.edges[0], histogram.edges[-1]) == (1.0, 5.0)


def test_a_constant_feature_is_one_bar_and_an_empty_one_none() -> None:
    assert distribution("view", "feature", np.full(9, 2.0)).counts == (9,)
    assert distribution("view", "feature", np.full(9, np.nan)).null_share == 1.0
    assert distribution("view", "feature", np.empty(0)).counts == ()


def test_points_without_labels_are_refused() -> None:
    with pytest.raises(DataError, match="3, 2"):
        Plane(np.zeros((3, 2)), np.zeros(2, dtype=np.int64), (0.5, 0.2))


def test_a_profile_that_does_not_fit_the_segments_is_refused(data: ReportData) -> None:
    with pytest.raises(DataError, match="4 segments and 1 features"):
        replace(data, profile=Profile(("recency_days",), np.zeros((3, 1))))
