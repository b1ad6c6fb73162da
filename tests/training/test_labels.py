from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.errors import DataError
from training import labels

TIME = pl.Datetime("us", "UTC")
DAY = timedelta(days=1)
T = datetime(2025, 3, 4, tzinfo=UTC)


def purchases(*rows: tuple[str, datetime]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"customer_id": pl.String, "event_timestamp": TIME}, orient="row")


def campaign_tables() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    campaigns = pl.DataFrame(
        [("1", "Type A", T, T + 10 * DAY), ("2", None, T + 5 * DAY, T + 60 * DAY)],
        schema={"campaign_id": pl.String, "campaign_type": pl.String, "started_at": TIME, "ended_at": TIME},
        orient="row",
    )
    contacts = pl.DataFrame({"customer_id": ["a", "b", "a", "a", "c"], "campaign_id": ["1", "1", "2", "2", "9"]})
    responses = pl.DataFrame(
        {
            "customer_id": ["a", "a", "z"],
            "campaign_id": ["1", "1", "1"],
            "event_timestamp": [T + DAY, T + 2 * DAY, T + DAY],
        }
    )
    return contacts, campaigns, responses


def test_a_response_counts_in_its_own_campaign_alone_and_once() -> None:
    frame = labels.response_labels(*campaign_tables())
    assert frame.select("customer_id", "campaign_id", "campaign_type", "label").rows() == [
        ("a", "1", "Type A", 1),
        ("b", "1", "Type A", 0),
        ("a", "2", "unknown", 0),
    ]
    assert frame["event_timestamp"].to_list() == frame["label_start"].to_list() == [T, T, T + 5 * DAY]
    assert frame.schema["event_timestamp"] == TIME
    assert frame.schema["label"] == pl.Int8


def test_a_campaign_is_closed_only_once_its_end_has_passed() -> None:
    frame = labels.response_labels(*campaign_tables())
    assert labels.closed(frame, T + 10 * DAY).height == 0
    assert set(labels.closed(frame, T + 10 * DAY + timedelta(microseconds=1))["campaign_id"]) == {"1"}


def test_the_data_is_known_until_the_midnight_after_the_last_purchase() -> None:
    assert labels.known_until(purchases(("a", T + timedelta(hours=4)))) == T + DAY
    assert labels.known_until(purchases(("a", T))) == T + DAY


def test_without_purchases_nothing_is_known_and_the_error_says_what_to_do() -> None:
    with pytest.raises(DataError, match="motherlode ingest"):
        labels.known_until(purchases())


def test_the_window_takes_its_beginning_and_not_its_end() -> None:
    frame = purchases(
        ("at the snapshot", T - DAY),
        ("at the snapshot", T),
        ("at the end", T - DAY),
        ("at the end", T + 28 * DAY),
        ("just before the end", T - DAY),
        ("just before the end", T + 28 * DAY - timedelta(microseconds=1)),
        ("never again", T - DAY),
        ("not yet", T),
    )
    answer = labels.inactivity_labels(frame, [T])
    assert dict(answer.select("customer_id", "label").iter_rows()) == {
        "at the snapshot": 0,
        "at the end": 1,
        "just before the end": 0,
        "never again": 1,
    }


def test_a_snapshot_without_a_full_window_after_it_has_no_labels() -> None:
    frame = purchases(("a", T - 40 * DAY), ("a", T + 26 * DAY))  # known until T + 27 days
    assert labels.inactivity_labels(frame, [T]).height == 0
    assert labels.inactivity_labels(frame, [T - DAY]).height == 1


@given(
    ages=st.lists(st.integers(0, 300), max_size=40),
    horizon=st.integers(1, 60),
)
def test_windows_never_overlap_and_the_last_possible_one_is_among_them(ages: list[int], horizon: int) -> None:
    window = timedelta(days=horizon)
    moments = [T - age * DAY for age in ages]
    kept = labels.apart(moments, T, window)
    assert kept == sorted(kept)
    assert all(later - earlier >= window for earlier, later in pairwise(kept))
    possible = [moment for moment in moments if moment + window <= T]
    assert (kept[-1] if kept else None) == max(possible, default=None)


@settings(max_examples=40, deadline=None)
@given(
    events=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 24 * 120)), min_size=1, max_size=40),
    hours=st.lists(st.integers(0, 24 * 120), max_size=6),
)
def test_labels_agree_with_looking_at_every_purchase(events: list[tuple[str, int]], hours: list[int]) -> None:
    frame = purchases(*((customer, T + timedelta(hours=hour)) for customer, hour in events))
    moments = [T + timedelta(hours=hour) for hour in hours]
    answer = labels.inactivity_labels(frame, moments, horizon_days=28)
    until, horizon = labels.known_until(frame), timedelta(days=28)
    expected = []
    for moment in labels.apart(moments, until, horizon):
        for customer in sorted(set(frame["customer_id"])):
            times = frame.filter(pl.col("customer_id") == customer)["event_timestamp"].to_list()
            if any(time < moment for time in times):
                stayed = any(moment <= time < moment + horizon for time in times)
                expected.append((customer, moment, moment, moment + horizon, int(not stayed)))
    assert answer.rows() == expected


def test_a_snapshot_knows_who_bought_before_it() -> None:
    frame = purchases(("a", T - DAY), ("b", T), ("b", T + DAY))
    assert labels.population(frame, [T + DAY, T]).rows() == [("a", T), ("a", T + DAY), ("b", T + DAY)]
