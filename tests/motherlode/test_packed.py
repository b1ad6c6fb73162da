"""The packed row: what is written is read, and what was damaged is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.errors import SchemaError
from motherlode.packed import FIXED, HEADER_SIZE, VARIABLE, Column, Schema, Status, Values, decode, encode, tombstone

NOW = 1_800_000_000_000_000
ELEMENTS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "timestamp": st.integers(-(2**60), 2**60),
    "string": st.text(st.characters(codec="utf-8"), max_size=8),
    "bytes": st.binary(max_size=8),
}


def values_of(dtype: str) -> st.SearchStrategy[Any]:
    if dtype.startswith("list<"):
        return st.lists(ELEMENTS[dtype[5:-1]], max_size=4)
    return ELEMENTS[dtype]


@st.composite
def tables(draw: st.DrawFn) -> tuple[Schema, list[dict[str, Any]]]:
    dtypes = draw(st.lists(st.sampled_from([*FIXED, *VARIABLE]), min_size=1, max_size=12))
    schema = Schema("v", tuple(Column(f"f{i}", dtype) for i, dtype in enumerate(dtypes)))
    row = st.fixed_dictionaries({c.name: st.none() | values_of(c.dtype) for c in schema.columns})
    return schema, draw(st.lists(row, min_size=1, max_size=6))


def columns_of(schema: Schema, rows: list[dict[str, Any]]) -> dict[str, Values]:
    columns = {}
    for column in schema.columns:
        valid = np.array([row[column.name] is not None for row in rows])
        if column.fixed:
            data = np.array(
                [0 if row[column.name] is None else row[column.name] for row in rows], dtype=FIXED[column.dtype]
            )
        else:
            data = np.empty(len(rows), dtype=object)
            for i, row in enumerate(rows):
                data[i] = row[column.name]
        columns[column.name] = Values(data, valid)
    return columns


def pack(schema: Schema, rows: list[dict[str, Any]], event: int = NOW) -> list[bytes]:
    times = np.full(len(rows), event, dtype=np.int64)
    return encode(schema, columns_of(schema, rows), times, times)


def same(dtype: str, a: Any, b: Any) -> bool:
    if dtype.startswith("list<"):
        element = dtype[5:-1]
        if element in FIXED:
            return bool(np.array_equal(np.asarray(a, FIXED[element]), np.asarray(b), equal_nan=element[0] == "f"))
        return list(a) == list(b)
    if dtype in FIXED:
        return bool(np.asarray(a, FIXED[dtype]).tobytes() == np.asarray(b, FIXED[dtype]).tobytes()) or (
            a != a and b != b
        )
    return bool(a == b)


@settings(max_examples=150, deadline=None)
@given(tables())
def test_every_row_is_read_back_equal(table: tuple[Schema, list[dict[str, Any]]]) -> None:
    schema, rows = table
    read = decode(pack(schema, rows), schema.columns, {schema.fingerprint: schema}, now_us=NOW)
    assert (read.status == Status.PRESENT).all()
    for column in schema.columns:
        got = read.columns[column.name]
        for i, row in enumerate(rows):
            assert got.valid[i] == (row[column.name] is not None)
            if got.valid[i]:
                assert same(column.dtype, row[column.name], got.data[i])


@settings(max_examples=100, deadline=None)
@given(tables(), st.data())
def test_any_flipped_or_missing_byte_is_refused_and_spares_the_neighbours(
    table: tuple[Schema, list[dict[str, Any]]], data: st.DataObject
) -> None:
    schema, rows = table
    packed = pack(schema, rows)
    whole = packed[0]
    position = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[position] ^= data.draw(st.integers(1, 255))
    damaged = [bytes(flipped), whole[:position], whole + b"\0"]
    read = decode([*damaged, *packed], schema.columns, {schema.fingerprint: schema}, now_us=NOW)
    assert read.status[:3].tolist() == [Status.CORRUPT] * 3
    assert (read.status[3:] == Status.PRESENT).all()
    assert not any(values.valid[:3].any() for values in read.columns.values())


SCHEMA = Schema("v", (Column("a", "float32"), Column("b", "list<string>")))
ROW = {"a": 1.5, "b": ["x", ""]}


def test_stale_unknown_null_and_erased_are_four_different_answers() -> None:
    (row,) = pack(SCHEMA, [ROW])
    (null,) = pack(SCHEMA, [{"a": None, "b": None}])
    read = decode(
        [row, None, null, tombstone(NOW)],
        SCHEMA.columns,
        {SCHEMA.fingerprint: SCHEMA},
        now_us=NOW + 10,
        ttl_us=10,
    )
    assert read.status.tolist() == [Status.PRESENT, Status.UNKNOWN, Status.PRESENT, Status.ERASED]
    assert read.columns["a"].valid.tolist() == [True, False, False, False]
    late = decode([row], SCHEMA.columns, {SCHEMA.fingerprint: SCHEMA}, now_us=NOW + 11, ttl_us=10)
    assert late.status.tolist() == [Status.STALE]
    assert not late.columns["a"].valid[0]
    assert late.event_us[0] == NOW, "a stale row still says how old it is"


def test_a_gained_column_leaves_old_readers_whole_and_a_lost_or_retyped_one_is_refused() -> None:
    old = SCHEMA.columns
    gained = Schema("v", (Column("new", "int64"), *SCHEMA.columns))
    (row,) = pack(gained, [{"new": 7, **ROW}])
    read = decode([row], old, {gained.fingerprint: gained}, now_us=NOW)
    assert read.columns["a"].data[0] == 1.5
    assert read.columns["b"].data[0] == ["x", ""]
    retyped = Schema("v", (Column("a", "float64"), Column("b", "list<string>")))
    (other,) = pack(retyped, [ROW])
    assert decode([other], old, {retyped.fingerprint: retyped}, now_us=NOW).status[0] == Status.CORRUPT
    with pytest.raises(SchemaError, match="'a' of view 'v' is float64, not float32"):
        retyped.require(old)
    with pytest.raises(SchemaError, match="no longer has the column 'a'"):
        Schema("v", (Column("b", "list<string>"),)).require(old)


def test_an_unknown_fingerprint_is_never_guessed() -> None:
    (row,) = pack(SCHEMA, [ROW])
    assert decode([row], SCHEMA.columns, {}, now_us=NOW).status[0] == Status.CORRUPT


def test_the_fingerprint_tells_names_types_and_order_apart() -> None:
    schemas = [
        SCHEMA,
        Schema("w", SCHEMA.columns),
        Schema("v", SCHEMA.columns[::-1]),
        Schema("v", (Column("a", "float64"), Column("b", "list<string>"))),
    ]
    assert len({schema.fingerprint for schema in schemas}) == len(schemas)
    assert Schema.from_json(SCHEMA.to_json()).fingerprint == SCHEMA.fingerprint


def test_the_matrix_has_nan_for_null() -> None:
    rows = pack(SCHEMA, [ROW, {"a": None, "b": []}])
    matrix = decode(rows, SCHEMA.columns, {SCHEMA.fingerprint: SCHEMA}, now_us=NOW).matrix(["a"])
    assert matrix.dtype == np.float32
    assert matrix[0, 0] == 1.5
    assert np.isnan(matrix[1, 0])


def test_nothing_in_nothing_out() -> None:
    assert pack(SCHEMA, []) == []
    assert decode([], SCHEMA.columns, {}, now_us=NOW).status.shape == (0,)


def test_wrong_columns_are_named() -> None:
    times = np.array([NOW])
    with pytest.raises(SchemaError, match="No values for column 'a'"):
        encode(SCHEMA, {}, times, times)
    with pytest.raises(SchemaError, match="type 'decimal'"):
        Column("x", "decimal")
    two = columns_of(SCHEMA, [ROW, ROW])
    with pytest.raises(SchemaError, match="'a' has 2 rows"):
        encode(SCHEMA, two, times, times)


def test_a_tombstone_is_no_longer_than_a_header() -> None:
    assert len(tombstone(NOW)) == HEADER_SIZE
