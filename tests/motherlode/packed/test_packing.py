"""What is packed, and that equal values give equal bytes."""

from typing import Any, Final
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings

from motherlode.errors import SchemaError
from motherlode.packed import HEADER_SIZE, Column, Ragged, Schema, Values, decode, encode
from motherlode.packed.forms import Form
from motherlode.packed.header import FORM
from tests.motherlode.packed.tables import NOW, columns_of, pack, tables

SCHEMA = Schema("v", (Column("a", "float32"), Column("b", "list<string>")))
ROW = {"a": 1.5, "b": ["x", ""]}
STRING_HEADER: Final = 6
"""Bytes that Redis keeps with a value of more than 255: its length, its room, its kind, and a zero."""


def test_a_row_lies_as_the_documentation_says() -> None:
    """Byte for byte, so that no change of the format goes unseen."""
    names = {"i": "int32", "s": "string", "f": "float32", "n": "int64", "o": "bool", "b": "bytes", "p": "bool"}
    schema = Schema("v", tuple(Column(name, dtype) for name, dtype in names.items()))
    values = {"i": -2, "s": "é", "f": None, "n": -3, "o": False, "b": b"xyz", "p": True}
    (row,) = pack(schema, [values], event=5)
    head = schema.fingerprint.to_bytes(4, "little") + (5).to_bytes(8, "little") * 2
    bits = (0b10_0000100).to_bytes(2, "little")
    fixed = b"\xfe\xff\xff\xff" + bytes(4)
    assert row[4:] == b"\x02" + head + bits + fixed + b"\xfd\xff\xff\xff" + b"\2\3" + "é".encode() + b"xyz"
    (wide,) = pack(schema, [values | {"n": -(2**40), "b": b"x" * 256}], event=5)
    eight = (-(2**40)).to_bytes(8, "little", signed=True)
    assert wide[4:] == b"\x32" + head + bits + fixed + eight + b"\2\0\0\1" + "é".encode() + b"x" * 256
    assert row[:4] == crc32(row[4:]).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("values", "wide", "length"),
    [
        ({"n": 2**31 - 1, "m": -(2**31), "s": "x" * 255}, False, 1),
        ({"n": 2**31, "m": 0, "s": ""}, True, 1),
        ({"n": 0, "m": -(2**31) - 1, "s": ""}, True, 1),
        ({"n": None, "m": None, "s": "x" * 256}, False, 2),
        ({"n": 2**63 - 1, "m": -(2**63), "s": "x" * 65_535}, True, 2),
        ({"n": 1, "m": 1, "s": "x" * 65_536}, False, 4),
    ],
)
def test_a_row_takes_the_narrowest_form_that_holds_it(values: dict[str, Any], wide: bool, length: int) -> None:
    """Whatever its neighbours take; a timestamp always takes eight bytes."""
    schema = Schema("v", (Column("n", "int64"), Column("t", "timestamp"), Column("m", "int64"), Column("s", "string")))
    small = {"n": 1, "m": 2, "s": "a", "t": None}
    before, row, after = pack(schema, [small, values | {"t": NOW}, small])
    assert row[FORM] == Form(wide, length).byte
    text = len(values["s"])
    assert len(row) == HEADER_SIZE + 1 + 8 + 2 * (8 if wide else 4) + length + text
    assert before == after == pack(schema, [small])[0]
    read = decode([before, row, after], schema.columns, {schema.fingerprint: schema}, now_us=NOW)
    assert read.python("n") == [1, values["n"], 1]
    assert read.python("m") == [2, values["m"], 2]
    assert read.python("s") == ["a", values["s"], "a"]


def test_the_benchs_row_of_fifty_mixed_columns_fits_in_320_bytes_with_what_redis_adds() -> None:
    kinds = {"float32": 30, "int64": 8, "bool": 4, "string": 4, "timestamp": 2, "list<float32>": 2}
    columns = [Column(f"{kind}_{i}", kind) for kind, count in kinds.items() for i in range(count)]
    sample = {"float32": 0.5, "int64": 999_999, "bool": True, "string": "value 999", "timestamp": NOW}
    row = {c.name: sample.get(c.dtype, [0.5] * 8) for c in columns}
    (packed,) = pack(Schema("v", tuple(columns)), [row])
    assert len(packed) + STRING_HEADER <= 320


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
