"""Columns change form without changing a value: Polars to packed."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.stores import dtypes
from feature_repo.stores.values import from_series
from motherlode.errors import DataError
from motherlode.packed import Column, Ragged, Schema, Values, decode, encode

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


def through(values: Values | Ragged, column: Column) -> Values:
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
    floats, texts = Column("x", "list<float32>"), Column("x", "list<string>")
    holed = from_series(pl.Series("x", [[1.0, None]], dtype=pl.List(pl.Float32)), floats)
    np.testing.assert_equal(plain(through(holed, floats)), [[1.0, float("nan")]])
    holed = from_series(pl.Series("x", [["a", None], None, []]), texts)
    assert plain(through(holed, texts)) == [["a", ""], None, []]
    with pytest.raises(DataError, match=r"'x' \(list<int64>\) holds a null"):
        from_series(pl.Series("x", [[1, None]]), Column("x", "list<int64>"))


def test_a_slice_of_a_column_is_packed_as_the_slice() -> None:
    """Arrow keeps a slice as an offset into the whole; nulls may keep bytes."""
    column = Column("x", "string")
    whole = pl.concat([pl.Series("x", ["a", None, "long enough to lie apart", ""]), pl.Series("x", [None, "é", "z"])])
    for start in range(len(whole)):
        for length in range(len(whole) - start + 1):
            piece = whole.slice(start, length)
            assert plain(through(from_series(piece, column), column)) == piece.to_list()
