"""What is packed, and that equal values give equal bytes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from motherlode.errors import SchemaError
from motherlode.packed import Column, Ragged, Schema, Values, encode
from tests.motherlode.packed.tables import NOW, columns_of, pack, tables

SCHEMA = Schema("v", (Column("a", "float32"), Column("b", "list<string>")))
ROW = {"a": 1.5, "b": ["x", ""]}


def test_a_row_lies_as_the_documentation_says() -> None:
    """Byte for byte, so that no change of the format goes unseen."""
    schema = Schema("v", (Column("i", "int32"), Column("s", "string"), Column("f", "float32"), Column("b", "bytes")))
    (row,) = pack(schema, [{"i": -2, "s": "é", "f": None, "b": b"xyz"}], event=5)
    head = b"\1\0\0\0" + schema.fingerprint.to_bytes(8, "little") + (5).to_bytes(8, "little") * 2
    fixed = b"\xfe\xff\xff\xff" + bytes(4)
    assert row[4:] == head + bytes([0b0100]) + fixed + b"\2\0\0\0" + b"\5\0\0\0" + "é".encode() + b"xyz"


def test_what_a_null_holds_does_not_show() -> None:
    schema = Schema("v", (Column("a", "float32"), Column("s", "string")))
    times, none = np.array([NOW]), np.array([False])
    one, other = (
        encode(schema, {"a": Values(np.array([a]), none), "s": Values(np.array([s], dtype=object), none)}, times, times)
        for a, s in ((7.0, "seven"), (8.0, None))
    )
    assert one == other


@settings(max_examples=50, deadline=None)
@given(tables())
def test_rows_packed_together_are_those_packed_alone(table: tuple[Schema, list[dict[str, Any]]]) -> None:
    schema, rows = table
    assert pack(schema, rows) == [packed for row in rows for packed in pack(schema, [row])]


def test_columns_as_arrow_keeps_them_give_the_same_rows() -> None:
    schema = Schema("v", (Column("s", "string"), Column("l", "list<float32>")))
    rows: list[dict[str, Any]] = [{"s": "a", "l": [1.0, 2.0]}, {"s": None, "l": []}, {"s": "bcd", "l": None}]
    times = np.full(3, NOW)
    flat = {
        "s": Ragged(b"abcd", np.array([1, 1, 4]), np.array([True, False, True])),
        "l": Ragged(np.array([1, 2], "<f4").tobytes(), np.array([8, 8, 8]), np.array([True, True, False])),
    }
    assert encode(schema, flat, times, times) == pack(schema, rows)


def test_nothing_gives_nothing() -> None:
    assert pack(SCHEMA, []) == []


def test_wrong_columns_are_named() -> None:
    times = np.array([NOW])
    with pytest.raises(SchemaError, match="No values for column 'a'"):
        encode(SCHEMA, {}, times, times)
    two = columns_of(SCHEMA, [ROW, ROW])
    with pytest.raises(SchemaError, match="'a' has 2 rows"):
        encode(SCHEMA, two, times, times)
