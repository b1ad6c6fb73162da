"""A label is measured after its features end, and says so; the answer does not stand beside it."""

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.stores import leakage
from motherlode import names
from motherlode.errors import DataError
from motherlode.settings import Settings

T = datetime(2025, 3, 1, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
times = st.datetimes(datetime(2025, 1, 1), datetime(2025, 1, 1, 0, 0, 1))


def labels(starts: list[Any], ends: list[Any] | None = None, at: list[Any] | None = None) -> pl.DataFrame:
    frame = pl.DataFrame({names.EVENT_TIMESTAMP: at or [T] * len(starts), names.LABEL_START: starts})
    return frame if ends is None else frame.with_columns(pl.Series(names.LABEL_END, ends))


@pytest.mark.parametrize("start", [T, T + MOMENT, T + timedelta(days=9)])
def test_a_window_from_the_features_end_on_is_fine(start: datetime) -> None:
    leakage.check_windows(labels([start], [start + timedelta(days=28)]))


def test_a_window_that_starts_a_microsecond_earlier_is_refused_with_row_times_and_count() -> None:
    with pytest.raises(DataError) as caught:
        leakage.check_windows(labels([T, T - MOMENT, T - timedelta(days=1)]))
    assert caught.value.problem == (
        "Row 2 of 3 labels is measured from label_start 2025-02-28T23:59:59.999999+00:00 on, before its features end "
        "at event_timestamp 2025-03-01T00:00:00+00:00. And 1 more."
    )
    assert "event_timestamp or later" in caught.value.remedy


@given(st.lists(st.tuples(times, times), min_size=1, max_size=8))
def test_the_first_row_told_is_the_first_that_looks_back(rows: list[tuple[datetime, datetime]]) -> None:
    frame = labels([start for start, _ in rows], at=[at for _, at in rows])
    wrong = [number for number, (start, at) in enumerate(rows, 1) if start < at]
    if not wrong:
        leakage.check_windows(frame)
        return
    with pytest.raises(DataError, match=rf"^Row {wrong[0]} of {len(rows)} labels"):
        leakage.check_windows(frame)


def test_times_of_any_kind_are_compared_as_moments() -> None:
    """Naive is UTC; a zone, a unit and a date say what they mean."""
    india = T.astimezone(timezone(timedelta(hours=5, minutes=30)))
    for start in (T.replace(tzinfo=None), india, date(2025, 3, 1)):
        leakage.check_windows(labels([start]))
    for unit in ("ms", "us", "ns"):
        leakage.check_windows(labels([T]).with_columns(pl.col(names.LABEL_START).dt.cast_time_unit(unit)))
    with pytest.raises(DataError):
        leakage.check_windows(labels([date(2025, 2, 28)]))


def test_a_window_without_a_start_and_one_that_ends_before_it_are_refused() -> None:
    with pytest.raises(DataError, match="Row 2 of 2 labels has no label_start"):
        leakage.check_windows(labels([T, None]))
    with pytest.raises(DataError, match=r"Row 1 of 1 labels ends at label_end 2025-02-.*before label_start"):
        leakage.check_windows(labels([T], [T - timedelta(days=1)]))
    with pytest.raises(DataError, match="Column 'label_start' is String"):
        leakage.check_windows(labels(["2025-03-01"]))


@pytest.mark.parametrize("end", [T, T - timedelta(days=1)])
def test_a_window_that_has_ended_when_its_features_end_is_refused_whatever_else_is_said(end: datetime) -> None:
    frame = labels([T], [end]).drop(names.LABEL_START)
    with pytest.raises(DataError, match=r"ends at label_end 2025-.*, when its features end at event_timestamp"):
        leakage.check_windows(frame)
    leakage.check_windows(labels([T], [T + MOMENT]).drop(names.LABEL_START))
    leakage.check_windows(labels([T, T], [None, T + MOMENT]).drop(names.LABEL_START))


def test_a_start_of_another_name_does_not_hide_the_one_that_is_there() -> None:
    with pytest.raises(DataError, match="measured from label_start"):
        leakage.check_windows(labels([T - MOMENT]).with_columns(begins=pl.lit(T)), "begins")


def test_the_start_may_have_a_name_of_its_own_and_then_must_be_there() -> None:
    frame = labels([T - MOMENT]).rename({names.LABEL_START: "since"})
    leakage.check_windows(frame)
    with pytest.raises(DataError, match="measured from since"):
        leakage.check_windows(frame, "since")
    with pytest.raises(DataError, match="no column 'from'; they have event_timestamp, since"):
        leakage.check_windows(frame, "from")


def test_where_nothing_was_loaded_no_column_is_known_to_come_after_the_outcome(tmp_path: Path) -> None:
    assert leakage.after_outcome(Settings(home=tmp_path)) == []
    leakage.check_columns(Settings(home=tmp_path), pl.DataFrame({"anything": [1]}), names.LABEL)
