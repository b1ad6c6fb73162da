"""Tables of every type, their rows, and what it means that two values are the same."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from motherlode.packed import FIXED, VARIABLE, Column, Schema, Values, encode

NOW = 1_800_000_000_000_000
ELEMENTS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
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
