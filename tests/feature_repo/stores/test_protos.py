"""Feast's protos change form without changing a value: to packed and back, and straight to their wire form."""

import decimal
import uuid
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.types import from_value_type
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.stores import dtypes
from feature_repo.stores.protos import from_protos, to_protos
from feature_repo.stores.wire import to_wire
from motherlode.errors import DataError, StoreError
from motherlode.packed import Column, Schema, Values, decode, encode


def through(values: Values, column: Column) -> Values:
    """Packed and unpacked again, as a reader gets it."""
    schema = Schema("v", (column,))
    stamps = np.ones(len(values.valid), dtype=np.int64)
    rows = encode(schema, {column.name: values}, stamps, stamps)
    return decode(rows, [column], {schema.fingerprint: schema}, now_us=2).columns[column.name]


def wired(values: Values, column: Column, kind: dtypes.Kind) -> list[Value]:
    """What protobuf reads from the entries of a `FeatureVector`."""
    (wire,) = to_wire([values], [column], [kind])
    return list(GetOnlineFeaturesResponse.FeatureVector.FromString(wire).values)


WHOLE = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
SAMPLES: dict[ValueType, list[Any]] = {
    ValueType.BYTES: [b"a\x00", b""],
    ValueType.PDF_BYTES: [b"%PDF"],
    ValueType.IMAGE_BYTES: [b"\xff"],
    ValueType.STRING: ["", "é|{}"],
    ValueType.JSON: ['{"a": [1, null]}'],
    ValueType.UUID: [uuid.UUID(int=7)],
    ValueType.TIME_UUID: [uuid.UUID(int=8)],
    ValueType.DECIMAL: [decimal.Decimal("1.10")],
    ValueType.INT32: [-(2**31), 2**31 - 1],
    ValueType.INT64: [-(2**63), 2**63 - 1],
    ValueType.DOUBLE: [0.1, -1e300],
    ValueType.FLOAT: [0.5, -2.0],
    ValueType.BOOL: [True, False],
    ValueType.UNIX_TIMESTAMP: [WHOLE],
    ValueType.BYTES_LIST: [[b"a", b""]],
    ValueType.STRING_LIST: [["a", "", "é"]],
    ValueType.JSON_LIST: [['{"a": 1}', "2"]],
    ValueType.UUID_LIST: [[uuid.UUID(int=7)]],
    ValueType.INT32_LIST: [[1, -2]],
    ValueType.INT64_LIST: [[2**62]],
    ValueType.DOUBLE_LIST: [[0.1]],
    ValueType.FLOAT_LIST: [[0.5, 1.5]],
    ValueType.BOOL_LIST: [[True, False]],
    ValueType.UNIX_TIMESTAMP_LIST: [[WHOLE]],
    ValueType.STRING_SET: [{"a", "b"}],
    ValueType.INT64_SET: [{1, 2}],
    ValueType.BOOL_SET: [{True}],
    ValueType.FLOAT_SET: [{0.5}],
    ValueType.DOUBLE_SET: [{0.5}],
    ValueType.INT32_SET: [{-1}],
    ValueType.BYTES_SET: [{b"a"}],
    ValueType.UNIX_TIMESTAMP_SET: [{WHOLE}],
    ValueType.UUID_SET: [{uuid.UUID(int=7)}],
    ValueType.TIME_UUID_LIST: [[uuid.UUID(int=7)]],
    ValueType.TIME_UUID_SET: [{uuid.UUID(int=7)}],
    ValueType.DECIMAL_LIST: [[decimal.Decimal("1.10"), decimal.Decimal("-2")]],
    ValueType.DECIMAL_SET: [{decimal.Decimal("1.10")}],
    ValueType.MAP: [{"a": "b", "c": {"d": 1}}, {}],
    ValueType.MAP_LIST: [[{"a": "b"}, {}]],
    ValueType.SCALAR_MAP: [{1: "b"}],
    ValueType.STRUCT: [{"a": 1, "b": ["c"]}],
    ValueType.STRUCT_LIST: [[{"a": 1}]],
    ValueType.VALUE_LIST: [[["a"], ["b", "c"]]],
    ValueType.VALUE_SET: [[["a"], ["b", "c"]]],
    ValueType.ZONED_TIMESTAMP: [WHOLE.astimezone(ZoneInfo("Europe/Paris"))],
}


@pytest.mark.parametrize("value_type", SAMPLES, ids=lambda value_type: value_type.name)
def test_feasts_values_come_back_as_they_went(value_type: ValueType) -> None:
    kind = dtypes.KINDS[value_type]
    column = Column("x", kind.packed)
    sent = [*SAMPLES[value_type], None]
    protos = python_values_to_proto_values(sent, value_type)
    back = to_protos(through(from_protos(protos, column, kind), column), column, kind)
    got = [feast_value_type_to_python_type(proto or Value(), value_type) for proto in back]
    assert got == [feast_value_type_to_python_type(proto, value_type) for proto in protos]
    assert back[-1] is None
    assert wired(through(from_protos(protos, column, kind), column), column, kind) == [
        proto or Value() for proto in back
    ]


def test_every_kind_has_a_sample() -> None:
    assert SAMPLES.keys() == dtypes.KINDS.keys()


FIXED: dict[ValueType, Any] = {
    ValueType.BOOL: st.booleans(),
    ValueType.INT32: st.integers(-(2**31), 2**31 - 1),
    ValueType.INT64: st.integers(-(2**63), 2**63 - 1),
    ValueType.FLOAT: st.floats(width=32, allow_nan=False),
    ValueType.DOUBLE: st.floats(allow_nan=False),
    ValueType.UNIX_TIMESTAMP: st.integers(-(10**10), 10**11),
    ValueType.STRING: st.text(st.characters(codec="utf-8"), max_size=200),
    ValueType.BYTES: st.binary(max_size=300),
}


@pytest.mark.parametrize("value_type", FIXED, ids=lambda value_type: value_type.name)
@given(data=st.data())
def test_the_wire_form_says_what_feasts_protos_say(value_type: ValueType, data: st.DataObject) -> None:
    kind = dtypes.KINDS[value_type]
    column = Column("x", kind.packed)
    given_values = data.draw(st.lists(st.one_of(st.none(), FIXED[value_type]), max_size=6))
    protos = [Value() if value is None else Value(**{kind.proto: value}) for value in given_values]
    assert wired(through(from_protos(protos, column, kind), column), column, kind) == protos


def test_a_null_among_times_stays_null() -> None:
    kind = dtypes.KINDS[ValueType.UNIX_TIMESTAMP_LIST]
    column = Column("x", kind.packed)
    sent = Value()
    sent.unix_timestamp_list_val.val.extend([-(2**63), 5])
    (back,) = to_protos(through(from_protos([sent], column, kind), column), column, kind)
    assert back == sent


def test_an_empty_list_is_a_list_and_not_null() -> None:
    kind = dtypes.KINDS[ValueType.STRING_LIST]
    column = Column("x", kind.packed)
    empty = Value()
    empty.string_list_val.SetInParent()
    (back,) = to_protos(through(from_protos([empty], column, kind), column), column, kind)
    assert back is not None
    assert back.WhichOneof("val") == "string_list_val"


def test_feasts_marks_for_null_are_null() -> None:
    kind = dtypes.KINDS[ValueType.UNIX_TIMESTAMP]
    protos = [None, Value(), Value(null_val=0), Value(unix_timestamp_val=-(2**63))]  # type: ignore[arg-type]
    assert not from_protos(protos, Column("x", "timestamp"), kind).valid.any()


def test_a_value_of_another_type_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="'x' is string_val, not float_val"):
        from_protos([Value(string_val="1")], Column("x", "float32"), dtypes.KINDS[ValueType.FLOAT])


def test_every_type_that_feast_can_declare_is_kept_or_refused_with_its_name() -> None:
    entity = Entity(name="e", join_keys=["k"], value_type=ValueType.STRING)
    for value_type in set(ValueType) - {ValueType.UNKNOWN, ValueType.NULL}:
        view = FeatureView(name="v", entities=[entity], schema=[Field(name="x", dtype=from_value_type(value_type))])
        if value_type in dtypes.KINDS:
            assert dtypes.columns(view)[0].dtype == dtypes.KINDS[value_type].packed
        else:
            with pytest.raises(StoreError, match=r"'x' of view 'v' has type .*cannot keep"):
                dtypes.columns(view)
