"""Columns change form without changing a value: Polars to packed, Feast's protos to packed and back."""

import decimal
import uuid
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.types import from_value_type
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.stores import dtypes
from feature_repo.stores.values import from_protos, from_series, to_protos
from motherlode.errors import DataError, StoreError
from motherlode.packed import Column, Schema, Values, decode, encode

TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
MICROS = st.integers(-(10**15), 10**16)
ELEMENTS: dict[str, Any] = {
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "timestamp": MICROS,
    "string": TEXT,
    "bytes": st.binary(max_size=5),
}


def through(values: Values, column: Column) -> Values:
    """Packed and unpacked again, as a reader gets it."""
    schema = Schema("v", (column,))
    stamps = np.ones(len(values.valid), dtype=np.int64)
    rows = encode(schema, {column.name: values}, stamps, stamps)
    return decode(rows, [column], {schema.fingerprint: schema}, now_us=2).columns[column.name]


def plain(values: Values) -> list[Any]:
    """Python values, None where null."""
    return [
        None if not ok else value.tolist() if isinstance(value, np.ndarray) else value
        for value, ok in zip(values.data.tolist(), values.valid.tolist(), strict=True)
    ]


@pytest.mark.parametrize("packed", [*ELEMENTS, *(f"list<{name}>" for name in ELEMENTS)])
@given(data=st.data())
def test_a_polars_column_is_read_back_equal(packed: str, data: st.DataObject) -> None:
    element = ELEMENTS[packed.removeprefix("list<").removesuffix(">")]
    value = st.lists(element, max_size=4) if packed.startswith("list<") else element
    given_values = data.draw(st.lists(st.one_of(st.none(), value), max_size=6))
    ticks = {"timestamp": pl.Int64(), "list<timestamp>": pl.List(pl.Int64())}
    series = pl.Series("x", given_values, dtype=ticks.get(packed, dtypes.polars_type(packed)))
    found = plain(
        through(from_series(series.cast(dtypes.polars_type(packed)), Column("x", packed)), Column("x", packed))
    )
    expected = series.to_list()
    if packed == "list<bool>":
        found = [None if row is None else list(map(bool, row)) for row in found]
    np.testing.assert_equal(found, expected)


def test_a_null_inside_a_list_is_nan_or_empty_text_or_refused() -> None:
    floats = from_series(pl.Series("x", [[1.0, None]], dtype=pl.List(pl.Float32)), Column("x", "list<float32>"))
    np.testing.assert_equal(plain(floats), [[1.0, float("nan")]])
    texts = from_series(pl.Series("x", [["a", None], None, []]), Column("x", "list<string>"))
    assert plain(texts) == [["a", ""], None, []]
    with pytest.raises(DataError, match=r"'x' \(list<int64>\) holds a null"):
        from_series(pl.Series("x", [[1, None]]), Column("x", "list<int64>"))


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
