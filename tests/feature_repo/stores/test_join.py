"""The GPU's plan of the point-in-time join gives what an obvious loop gives, on random histories."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.stores.join import CREATED, EVENT, LABEL, ROW, TIME, micros, pick, take

TIMES = st.integers(-6, 6)
KEYS = st.one_of(st.none(), st.sampled_from(["1", "11", "a"]))
HISTORY = st.lists(st.tuples(KEYS, KEYS, st.one_of(st.none(), TIMES), st.one_of(st.none(), TIMES)), max_size=25)
LABELS = st.lists(st.tuples(KEYS, KEYS, st.one_of(st.none(), TIMES)), max_size=15)


def brute_force(
    labels: Sequence[tuple[Any, ...]],
    history: Sequence[tuple[Any, ...]],
    *,
    ttl: int | None,
    by_created: bool,
) -> list[int | None]:
    """The newest row that a label may see, by looking at every row."""
    picked: list[int | None] = []
    for *key, at in labels:
        best: tuple[int, float, int] | None = None
        for row, (*of, event, created) in enumerate(history):
            if at is None or event is None or None in key or of != key or event > at:
                continue
            if by_created and (created is None or created > at):
                continue
            age = (event, float("-inf") if created is None else created, row)
            best = age if best is None else max(best, age)
        if best is not None and ttl is not None and at - best[0] > ttl:
            best = None
        picked.append(None if best is None else best[2])
    return picked


def frames(labels: Sequence[tuple[Any, ...]], history: Sequence[tuple[Any, ...]]) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    left = pl.DataFrame(
        [(*label, i) for i, label in enumerate(labels)],
        schema={"k": pl.String, "l": pl.String, TIME: pl.Int64, LABEL: pl.Int64},
        orient="row",
    )
    right = pl.DataFrame(
        [(*row, i) for i, row in enumerate(history)],
        schema={"k": pl.String, "l": pl.String, EVENT: pl.Int64, CREATED: pl.Int64, ROW: pl.Int64},
        orient="row",
    )
    return left.lazy(), right.lazy()


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
@settings(deadline=None)
@given(labels=LABELS, history=HISTORY, ttl=st.one_of(st.none(), st.integers(0, 8)), by_created=st.booleans())
def test_it_picks_what_a_loop_over_every_row_picks(
    labels: list[Any], history: list[Any], ttl: int | None, by_created: bool, engine: Any
) -> None:
    left, right = frames(labels, history)
    picked = pick(left, right, ["k", "l"], ttl_us=ttl, by_created=by_created).collect(engine=engine)
    assert picked[ROW].to_list() == brute_force(labels, history, ttl=ttl, by_created=by_created)


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=30))
def test_rows_are_taken_whole_and_in_order(engine: Any, rows: list[int | None]) -> None:
    features = pl.DataFrame({"x": [1.0, None, float("nan"), 4.0, 5.0], "l": [["a"], [], None, ["b", None], ["c"]]})
    picked = pl.DataFrame({ROW: rows}, schema={ROW: pl.Int64})
    numbered = features.with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64))
    taken = take(picked.lazy(), numbered.lazy(), ["x", "l"]).collect(engine=engine)
    expected = {name: [None if row is None else features[name].to_list()[row] for row in rows] for name in ("x", "l")}
    assert taken.equals(pl.DataFrame(expected, schema=features.schema))


def test_keys_are_compared_one_by_one_and_not_glued() -> None:
    """ "1" and "11" is not "11" and "1"."""
    left, right = frames([("1", "11", 5), ("11", "1", 5)], [("11", "1", 1, 1)])
    assert pick(left, right, ["k", "l"], ttl_us=None).collect()[ROW].to_list() == [None, 0]


def test_integer_keys_beyond_two_to_the_53_are_told_apart() -> None:
    left = pl.LazyFrame({"k": [2**53, 2**53 + 1], TIME: [5, 5], LABEL: [0, 1]})
    right = pl.LazyFrame({"k": [2**53 + 1], EVENT: [1], CREATED: [1], ROW: [0]})
    assert pick(left, right, ["k"], ttl_us=None).collect()[ROW].to_list() == [None, 0]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Kolkata", "America/New_York"])
def test_every_unit_and_zone_comes_out_as_the_same_microseconds(unit: Any, zone: str | None) -> None:
    utc = pl.Series("t", [1_700_000_000_123, -1]).cast(pl.Datetime("ms", "UTC")).dt.cast_time_unit(unit)
    stored = utc.dt.replace_time_zone(None) if zone is None else utc.dt.convert_time_zone(zone)
    found = stored.to_frame().select(micros("t", stored.dtype))["t"].to_list()
    assert found == [1_700_000_000_123_000, -1000]


def test_a_date_is_its_midnight() -> None:
    assert pl.select(pl.lit(1).cast(pl.Date).alias("t")).select(micros("t", pl.Date()))["t"].to_list() == [
        86_400_000_000
    ]


@settings(deadline=None)
@given(st.integers(-(10**18), 10**18), st.integers(-(10**18), 10**18))
def test_nanoseconds_are_rounded_so_that_nothing_is_seen_before_its_time(feature: int, label: int) -> None:
    frame = pl.DataFrame({"f": [feature], "l": [label]}).cast(pl.Datetime("ns"))
    seen = frame.select((micros("f", frame.schema["f"], up=True) <= micros("l", frame.schema["l"])).alias("seen"))[
        "seen"
    ][0]
    assert not seen or feature <= label
    assert seen or feature > label - 2000


def test_text_is_no_time() -> None:
    with pytest.raises(TypeError, match="'t' is String"):
        micros("t", pl.String())
