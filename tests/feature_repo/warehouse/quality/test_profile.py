"""A column's figures are those that NumPy and a plain count give; what may not be shown is not kept."""

from collections import Counter
from datetime import UTC, date, datetime

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.warehouse.contract import Privacy
from feature_repo.warehouse.quality import profile
from feature_repo.warehouse.quality.parquet import Extent

FLOATS = st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(FLOATS)
def test_a_number_s_figures(values: list[float | None]) -> None:
    filled = [value for value in values if value is not None]
    found = profile.column(pl.Series("a", values, pl.Float64), len(values), "none")
    assert (found.rows, found.nulls, found.looked_at, found.exact) == (
        len(values),
        len(values) - len(filled),
        len(values),
        True,
    )
    assert found.distinct == len({value + 0.0 for value in filled})
    assert sum(found.counts) == len(filled)
    if filled:
        assert (found.low, found.high) == (min(filled), max(filled))
        assert found.mean == pytest.approx(np.mean(filled))
        assert found.quantiles[2] == np.quantile(filled, 0.5, method="inverted_cdf")
        assert list(found.edges) == sorted(found.edges)


def test_few_whole_numbers_get_a_bin_each() -> None:
    found = profile.column(pl.Series("a", [1, 1, 2, 5]), 4, "none")
    assert found.counts == (2, 1, 0, 0, 1)


def test_one_outlier_does_not_flatten_the_histogram() -> None:
    edges, counts = profile.histogram(np.append(np.linspace(0, 1, 9_999), 1e9))
    assert edges[-1] < 1.1
    assert sum(counts) == 10_000


def test_times_and_dates_are_seconds_since_1970() -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    times = profile.column(pl.Series("t", [at, None], pl.Datetime("us", "UTC")), 2, "none")
    dates = profile.column(pl.Series("t", [date(2026, 1, 2)]), 1, "none")
    assert times.kind == dates.kind == "time"
    assert times.low == dates.high == at.timestamp()


def test_texts_have_their_most_frequent_values_and_keys_have_none() -> None:
    words = ["b"] * 3 + ["a"] * 3 + ["c"] + ["x" * 500] * 2
    found = profile.column(pl.Series("t", words), 9, "none")
    assert [(it.text, it.rows) for it in found.top] == [("a", 3), ("b", 3), ("x" * 80, 2), ("c", 1)]
    keys = profile.column(pl.Series("t", [f"key {number}" for number in range(50)]), 50, "none")
    assert keys.top == ()
    assert Counter({it.text: it.rows for it in profile.column(pl.Series([True, None, True]), 3, "none").top}) == {
        "true": 2
    }


@pytest.mark.parametrize("privacy", ["identifier", "sensitive"])
@pytest.mark.parametrize("values", [["canary"] * 9, [41.5] * 9, [date(1999, 1, 1)] * 9])
def test_of_identifiers_and_sensitive_columns_only_counts_are_kept(privacy: Privacy, values: list[object]) -> None:
    found = profile.column(pl.Series("a", values), 9, privacy)
    assert (found.kind, found.rows, found.distinct, found.top, found.edges, found.low) == ("hidden", 9, 1, (), (), None)
    told = msgspec.json.encode(found)
    assert b"canary" not in told
    assert b"41.5" not in told


def test_of_quasi_identifiers_nothing_is_kept_that_few_rows_share() -> None:
    towns = profile.column(pl.Series("t", ["Bern"] * 5 + ["Genf"] * 4), 9, "quasi")
    assert [it.text for it in towns.top] == ["Bern"]
    ages = profile.column(pl.Series("a", [30.0] * 20 + [31.0] * 20 + [99.0]), 41, "quasi")
    assert (ages.low, ages.high, ages.quantiles) == (None, None, ())
    assert all(count == 0 or count >= profile.CROWD for count in ages.counts)
    assert profile.column(pl.Series("a", [1.0, 99.0]), 2, "quasi").counts == ()


def test_a_column_that_no_class_is_known_of_counts_as_an_identifier() -> None:
    found = profile.table("t", pl.DataFrame({"mail": ["canary"], "ok": ["x"]}), 1, {"ok": "none"}, {})
    assert [(it.name, it.kind) for it in found.columns] == [("mail", "hidden"), ("ok", "text")]


def test_rows_nulls_and_extremes_are_those_of_the_whole_table_where_the_files_tell() -> None:
    found = profile.column(pl.Series("a", [1.0, None]), 1000, "none", Extent(1000, 990, -5.0, 50.0))
    assert (found.nulls, found.low, found.high, found.exact) == (990, -5.0, 50.0, False)
    guessed = profile.column(pl.Series("a", [1.0, None]), 1000, "none", Extent(1000, None))
    assert guessed.nulls == 500


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=80), st.lists(st.integers(-90, 90), max_size=80))
def test_counting_into_another_histogram_loses_no_value(before: list[int], now: list[int]) -> None:
    edges, counts = profile.histogram(np.array(before, dtype=float))
    found = profile.counted(np.array(now, dtype=float), edges)
    assert sum(found) == len(now)
    if edges[0] != edges[-1]:
        assert len(found) == len(counts)
        assert profile.counted(np.array(before, dtype=float), edges) == counts
