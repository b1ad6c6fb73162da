"""The packed row: what is written is read, and what was damaged is refused."""

import os
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.errors import SchemaError
from motherlode.packed import Column, Schema, Status, decode
from tests.motherlode.packed import fuzz
from tests.motherlode.packed.tables import NOW, pack, same, tables

SCHEMA = Schema("v", (Column("a", "float32"), Column("b", "list<string>")))
ROW = {"a": 1.5, "b": ["x", ""]}


def known(*schemas: Schema) -> dict[int, Schema]:
    return {schema.fingerprint: schema for schema in schemas}


@settings(max_examples=150, deadline=None)
@given(tables(), st.data())
def test_every_row_is_read_back_equal_among_others(
    table: tuple[Schema, list[dict[str, Any]]], data: st.DataObject
) -> None:
    """Every type, nulls, empty texts, NaN, extremes; beside unknown entities and rows of a schema that is not ours."""
    schema, rows = table
    strange = pack(Schema("strange", (Column("f0", "bytes"),)), [{"f0": b"?"}])
    mixed = data.draw(st.permutations([*zip(pack(schema, rows), rows, strict=True), (None, None), (strange[0], None)]))
    read = decode([row for row, _ in mixed], schema.columns, known(schema), now_us=NOW)
    for i, (packed, row) in enumerate(mixed):
        status = Status.PRESENT if row else Status.UNKNOWN if packed is None else Status.CORRUPT
        assert read.status[i] == status
        assert read.event_us[i] == (NOW if row else 0)
        for column in schema.columns:
            got, sent = read.columns[column.name], row and row[column.name]
            assert got.valid[i] == (sent is not None)
            assert sent is None or same(column.dtype, sent, got.data[i])


@settings(max_examples=60, deadline=None)
@given(tables(most=6), st.integers(1, 255))
def test_any_flipped_missing_or_added_byte_is_refused_and_spares_the_neighbours(
    table: tuple[Schema, list[dict[str, Any]]], flip: int
) -> None:
    """At every place: the checksum, the header, the nulls, the ends, the values."""
    schema, rows = table
    packed = pack(schema, rows)
    whole = packed[0]
    flipped = [whole[:i] + bytes([byte ^ flip]) + whole[i + 1 :] for i, byte in enumerate(whole)]
    damaged = [*flipped, *(whole[:i] for i in range(len(whole))), whole + bytes([flip]), whole + whole]
    read = decode([*damaged, *packed], schema.columns, known(schema), now_us=NOW)
    assert (read.status[: len(damaged)] == Status.CORRUPT).all()
    assert (read.status[len(damaged) :] == Status.PRESENT).all()
    assert not any(values.valid[: len(damaged)].any() for values in read.columns.values())


def test_bytes_that_nobody_packed_are_never_read() -> None:
    """A second of it; MOTHERLODE_FUZZ_S for longer, from a seed that goes on where MOTHERLODE_FUZZ_SEED says."""
    seconds, seed = os.environ.get("MOTHERLODE_FUZZ_S", "1"), os.environ.get("MOTHERLODE_FUZZ_SEED", "0")
    assert fuzz.main(float(seconds), int(seed)) > 10


@pytest.mark.parametrize(
    ("dtype", "tail"),
    [
        ("string", b"\xff"),
        ("list<float64>", bytes(9)),
        ("list<string>", b""),
        ("list<string>", b"\1\0\0\0\2\0\0\0a"),
        ("list<string>", b"\1\0\0\0\1\0\0\0\xff"),
        ("list<bytes>", b"\2\0\0\0\5\0\0\0\1\0\0\0a"),
        ("list<bytes>", b"\xff\xff\xff\xff"),
    ],
)
def test_a_value_that_is_none_of_its_type_is_refused_whatever_its_checksum_says(dtype: str, tail: bytes) -> None:
    schema = Schema("v", (Column("n", "int64"), Column("x", dtype)))
    good, sample = pack(schema, [{"n": 1, "x": None}, {"n": 2, "x": None}])
    body = sample[4:32] + bytes(1) + sample[33 : schema.layout.itemsize - 4] + len(tail).to_bytes(4, "little") + tail
    read = decode([crc32(body).to_bytes(4, "little") + body, good], schema.columns, known(schema), now_us=NOW)
    assert read.status.tolist() == [Status.CORRUPT, Status.PRESENT]
    assert read.columns["n"].valid.tolist() == [False, True]
    assert np.isnan(read.matrix(["n"])[0, 0])


def test_ends_that_go_back_are_refused_whatever_the_checksum_says() -> None:
    schema = Schema("v", (Column("x", "string"), Column("y", "string")))
    (row,) = pack(schema, [{"x": "ab", "y": "c"}])
    at = schema.layout.itemsize - 8
    body = row[4:at] + (4).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"
    read = decode([crc32(body).to_bytes(4, "little") + body], schema.columns, known(schema), now_us=NOW)
    assert read.status.tolist() == [Status.CORRUPT]


def test_a_row_of_another_format_version_is_refused() -> None:
    (row,) = pack(SCHEMA, [ROW])
    body = b"\2" + row[5:]
    later = crc32(body).to_bytes(4, "little") + body
    assert decode([later], SCHEMA.columns, known(SCHEMA), now_us=NOW).status[0] == Status.CORRUPT


def test_stale_unknown_and_null_are_three_different_answers() -> None:
    (row,) = pack(SCHEMA, [ROW])
    (null,) = pack(SCHEMA, [{"a": None, "b": None}])
    read = decode([row, None, null], SCHEMA.columns, known(SCHEMA), now_us=NOW + 10, ttl_us=10)
    assert read.status.tolist() == [Status.PRESENT, Status.UNKNOWN, Status.PRESENT]
    assert read.columns["a"].valid.tolist() == [True, False, False]
    late = decode([row], SCHEMA.columns, known(SCHEMA), now_us=NOW + 11, ttl_us=10)
    assert late.status.tolist() == [Status.STALE]
    assert not late.columns["a"].valid[0]
    assert np.isnan(late.matrix(["a"])[0, 0])
    assert late.event_us[0] == NOW, "a stale row still says how old it is"


def test_the_oldest_time_there_is_is_stale_and_the_newest_is_not() -> None:
    (first,), (last,) = pack(SCHEMA, [ROW], event=-(2**63)), pack(SCHEMA, [ROW], event=2**63 - 1)
    read = decode([first, last], SCHEMA.columns, known(SCHEMA), now_us=NOW, ttl_us=10)
    assert read.status.tolist() == [Status.STALE, Status.PRESENT]


def test_a_gained_column_leaves_old_readers_whole_and_a_lost_or_retyped_one_is_refused() -> None:
    gained = Schema("v", (Column("new", "int64"), *SCHEMA.columns))
    retyped = Schema("v", (Column("a", "float64"), Column("b", "list<string>")))
    lost = Schema("v", (Column("b", "list<string>"),))
    rows = [pack(schema, [{"new": 7, **ROW}])[0] for schema in (gained, SCHEMA, retyped, lost)]
    read = decode(rows, SCHEMA.columns, known(gained, SCHEMA, retyped, lost), now_us=NOW)
    assert read.status.tolist() == [Status.PRESENT, Status.PRESENT, Status.CORRUPT, Status.CORRUPT]
    assert read.columns["a"].data[:2].tolist() == [1.5, 1.5]
    assert read.columns["b"].data[:2].tolist() == [["x", ""]] * 2
    np.testing.assert_equal(read.matrix(["a"]), [[1.5], [1.5], [np.nan], [np.nan]])


def test_an_unknown_fingerprint_is_never_guessed() -> None:
    (row,) = pack(SCHEMA, [ROW])
    assert decode([row], SCHEMA.columns, {}, now_us=NOW).status[0] == Status.CORRUPT


@settings(max_examples=60, deadline=None)
@given(tables(), st.data())
def test_the_matrix_is_its_columns_in_any_order_with_nan_for_null(
    table: tuple[Schema, list[dict[str, Any]]], data: st.DataObject
) -> None:
    schema, rows = table
    numbers = [column.name for column in schema.columns if column.fixed]
    names = data.draw(st.permutations(numbers * 2).map(lambda every: every[: len(numbers) + 1]))
    read = decode([*pack(schema, rows), None], schema.columns, known(schema), now_us=NOW)
    matrix = read.matrix(names)
    assert matrix.dtype == np.float32
    assert matrix.shape == (len(rows) + 1, len(names))
    for i, name in enumerate(names):
        values = read.columns[name]
        with np.errstate(over="ignore"):
            expected = np.where(values.valid, values.data, np.nan).astype(np.float32)
        np.testing.assert_array_equal(matrix[:, i], expected)


def test_a_text_is_no_number_of_a_matrix() -> None:
    rows = pack(SCHEMA, [ROW])
    with pytest.raises(SchemaError, match="'b' of view 'v' is no number"):
        decode(rows, SCHEMA.columns, known(SCHEMA), now_us=NOW).matrix(["a", "b"])


def test_columns_are_those_that_were_wanted() -> None:
    read = decode(pack(SCHEMA, [ROW]), SCHEMA.columns[:1], known(SCHEMA), now_us=NOW)
    assert list(read.columns) == ["a"]
    with pytest.raises(KeyError):
        read.columns["b"]


def test_nothing_gives_nothing_and_nobody_known_gives_nulls() -> None:
    assert decode([], SCHEMA.columns, {}, now_us=NOW).status.shape == (0,)
    read = decode([None, None], SCHEMA.columns, {}, now_us=NOW)
    assert read.matrix(["a"]).shape == (2, 1)
    assert not any(values.valid.any() for values in read.columns.values())
