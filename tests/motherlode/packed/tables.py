"""Tables of every type, their rows, and what it means that two values are the same."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from motherlode.packed import FIXED, VARIABLE, Column, Schema, Values, ViewRows, encode

NOW = 1_800_000_000_000_000
EDGES = (0, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63))
"""Whole numbers at which one form ends and another begins, or a float no longer holds them."""
SIZES = (255, 256, 65_535, 65_536)
"""Lengths likewise."""
ELEMENTS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.sampled_from(EDGES) | st.integers(-(2**31), 2**31 - 1) | st.integers(-(2**63), 2**63 - 1),
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "timestamp": st.integers(-(2**63), 2**63 - 1),
    "string": st.text(st.characters(codec="utf-8"), max_size=8),
    "bytes": st.binary(max_size=8),
}


def values_of(dtype: str) -> st.SearchStrategy[Any]:
    return st.lists(ELEMENTS[dtype[5:-1]], max_size=4) if dtype.startswith("list<") else ELEMENTS[dtype]


@st.composite
def tables(draw: st.DrawFn, most: int = 12) -> tuple[Schema, list[dict[str, Any]]]:
    dtypes = draw(st.lists(st.sampled_from([*FIXED, *VARIABLE]), min_size=1, max_size=most))
    schema = Schema("v", tuple(Column(f"f{i}", dtype) for i, dtype in enumerate(dtypes)))
    row = st.fixed_dictionaries({c.name: st.none() | values_of(c.dtype) for c in schema.columns})
    return schema, draw(st.lists(row, min_size=1, max_size=6))


def columns_of(schema: Schema, rows: list[dict[str, Any]]) -> dict[str, Values]:
    columns = {}
    for column in schema.columns:
        held = [row[column.name] for row in rows]
        valid = np.array([value is not None for value in held])
        if column.fixed:
            data = np.array([0 if value is None else value for value in held], dtype=FIXED[column.dtype])
        else:
            data = np.fromiter(held, dtype=object, count=len(held))
        columns[column.name] = Values(data, valid)
    return columns


def pack(schema: Schema, rows: list[dict[str, Any]], event: int = NOW) -> list[bytes]:
    times = np.full(len(rows), event, dtype=np.int64)
    return encode(schema, columns_of(schema, rows), times, times)


def same(dtype: str, a: Any, b: Any) -> bool:
    """Bit for bit, but that one NaN is as good as another."""
    if dtype.startswith("list<"):
        element = dtype[5:-1]
        if element in FIXED:
            return bool(np.array_equal(np.asarray(a, FIXED[element]), np.asarray(b), equal_nan=element[0] == "f"))
        return list(a) == list(b)
    if dtype in FIXED:
        return bool(
            np.asarray(a, FIXED[dtype]).tobytes() == np.asarray(b, FIXED[dtype]).tobytes() or (a != a and b != b)
        )
    return bool(a == b)


def alike(few: ViewRows, many: ViewRows, schema: Schema) -> None:
    """Rows read the one way are the first of those read the other way, in whatever form they are asked for.

    Raises:
        AssertionError: they are not.
    """
    n = len(few.statuses)
    assert few.status.dtype == many.status.dtype
    assert few.event_us.dtype == many.event_us.dtype
    for rows in (few, many):
        assert rows.status.tolist() == rows.statuses
        assert rows.event_us.tolist() == rows.events
    assert few.statuses == many.statuses[:n]
    assert few.events == many.events[:n]
    assert list(few.columns) == list(many.columns)
    for column in schema.columns:
        one, other = few.columns[column.name], many.columns[column.name]
        assert one.valid.tolist() == other.valid[:n].tolist()
        assert one.data.dtype == other.data.dtype
        shown = one.valid
        for a, b in zip(one.data[shown], other.data[:n][shown], strict=True):
            assert type(a) is type(b)
            assert same(column.dtype, a, b)
        # As text, in which NaN is NaN.
        assert repr(few.python(column.name)) == repr(many.python(column.name)[:n])
        assert repr(few.stored(column.name)) == repr(many.stored(column.name)[:n])
    numbers = [column.name for column in schema.columns if column.fixed]
    np.testing.assert_array_equal(few.matrix(numbers), many.matrix(numbers)[:n])
