"""The table of types is whole, and a view's columns and keys come out of it in one order."""

import itertools
from datetime import timedelta

import polars as pl
import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.types import Array, Bool, Bytes, FeastType, Float32, Float64, Int32, Int64, String, UnixTimestamp

from feature_repo.stores import dtypes
from motherlode.errors import StoreError
from motherlode.packed import FIXED, VARIABLE, Column

TYPES: list[FeastType] = [Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp]


def test_every_packed_type_has_a_polars_type_and_a_feast_type() -> None:
    for packed in (*FIXED, *VARIABLE):
        assert dtypes.feast_type(dtypes.polars_type(packed)) in (*TYPES, *map(Array, TYPES))


def test_every_kind_is_a_packed_type_and_a_field_of_feasts_value() -> None:
    for kind in dtypes.KINDS.values():
        Column("x", kind.packed)
        assert kind.collection == (kind.proto.endswith(("_list_val", "_set_val")) and not kind.message)


def test_a_type_that_feast_has_none_for_is_refused() -> None:
    with pytest.raises(StoreError, match="type Duration"):
        dtypes.feast_type(pl.Duration("us"))
    with pytest.raises(StoreError, match="List\\(List"):
        dtypes.feast_type(pl.List(pl.List(pl.Int64)))


def test_columns_and_keys_do_not_depend_on_the_order_of_the_definition() -> None:
    entities = [Entity(name=name, join_keys=[name], value_type=ValueType.STRING) for name in ("b", "a")]
    fields = [Field(name=name, dtype=Float32) for name in ("z", "x", "y")]
    keys = [Field(name=name, dtype=String) for name in ("b", "a")]
    for order in itertools.permutations([*fields, *keys]):
        view = FeatureView(name="v", entities=entities, schema=list(order))
        assert [column.name for column in dtypes.columns(view)] == ["x", "y", "z"]
        assert dtypes.join_keys(view) == ("a", "b")


@pytest.mark.parametrize(("ttl", "us"), [(None, None), (timedelta(0), None), (timedelta(microseconds=1500), 1500)])
def test_no_ttl_and_a_ttl_of_zero_are_forever(ttl: timedelta | None, us: int | None) -> None:
    assert dtypes.ttl_us(FeatureView(name="v", schema=[Field(name="x", dtype=Float32)], ttl=ttl)) == us
