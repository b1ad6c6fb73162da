"""What the views share, each against a slow way that cannot be wrong."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from feature_repo.features import frames
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names

Row = dict[str, Any]

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
UTC_TIME = pl.Datetime("us", "UTC")
WINDOWS = {"2d": 2 * DAY, "9d": 9 * DAY}
SEEDS = range(5)


def micros(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def random_events(rng: random.Random) -> list[Row]:
    """Many at the same moments, some at a window's very edge."""
    return [
        {
            "key": rng.choice("ab"),
            "part": rng.randrange(2),
            "event_timestamp": START + rng.randrange(20) * DAY + rng.choice([-1, 0, 0, 1]) * timedelta(microseconds=1),
            "x": rng.randrange(-5, 9),
            "y": rng.choice([0, 0, 1]),
        }
        for _ in range(60)
    ]


def as_events(rows: list[Row]) -> pl.LazyFrame:
    schema = {"key": pl.String(), "part": pl.Int64(), "event_timestamp": UTC_TIME, "x": pl.Int64(), "y": pl.Int64()}
    return pl.LazyFrame(rows, schema=schema)


def asked_rows() -> list[Row]:
    times = [START + day * DAY for day in (-1, 0, 1, 3, 7, 12, 19, 20, 90)]
    return [{"snapshot": time, "key": key, "part": part} for time in times for key in "abc" for part in range(2)]


@pytest.mark.parametrize("seed", SEEDS)
def test_sums_are_those_of_the_events_before_the_snapshot_and_within_the_window(seed: int) -> None:
    events = random_events(random.Random(seed))
    rows = asked_rows()
    asked = pl.LazyFrame(rows, schema={"snapshot": UTC_TIME, "key": pl.String(), "part": pl.Int64()})
    by = ("key", "part")
    found = frames.sums(
        as_events(events), asked, ("x", "y"), WINDOWS, by=by, windowed=("x",), lasts={"last_y": "y"}
    ).collect()
    assert found.columns == ["snapshot", "key", "part", "x", "y", "last", "last_y", "x_2d", "x_9d"]
    wanted = []
    for row in rows:
        mine = [it for it in events if all(it[name] == row[name] for name in by)]
        seen = [it for it in mine if it["event_timestamp"] < row["snapshot"]]
        times, marked = ([it["event_timestamp"] for it in those] for those in (seen, [it for it in seen if it["y"]]))
        answer = {**row, "x": sum(it["x"] for it in seen), "y": sum(it["y"] for it in seen)}
        answer["last"] = micros(max(times)) if times else None
        answer["last_y"] = micros(max(marked)) if marked else None
        for label, window in WINDOWS.items():
            recent = [it for it in seen if it["event_timestamp"] >= row["snapshot"] - window]
            answer[f"x_{label}"] = sum(it["x"] for it in recent)
        wanted.append(answer)
    assert_frame_equal(found, pl.DataFrame(wanted, schema=found.schema), check_row_order=False)


def test_sums_of_all_values_have_windows_where_none_is_named() -> None:
    events, rows = as_events(random_events(random.Random(1))), asked_rows()
    asked = pl.LazyFrame(rows, schema={"snapshot": UTC_TIME, "key": pl.String(), "part": pl.Int64()})
    found = frames.sums(events, asked, ("x", "y"), WINDOWS, by=("key", "part")).collect()
    assert {"x_2d", "x_9d", "y_2d", "y_9d", "last"} <= set(found.columns)


@pytest.mark.parametrize("seed", SEEDS)
def test_known_is_the_newest_value_strictly_before(seed: int) -> None:
    rng = random.Random(seed)
    moments = {(rng.choice("ab"), rng.randrange(20)) for _ in range(25)}
    states: list[Row] = [
        {"key": key, "at": at, "text": rng.choice([None, "u", "v"]), "number": rng.choice([None, 0.5, 1.5])}
        for key, at in moments
    ]
    asks: list[Row] = [{"key": key, "at": at} for key in "abc" for at in range(-1, 22)]
    schema = {"key": pl.String(), "at": pl.Int64(), "text": pl.String(), "number": pl.Float64()}
    found = frames.known(pl.LazyFrame(states, schema=schema), pl.LazyFrame(asks), ["key"], ["text", "number"]).collect()
    wanted = []
    for ask in asks:
        before = sorted(
            (state for state in states if state["key"] == ask["key"] and state["at"] < ask["at"]),
            key=lambda state: state["at"],
        )
        newest = {
            name: next((state[name] for state in reversed(before) if state[name] is not None), None)
            for name in ("text", "number")
        }
        wanted.append({**ask, **newest})
    assert_frame_equal(found, pl.DataFrame(wanted, schema=found.schema), check_row_order=False)


def as_lines(lines: list[Row]) -> dict[str, pl.LazyFrame]:
    return {name: pl.LazyFrame(lines if name == names.TRANSACTIONS else [], schema=it) for name, it in SCHEMAS.items()}


def test_baskets_add_up_the_lines_of_a_moment_and_begin_once(rows: dict[str, list[Row]]) -> None:
    lines = rows[names.TRANSACTIONS]
    moments: dict[tuple[str, str, datetime], list[Row]] = defaultdict(list)
    first: dict[tuple[str, str], datetime] = {}
    for line in lines:
        customer, basket, time = (line[name] for name in ("customer_id", "basket_id", "event_timestamp"))
        moments[customer, basket, time].append(line)
        if line["quantity"] > 0:
            first[customer, basket] = min(time, first.get((customer, basket), time))
    found = frames.baskets(as_lines(lines)).collect()
    wanted = []
    for (customer, basket, time), those in moments.items():
        bought = [line for line in those if line["quantity"] > 0]
        back = [line for line in those if line["quantity"] < 0]
        whole = [line for line in those if line["quantity"] == 0]
        wanted.append(
            {
                "customer_id": customer,
                "basket_id": basket,
                "event_timestamp": time,
                **{
                    name: min((line[name] for line in those if line[name] is not None), default=None)
                    for name in ("local_timestamp", "store_id", "channel")
                },
                "bought": parts(bought, "amount"),
                "returned": -parts(back, "amount"),
                "lines": len(bought),
                "return_lines": len(back),
                "pieces": parts(bought, "quantity"),
                "returned_pieces": -parts(back, "quantity"),
                "cut": parts(bought, "retail_discount"),
                "coupons": parts(bought, "coupon_discount"),
                "cut_lines": sum(line["retail_discount"] > 0 for line in bought),
                "coupon_lines": sum(line["coupon_discount"] > 0 for line in bought),
                "basket_coupons": parts(whole, "coupon_discount"),
                "begins": int(first.get((customer, basket)) == time),
            }
        )
    assert set(found.columns) == set(wanted[0])
    known = found.select(list(wanted[0]))
    assert_frame_equal(known, pl.DataFrame(wanted, schema=known.schema), check_row_order=False)


def parts(lines: list[Row], column: str) -> int:
    """Their sum in ten-thousandths."""
    return sum(round(line[column] * 10_000) for line in lines)


def test_what_was_computed_once_is_used_for_all(rows: dict[str, list[Row]]) -> None:
    tables = as_lines(rows[names.TRANSACTIONS])
    ready = {frames.BASKETS: frames.baskets(tables)}
    assert frames.baskets(ready) is ready[frames.BASKETS]
    for of in (frames.begun, frames.purchase_days):
        assert_frame_equal(of(ready).collect(), of(tables).collect(), check_row_order=False)


def test_days_count_in_the_order_in_which_they_were_first_bought_on() -> None:
    # The second purchase is in a shop further west, where it is still the day before.
    clocks = [("02-10 23", "02-11 00"), ("02-11 00", "02-10 22"), ("02-12 09", "02-12 09"), ("02-12 10", "02-12 10")]
    clocks += [("02-20 10", "02-20 10")]
    lines = [
        {
            "customer_id": "c",
            "basket_id": str(number),
            "quantity": 1.0,
            "amount": 1.0,
            "event_timestamp": datetime.strptime(f"2024-{time} +0000", "%Y-%m-%d %H %z"),
            "local_timestamp": datetime.strptime(f"2024-{local}", "%Y-%m-%d %H"),
        }
        for number, (time, local) in enumerate(clocks)
    ]
    found = frames.purchase_days(as_lines(lines)).collect().sort("event_timestamp")
    assert found["gap"].to_list() == [0, -1, 2, 8]
    assert found["gaps"].to_list() == [0, 1, 1, 1]
    assert found["days"].to_list() == [1, 1, 1, 1]


def test_rows_are_of_buyers_or_of_everyone_who_is_known_before_the_snapshot() -> None:
    line = {"customer_id": "buyer", "basket_id": "b", "quantity": 1.0, "event_timestamp": START}
    lines = [line, {**line, "customer_id": "returner", "quantity": -1.0}]
    tables = as_lines(lines) | {
        names.CUSTOMERS: pl.LazyFrame(
            [{"customer_id": "registered", "registered_at": START}, {"customer_id": "undated", "registered_at": None}],
            schema=SCHEMAS[names.CUSTOMERS],
        ),
        names.INTERACTIONS: pl.LazyFrame(
            [{"customer_id": who, "event_timestamp": START} for who in ("visitor", None)],
            schema=SCHEMAS[names.INTERACTIONS],
        ),
    }
    times = [START, START + timedelta(microseconds=1)]
    snapshots = pl.LazyFrame({"event_timestamp": times}, schema={"event_timestamp": UTC_TIME})

    def seen(made: pl.LazyFrame) -> set[Any]:
        return set(made.collect().select(names.CUSTOMER_ID, frames.SNAPSHOT).iter_rows())

    after = times[1]
    assert seen(frames.buyers(tables, snapshots)) == {("buyer", after)}
    assert seen(frames.everyone(tables, snapshots)) == {
        (who, after) for who in ("buyer", "returner", "registered", "visitor")
    }


def test_a_trend_needs_something_before_it() -> None:
    sums = pl.DataFrame({"x_recent": [10, 10, 0, -7], "x_both": [40, 10, 84, 14]})
    assert sums.select(frames.trend("x").alias("t"))["t"].to_list() == [1.0, None, 0.0, -1.0]


def test_events_of_several_kinds_stand_together_with_noughts_between() -> None:
    key = {"customer_id": "c", "event_timestamp": START}
    one, other = pl.LazyFrame([{**key, "x": 1, "unwanted": "?"}]), pl.LazyFrame([{**key, "y": 2}])
    assert frames.together([one, other], ("x", "y")).collect().rows() == [("c", START, 1, 0), ("c", START, 0, 2)]
