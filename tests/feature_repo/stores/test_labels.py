"""Label frames: every form, unit, zone and key type that a user may bring."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from feast.types import String

from motherlode.errors import DataError, StoreError

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "+05:30", "Asia/Kolkata"])
@pytest.mark.parametrize("form", ["arrow", "pandas"])
def test_label_times_of_every_unit_and_zone_mean_the_same_instant(repo: Any, unit: str, zone: Any, form: str) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.0), ("a", NOON + HOUR, 2.0)))
    times = [NOON + HOUR, NOON - HOUR, NOON]
    stamps = pa.array([time.replace(tzinfo=None) for time in times], pa.timestamp(unit))
    stamps = stamps.cast(pa.timestamp(unit, zone)) if zone else stamps  # the same instants
    asked: Any = pa.table({"k": ["a"] * 3, "event_timestamp": stamps})
    asked = asked.to_pandas() if form == "pandas" else asked
    answer = repo.ask(view, ["v:x"], asked).to_arrow()
    assert answer["x"].to_pylist() == [2.0, None, 1.0]
    assert answer["event_timestamp"].type == pa.timestamp(unit, zone)


def test_python_datetimes_of_several_offsets_in_one_column_are_read(repo: Any) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.0)))
    asked = pd.DataFrame(
        {"k": ["a", "a"], "event_timestamp": pd.Series(["2024-05-01T17:30:00+05:30", "2024-05-01T11:59:59Z"])}
    )
    asked["event_timestamp"] = [datetime.fromisoformat(time) for time in asked["event_timestamp"]]
    asked["event_timestamp"] = asked["event_timestamp"].astype(object)
    assert repo.xs(repo.ask(view, ["v:x"], asked)) == [1.0, None]


KEYED = [2**53, 2**53 + 1, 7]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (pd.Series([2**53, 2**53 + 1, 8]), [0.0, 1.0, None]),
        (pd.Series([7, 8, 9], dtype="int32"), [2.0, None, None]),
        (pd.Series([7, 2**53 + 1, 2**63 + 5], dtype="uint64"), [2.0, 1.0, None]),
        (pd.Series([7.0, None, 7.5]), [2.0, None, None]),
        (pd.Series([7, None, 2**53 + 1], dtype="Int64"), [2.0, None, 1.0]),
        (pd.Series([None, None, None], dtype=object), [None, None, None]),
    ],
)
def test_integer_keys_match_exactly_whatever_integer_type_the_labels_have(repo: Any, keys: Any, found: Any) -> None:
    rows = pl.DataFrame({"k": KEYED, "t": [NOON] * 3, "created": [NOON] * 3, "x": [0.0, 1.0, 2.0]})
    view = repo.view("v", rows)
    assert repo.xs(repo.ask(view, ["v:x"], pd.DataFrame({"k": keys, "event_timestamp": [NOON] * 3}))) == found


def test_keys_of_types_that_have_nothing_in_common_are_refused(repo: Any) -> None:
    view = repo.view("v", repo.history(("7", NOON, 1.0)))
    with pytest.raises(DataError, match="'k' is Int64 in the labels and String in the features"):
        repo.ask(view, ["v:x"], pd.DataFrame({"k": [7], "event_timestamp": [NOON]})).to_arrow()


def test_dictionary_keys_are_strings(repo: Any) -> None:
    rows = repo.history(("a", NOON, 1.0)).with_columns(pl.col("k").cast(pl.Categorical))
    view = repo.view("v", rows, dtypes={"k": String})
    asked = repo.labels(("a", NOON)).to_pandas().astype({"k": "category"})
    assert repo.xs(repo.ask(view, ["v:x"], asked)) == [1.0]


def test_sql_and_other_non_frames_are_refused(repo: Any) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.0)))
    for asked in ("SELECT 1", 3):
        with pytest.raises(StoreError, match="frame"):
            repo.ask(view, ["v:x"], asked)


def test_labels_without_times_or_keys_are_refused_by_name(repo: Any) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.0)))
    with pytest.raises(DataError, match="no column 'event_timestamp'; they have k, day"):
        repo.ask(view, ["v:x"], pd.DataFrame({"k": ["a"], "day": ["today"]}))
    with pytest.raises(DataError, match="'event_timestamp' is int64"):
        repo.ask(view, ["v:x"], pd.DataFrame({"k": ["a"], "event_timestamp": [3]}))
    with pytest.raises(DataError, match="no column 'k'; they have event_timestamp"):
        repo.ask(view, ["v:x"], pd.DataFrame({"event_timestamp": [NOON]})).to_arrow()


def test_the_only_time_column_is_taken_whatever_its_name(repo: Any) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.0)))
    assert repo.xs(repo.ask(view, ["v:x"], pd.DataFrame({"k": ["a"], "asked_at": [NOON]}))) == [1.0]
