"""From columns to packed rows."""

from collections.abc import Mapping, Sequence
from operator import add
from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from motherlode.errors import SchemaError
from motherlode.packed.columns import FIXED, Column, Ragged, Values
from motherlode.packed.schema import FORMAT_VERSION, Schema

_AT_ONCE: Final = 500
"""Rows that stay in the processor's cache while their columns are filled one by one."""


def encode(
    schema: Schema,
    columns: Mapping[str, Values | Ragged],
    event_us: npt.NDArray[np.int64],
    created_us: npt.NDArray[np.int64],
) -> list[bytes]:
    """Pack N rows.

    Args:
        schema: what the rows hold.
        columns: each schema column's N values; those of variable types may be `Ragged`, which costs least.
        event_us, created_us: shape (N,), microseconds since 1970 UTC.

    Returns:
        N rows, as `decode` reads them. Equal values give equal bytes.

    Raises:
        SchemaError: a column is missing or has another length than the times.
    """
    n = len(event_us)
    for column in schema.columns:
        if column.name not in columns:
            raise SchemaError(f"No values for column {column.name!r} of view {schema.view!r}.", "Give all its columns.")
        if len(columns[column.name].valid) != n:
            raise SchemaError(
                f"Column {column.name!r} has {len(columns[column.name].valid)} rows, the event times {n}.",
                "Give one value a row.",
            )
    if n == 0:
        return []
    records = np.zeros(n, dtype=schema.layout)
    records["version"] = FORMAT_VERSION
    records["fingerprint"] = schema.fingerprint
    records["event"] = event_us
    records["created"] = created_us
    fixed: list[tuple[str, npt.NDArray[Any]]] = []
    nulls = np.zeros((n, len(schema.columns)), dtype=np.bool_)
    parts: list[list[bytes]] = []
    lengths: list[npt.NDArray[np.int64]] = []
    for i, column in enumerate(schema.columns):
        values = columns[column.name]
        whole = values.valid.all()
        if not whole:
            np.logical_not(values.valid, out=nulls[:, i])
        if isinstance(values, Values) and column.fixed:
            # A null's bytes are zero, so that equal rows have equal bytes.
            zero = values.data.dtype.type()
            fixed.append((f"c{i}", values.data if whole else np.where(values.valid, values.data, zero)))
        elif isinstance(values, Ragged):
            parts.append(values.parts())
            lengths.append(np.diff(values.ends, prepend=0))
        else:
            parts.append(_parts(column, values))
            lengths.append(np.fromiter(map(len, parts[-1]), dtype=np.int64, count=n))
    for start in range(0, n, _AT_ONCE):
        some = records[start : start + _AT_ONCE]
        for field, data in fixed:
            some[field] = data[start : start + _AT_ONCE]
    records["nulls"] = np.packbits(nulls, axis=1, bitorder="little")
    if parts:
        records["ends"] = np.cumsum(lengths, axis=0).T
    return _rows(records, parts)


def _rows(records: npt.NDArray[np.void], parts: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Each record's bytes and its variable part, behind their checksum."""
    size = records.itemsize
    heads = np.ndarray(len(records), dtype=f"V{size - 4}", buffer=records.data, offset=4, strides=(size,))
    bodies: list[bytes] = heads.tolist()
    if parts:
        bodies = list(map(b"".join, zip(bodies, *parts, strict=True)))
    sums = np.fromiter(map(crc32, bodies), dtype="<u4", count=len(bodies))
    return list(map(add, sums.view("V4").tolist(), bodies))


def _parts(column: Column, values: Values) -> list[bytes]:
    return [
        _to_bytes(column.dtype, value) if ok else b""
        for value, ok in zip(values.data.tolist(), values.valid.tolist(), strict=True)
    ]


def _to_bytes(dtype: str, value: Any) -> bytes:
    if dtype == "string":
        return str(value).encode()
    if dtype == "bytes":
        return bytes(value)
    element = dtype[5:-1]
    if element in FIXED:
        return np.asarray(value, dtype=FIXED[element]).tobytes()
    parts = [item.encode() if isinstance(item, str) else bytes(item) for item in value]
    ends = np.cumsum([0, *map(len, parts)], dtype="<u4")
    return len(parts).to_bytes(4, "little") + ends[1:].tobytes() + b"".join(parts)
