"""The packed row: what is written is read, and what was damaged is refused."""

import os
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.errors import SchemaError
from motherlode.packed import FEW, HEADER_SIZE, Column, Schema, Status, ViewRows, decode
from motherlode.packed.forms import FORMS
from motherlode.packed.header import FORM
from tests.motherlode.packed import fuzz
from tests.motherlode.packed.tables import EDGES, NOW, alike, pack, same, tables

SCHEMA = Schema("v", (Column("a", "float32"), Column("b", "list<string>")))
ROW = {"a": 1.5, "b": ["x", ""]}


def known(*schemas: Schema) -> dict[int, Schema]:
    return {schema.fingerprint: schema for schema in schemas}


def ways(rows: Sequence[bytes | None], schema: Schema, ttl_us: int | None = None) -> list[ViewRows]:
    """The same rows read as few and as many are; these have unknown entities behind them."""
    return [
        decode(those, schema.columns, known(schema), now_us=NOW, ttl_us=ttl_us)
        for those in (rows, [*rows, *[None] * FEW])
    ]


@settings(max_examples=100, deadline=None)
@given(tables(), st.data())
def test_few_rows_are_read_as_many_are(table: tuple[Schema, list[dict[str, Any]]], data: st.DataObject) -> None:
    """Fresh, stale, unknown, damaged and of a schema that is not ours."""
    schema, sent = table
    strange = pack(Schema("strange", (Column("f0", "bytes"),)), [{"f0": b"?"}])
    rows = [*pack(schema, sent[:3]), *pack(schema, sent[:1], event=NOW - 11), *strange]
    rows = data.draw(st.permutations([*rows, rows[0][:-1], b""]))
    few, many = ways([None, *rows], schema, ttl_us=10)
    alike(few, many, schema)


def test_more_columns_than_a_word_has_bits_are_read() -> None:
    """Nulls and bools beyond the first 64 bits, and nothing but nulls."""
    kinds = [*["bool"] * 70, *["int64"] * 70]
    schema = Schema("v", tuple(Column(f"f{i}", dtype) for i, dtype in enumerate(kinds)))
    row = {c.name: None if i % 3 == 0 else i % 2 if c.dtype == "bool" else i for i, c in enumerate(schema.columns)}
    for read in ways(pack(schema, [row, dict.fromkeys(row)]), schema):
        assert {name: read.python(name)[0] for name in row} == row
        assert all(read.python(name)[1] is None for name in row)


@pytest.mark.parametrize("sizes", [(255, 0), (256, 1), (65_535, 65_535), (65_536, 0), (200, 200)])
def test_texts_of_any_length_are_read(sizes: tuple[int, int]) -> None:
    """Also where all of them together are longer than a length can say."""
    schema = Schema("v", (Column("s", "string"), Column("n", "int64"), Column("b", "bytes")))
    row = {"s": "é" + "s" * (sizes[0] - 2), "n": 2**40, "b": b"b" * sizes[1]}
    for read in ways(pack(schema, [row, {"s": "", "n": 1, "b": None}]), schema):
        assert {name: read.python(name)[0] for name in row} == row
        assert [read.python(name)[1] for name in row] == ["", 1, None]


@pytest.mark.parametrize("number", [*EDGES, 2**60 + 2**36 + 1, -(2**60) - 2**36 - 1])
def test_whole_numbers_of_any_size_go_to_float32_once(number: int) -> None:
    """Not through a float64, which would round the last two to the middle of two float32, and then to the wrong one."""
    schema = Schema("v", (Column("n", "int64"), Column("t", "timestamp")))
    for read in ways(pack(schema, [{"n": number, "t": number}]), schema):
        assert read.python("n")[0] == number
        np.testing.assert_array_equal(read.matrix(["n", "t"])[0], np.array([number] * 2).astype(np.float32))


def test_plain_values_are_pythons_own() -> None:
    kinds = {"o": "bool", "t": "timestamp", "f": "float32", "s": "string", "b": "bytes", "l": "list<bool>"}
    kinds |= {"m": "list<float64>", "w": "list<string>", "e": "list<int64>"}
    schema = Schema("v", tuple(Column(name, dtype) for name, dtype in kinds.items()))
    row = {"o": True, "t": NOW, "f": float("nan"), "s": "é", "b": b"\0", "l": [True, False]}
    row |= {"m": [0.5], "w": ["a", ""], "e": []}
    for read in ways(pack(schema, [row]), schema):
        found = {name: read.python(name)[0] for name in row}
        assert repr(found) == repr(row)
        assert read.stored("m")[0] == np.array([0.5]).tobytes()
        assert read.stored("w")[0] == ["a", ""]


@settings(max_examples=100, deadline=None)
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
    assert {tuple(decode([bad], schema.columns, known(schema), now_us=NOW).statuses) for bad in damaged} == {(3,)}
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
    body = sample[FORM:HEADER_SIZE] + bytes(1) + sample[HEADER_SIZE + 1 : -1] + bytes([len(tail)]) + tail
    bad = crc32(body).to_bytes(4, "little") + body
    for read in ways([bad, good], schema):
        assert read.statuses[:2] == [Status.CORRUPT, Status.PRESENT]
        assert read.columns["n"].valid[:2].tolist() == [False, True]
        assert read.python("n")[:2] == [None, 1]
        assert np.isnan(read.matrix(["n"])[0, 0])


@pytest.mark.parametrize("lengths", [b"\2\2", b"\0\2", b"\xff\xff"])
def test_lengths_that_are_not_the_rows_are_refused_whatever_the_checksum_says(lengths: bytes) -> None:
    schema = Schema("v", (Column("x", "string"), Column("y", "string")))
    (row,) = pack(schema, [{"x": "ab", "y": "c"}])
    assert row.endswith(b"\2\1abc")
    body = row[FORM:-5] + lengths + b"abc"
    for read in ways([crc32(body).to_bytes(4, "little") + body], schema):
        assert read.statuses[0] == Status.CORRUPT


def test_a_row_of_another_format_version_is_refused() -> None:
    """An earlier one, a later one, and forms of this version that there are none of."""
    (row,) = pack(SCHEMA, [ROW])
    for form in set(range(256)) - FORMS.keys():
        body = bytes([form]) + row[FORM + 1 :]
        for read in ways([crc32(body).to_bytes(4, "little") + body], SCHEMA):
            assert read.statuses[0] == Status.CORRUPT


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


@pytest.mark.parametrize("name", ["b", "c"])
def test_a_matrix_of_what_is_no_number_is_refused_whether_or_not_a_row_can_be_read(name: str) -> None:
    for rows in (pack(SCHEMA, [ROW]), [None], [b"damaged"]):
        for read in ways(rows, SCHEMA):
            with pytest.raises(SchemaError, match=f"Column '{name}'.* is no number"):
                read.matrix(["a", name])


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
    nothing = decode([], SCHEMA.columns, {}, now_us=NOW)
    assert nothing.status.shape == nothing.columns["a"].data.shape == nothing.columns["b"].valid.shape == (0,)
    assert nothing.python("a") == nothing.statuses == nothing.events == []
    assert nothing.matrix(["a"]).shape == (0, 1)
    read = decode([None, None], SCHEMA.columns, {}, now_us=NOW)
    assert read.matrix(["a"]).shape == (2, 1)
    assert not any(values.valid.any() for values in read.columns.values())


def test_who_wants_no_column_is_told_the_status() -> None:
    for rows in ([None], [None] * (FEW + 1)):
        read = decode([*pack(SCHEMA, [ROW]), *rows], (), known(SCHEMA), now_us=NOW)
        assert read.statuses == [Status.PRESENT, *[Status.UNKNOWN] * len(rows)]
        assert read.events[0] == NOW
        assert not read.columns
        assert read.matrix([]).shape == (1 + len(rows), 0)
