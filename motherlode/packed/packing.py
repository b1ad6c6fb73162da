"""From columns to packed rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add
from typing import Any, Final, Self
from zlib import crc32

import numpy as np
import numpy.typing as npt

from motherlode.errors import SchemaError
from motherlode.packed.columns import FIXED, Column, Ragged, Values
from motherlode.packed.forms import LENGTHS, Form
from motherlode.packed.header import FORM
from motherlode.packed.places import BOOL
from motherlode.packed.schema import Schema

_AT_ONCE: Final = 500
"""Rows that stay in the processor's cache while their columns are filled one by one."""
_NARROW: Final = np.iinfo(np.int32)
_MOST: Final = np.array([np.iinfo(f"u{size}").max for size in LENGTHS], dtype=np.int64)
"""The longest that a length of each size can say."""


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
    table = _Table.of(schema, columns, event_us, created_us)
    rows: list[bytes] = [b""] * n
    for form, places in table.forms(schema):
        if places is None:
            return _pack(schema, form, table)
        for place, row in zip(places.tolist(), _pack(schema, form, table.at(places)), strict=True):
            rows[place] = row
    return rows


@dataclass(frozen=True)
class _Table:
    """N rows' values on their way into the record. A null is zero or empty, so that equal rows have equal bytes.

    Attributes:
        event, created: shape (N,), microseconds since 1970 UTC.
        bits: shape (N, …): which columns are null, then the values of those of bools.
        numbers: field of the record → shape (N,), of the other columns of fixed width.
        parts: each variable column's N values as bytes.
        lengths: shape (variable columns, N): theirs.
    """

    event: npt.NDArray[np.int64]
    created: npt.NDArray[np.int64]
    bits: npt.NDArray[np.bool_]
    numbers: Mapping[str, npt.NDArray[Any]]
    parts: Sequence[Sequence[bytes]]
    lengths: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls,
        schema: Schema,
        columns: Mapping[str, Values | Ragged],
        event: npt.NDArray[np.int64],
        created: npt.NDArray[np.int64],
    ) -> Self:
        """A schema's columns, all of one length."""
        n, flag = len(event), len(schema.columns)
        bits = np.zeros((n, flag + sum(column.dtype == BOOL for column in schema.columns)), dtype=np.bool_)
        numbers: dict[str, npt.NDArray[Any]] = {}
        parts: list[Sequence[bytes]] = []
        lengths: list[npt.NDArray[np.int64]] = []
        for i, column in enumerate(schema.columns):
            values = columns[column.name]
            whole = values.valid.all()
            if not whole:
                np.logical_not(values.valid, out=bits[:, i])
            if isinstance(values, Values) and column.fixed:
                data = values.data if whole else np.where(values.valid, values.data, values.data.dtype.type())
                if column.dtype == BOOL:
                    bits[:, flag] = data
                    flag += 1
                else:
                    numbers[f"c{i}"] = data
            elif isinstance(values, Ragged):
                parts.append(values.parts())
                lengths.append(np.diff(values.ends, prepend=0))
            else:
                parts.append(_parts(column, values))
                lengths.append(np.fromiter(map(len, parts[-1]), dtype=np.int64, count=n))
        return cls(event, created, bits, numbers, parts, np.array(lengths, dtype=np.int64).reshape(-1, n))

    def forms(self, schema: Schema) -> Iterator[tuple[Form, npt.NDArray[np.int64] | None]]:
        """The rows' forms, and which rows have each; None: all."""
        n = len(self.event)
        wide, sizes = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.int64)
        for i, column in enumerate(schema.columns):
            if column.dtype == "int64":
                data = self.numbers[f"c{i}"]
                if data.min() < _NARROW.min or data.max() > _NARROW.max:
                    wide |= (data < _NARROW.min) | (data > _NARROW.max)
        if self.lengths.size and self.lengths.max() > _MOST[0]:
            sizes = np.searchsorted(_MOST, self.lengths.max(axis=0))
        if not wide.any() and not sizes.any():
            yield Form(wide=False, length=LENGTHS[0]), None
            return
        kinds = 2 * sizes + wide
        for kind in np.unique(kinds).tolist():
            yield Form(bool(kind % 2), LENGTHS[kind // 2]), np.flatnonzero(kinds == kind)

    def at(self, places: npt.NDArray[np.int64]) -> "_Table":
        """The rows at some places."""
        these = places.tolist()
        return _Table(
            self.event[places],
            self.created[places],
            self.bits[places],
            {field: data[places] for field, data in self.numbers.items()},
            [[column[i] for i in these] for column in self.parts],
            self.lengths[:, places],
        )


def _pack(schema: Schema, form: Form, table: _Table) -> list[bytes]:
    """Rows of one form."""
    n = len(table.event)
    records = np.zeros(n, dtype=schema.places(form).layout)
    records["form"] = form.byte
    records["fingerprint"] = schema.fingerprint
    records["event"] = table.event
    records["created"] = table.created
    records["bits"] = np.packbits(table.bits, axis=1, bitorder="little")
    for start in range(0, n, _AT_ONCE):
        some = records[start : start + _AT_ONCE]
        for field, data in table.numbers.items():
            some[field] = data[start : start + _AT_ONCE]
    if table.parts:
        records["lengths"] = table.lengths.T
    return _rows(records, table.parts)


def _rows(records: npt.NDArray[np.void], parts: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Each record's bytes and its variable part, behind their checksum."""
    size = records.itemsize
    heads = np.ndarray(len(records), dtype=f"V{size - FORM}", buffer=records.data, offset=FORM, strides=(size,))
    bodies: list[bytes] = heads.tolist()
    if parts:
        bodies = list(map(b"".join, zip(bodies, *parts, strict=True)))
    sums = np.fromiter(map(crc32, bodies), dtype="<u4", count=len(bodies))
    return list(map(add, sums.view(f"V{FORM}").tolist(), bodies))


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
