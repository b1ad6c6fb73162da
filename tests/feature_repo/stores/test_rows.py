"""Which key and which times a row gets: the same from a frame and from Feast's protos."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import polars as pl
import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float64, Int64, String
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.stores.join import CREATED, EVENT
from feature_repo.stores.rows import GRACE, Packer, entity_of, micros
from motherlode.errors import DataError, StoreError

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=6)


def view(ttl: timedelta | None = DAY) -> FeatureView:
    entities = [
        Entity(name="s", join_keys=["s"], value_type=ValueType.STRING),
        Entity(name="n", join_keys=["n"], value_type=ValueType.INT64),
    ]
    fields = [Field(name="s", dtype=String), Field(name="n", dtype=Int64), Field(name="x", dtype=Float64)]
    return FeatureView(name="v", entities=entities, schema=fields, ttl=ttl)


def key(s: str, n: int) -> EntityKey:
    return EntityKey(join_keys=["s", "n"], entity_values=[Value(string_val=s), Value(int64_val=n)])


def frame(rows: list[tuple[str, int, float | None, int, int | None]]) -> pl.DataFrame:
    schema: dict[str, Any] = {"s": pl.String, "n": pl.Int64, "x": pl.Float64, EVENT: pl.Int64, CREATED: pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


@given(st.lists(st.tuples(TEXT, st.integers(-(2**63), 2**63 - 1), st.one_of(st.none(), st.floats())), max_size=5))
def test_a_frame_and_feasts_protos_make_the_same_rows(rows: list[tuple[str, int, float | None]]) -> None:
    """What materialise writes, a push overwrites: key for key and byte for byte."""
    event, created = micros(NOON), micros(NOON + DAY)
    ours = Packer(view()).from_frame(frame([(s, n, x, event, created) for s, n, x in rows]))
    values = [{"x": Value() if x is None else Value(double_val=x)} for _, _, x in rows]
    theirs = Packer(view()).from_feast(
        [(key(s, n), held, NOON, NOON + DAY) for (s, n, _), held in zip(rows, values, strict=True)], event
    )
    assert ours.entities == theirs.entities
    assert ours.rows == theirs.rows
    assert (ours.forget_at_ms is None) == (theirs.forget_at_ms is None)


def test_without_a_created_time_the_event_time_stands_for_it() -> None:
    event = micros(NOON)
    ours = Packer(view()).from_frame(frame([("a", 1, 1.0, event, None)]))
    same = Packer(view()).from_frame(frame([("a", 1, 1.0, event, event)]))
    theirs = Packer(view()).from_feast([(key("a", 1), {"x": Value(double_val=1.0)}, NOON, None)], event)
    assert ours.rows == same.rows == theirs.rows


def test_a_row_is_forgotten_its_ttl_and_a_grace_after_its_event_or_never() -> None:
    packed = Packer(view()).from_frame(frame([("a", 1, 1.0, micros(NOON), None)]))
    assert packed.forget_at_ms is not None
    assert packed.forget_at_ms.tolist() == [micros(NOON + DAY + GRACE) // 1000]
    assert Packer(view(None)).from_frame(frame([("a", 1, 1.0, 0, None)])).forget_at_ms is None
    assert Packer(view(None)).horizon_us(micros(NOON)) is None


def test_what_would_be_forgotten_at_once_is_left_out() -> None:
    rows = [(key("a", i), {"x": Value(double_val=1.0)}, NOON - age, None) for i, age in enumerate((DAY, GRACE + DAY))]
    assert Packer(view()).from_feast(rows, micros(NOON)).entities == ["0|a"]


@pytest.mark.parametrize("value", [Value(), Value(double_val=1.0), Value(bool_val=True), Value(bytes_val=b"a")])
def test_a_key_without_one_text_form_is_refused(value: Value) -> None:
    with pytest.raises(StoreError, match="Join key 'k' is"):
        entity_of(EntityKey(join_keys=["k"], entity_values=[value]))


def test_naive_times_are_utc_and_microseconds_are_exact() -> None:
    at = datetime(2024, 5, 1, 17, 30, 0, 123457, timezone(timedelta(hours=5, minutes=30)))
    assert micros(at) == micros(at.astimezone(UTC).replace(tzinfo=None)) == 1_714_564_800_123_457
    assert micros(datetime(9999, 12, 31, 23, 59, 59, 999999)) == 253_402_300_799_999_999


@pytest.mark.parametrize("time", [None, pd.NaT])
def test_a_row_without_an_event_time_is_refused_by_its_number_and_none_is_written(time: Any) -> None:
    rows = [(key("a", 1), {"x": Value(double_val=1.0)}, NOON, None), (key("b", 2), {}, time, None)]
    with pytest.raises(DataError, match=r"Row 1 of 2 for view 'v' has no event time"):
        Packer(view()).from_feast(rows, micros(NOON))


def test_whole_keys_that_came_as_floats_are_whole_and_others_are_refused() -> None:
    """pandas makes an integer column with one null a float one."""
    event = micros(NOON)
    floats = frame([("a", 1, None, event, event), ("a", -3, None, event, event)]).cast({"n": pl.Float64})
    assert Packer(view()).from_frame(floats).entities == ["1|a", "-3|a"]
    for wrong in (1.5, 2.0**54, float("nan"), float("inf")):
        with pytest.raises(DataError, match=r"Join key 'n' is .*, a float"):
            Packer(view()).from_frame(floats.with_columns(n=pl.lit(wrong)))
