"""The packed online row: `feature_repo` writes it, `serving` reads it.

One Redis value per (project, view, entity): a header, a null bitmap, the fixed-width columns
little-endian, then the variable part. A column of N rows is encoded and decoded as one NumPy view.

    offset  bytes  field
    0       4      CRC-32 of everything behind it
    4       1      format version (1)
    5       1      flags; bit 0: tombstone, the customer was erased
    6       2      zero
    8       8      schema fingerprint
    16      8      event time, microseconds since 1970 UTC
    24      8      created time, microseconds since 1970 UTC
    32      ⌈n/8⌉  null bitmap, bit i set where column i is null, least significant bit first
    …              the fixed-width columns in schema order
    …       4·v    per variable column: where it ends in the variable part
    …              the variable part
"""

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from motherlode.errors import SchemaError

FORMAT_VERSION: Final = 1
HEADER_SIZE: Final = 32
_TOMBSTONE: Final = 1

FIXED: Final[Mapping[str, str]] = {
    "bool": "u1",
    "int32": "<i4",
    "int64": "<i8",
    "float32": "<f4",
    "float64": "<f8",
    "timestamp": "<i8",  # microseconds since 1970 UTC
}
"""Fixed-width column types and their NumPy storage."""

LISTS: Final = tuple(f"list<{element}>" for element in (*FIXED, "string", "bytes"))
VARIABLE: Final = ("string", "bytes", *LISTS)


class Status(IntEnum):
    """What became of one entity's row in one view."""

    PRESENT = 0
    UNKNOWN = 1
    """No row: the entity was never written, or its key was freed."""
    STALE = 2
    """Older than the view's time to live: every value reads as null."""
    CORRUPT = 3
    """Bytes that fail their checksum, or of a schema that cannot serve the reader: every value null."""
    ERASED = 4
    """A tombstone: the customer asked to be forgotten."""


class Column(msgspec.Struct, frozen=True):
    """A column's name and type (a key of `FIXED`, or one of `VARIABLE`)."""

    name: str
    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in FIXED and self.dtype not in VARIABLE:
            raise SchemaError(
                f"Column {self.name!r} has type {self.dtype!r}.", f"Use one of {', '.join((*FIXED, *VARIABLE))}."
            )

    @property
    def fixed(self) -> bool:
        return self.dtype in FIXED


@dataclass(frozen=True)
class Values:
    """One column of N rows.

    Attributes:
        data: shape (N,). Fixed types: their NumPy type, with any value where null. Strings, bytes and
            lists: dtype object, holding str, bytes, or a NumPy array (lists of strings and bytes: a list).
        valid: shape (N,), bool; False is null.
    """

    data: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]


class Schema(msgspec.Struct, frozen=True, dict=True):
    """The columns of one view's rows, in the order they are stored."""

    view: str
    columns: tuple[Column, ...]

    @cached_property
    def fingerprint(self) -> int:
        """64 bits of SHA-256 over the view's name and its columns."""
        return int.from_bytes(hashlib.sha256(self.to_json()).digest()[:8], "little")

    def to_json(self) -> bytes:
        return msgspec.json.encode(self, order="deterministic")

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        return msgspec.json.decode(data, type=cls)

    @cached_property
    def variable_columns(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if not column.fixed)

    @cached_property
    def layout(self) -> np.dtype[np.void]:
        """The NumPy record of everything before the variable part."""
        return np.dtype(
            [
                ("crc", "<u4"),
                ("version", "u1"),
                ("flags", "u1"),
                ("zero", "<u2"),
                ("fingerprint", "<u8"),
                ("event", "<i8"),
                ("created", "<i8"),
                ("nulls", "u1", ((len(self.columns) + 7) // 8,)),
                *((f"c{i}", FIXED[c.dtype]) for i, c in enumerate(self.columns) if c.fixed),
                ("ends", "<u4", (len(self.variable_columns),)),
            ]
        )

    def require(self, columns: Iterable[Column]) -> None:
        """Check that every wanted column is here with the wanted type.

        Raises:
            SchemaError: one is missing or was retyped, naming it.
        """
        here = {column.name: column.dtype for column in self.columns}
        for column in columns:
            if column.name not in here:
                raise SchemaError(
                    f"View {self.view!r} no longer has the column {column.name!r}.",
                    "Train and publish a bundle without it, or restore the column.",
                )
            if here[column.name] != column.dtype:
                raise SchemaError(
                    f"Column {column.name!r} of view {self.view!r} is {here[column.name]}, not {column.dtype}.",
                    "Train and publish a bundle on the new type, or restore the old one.",
                )


# --------------------------------------------------------------------------- encode


def encode(
    schema: Schema,
    columns: Mapping[str, Values],
    event_us: npt.NDArray[np.int64],
    created_us: npt.NDArray[np.int64],
) -> list[bytes]:
    """Pack N rows.

    Args:
        schema: what the rows hold.
        columns: each schema column's N values.
        event_us, created_us: shape (N,), microseconds since 1970 UTC.

    Returns:
        N rows, as `decode` reads them.

    Raises:
        SchemaError: a column is missing or has another length than the times.
    """
    n = len(event_us)
    for column in schema.columns:
        if column.name not in columns:
            raise SchemaError(f"No values for column {column.name!r} of view {schema.view!r}.", "Give all its columns.")
        if len(columns[column.name].data) != n:
            raise SchemaError(
                f"Column {column.name!r} has {len(columns[column.name].data)} rows, the event times {n}.",
                "Give one value a row.",
            )
    if n == 0:
        return []
    records = np.zeros(n, dtype=schema.layout)
    records["version"] = FORMAT_VERSION
    records["fingerprint"] = schema.fingerprint
    records["event"] = event_us
    records["created"] = created_us
    nulls = np.zeros((n, len(schema.columns)), dtype=np.bool_)
    for i, column in enumerate(schema.columns):
        values = columns[column.name]
        nulls[:, i] = ~values.valid
        if column.fixed:
            # A null's bytes are zero, so that equal rows have equal bytes.
            records[f"c{i}"] = np.where(values.valid, values.data, np.zeros(1, values.data.dtype))
    records["nulls"] = np.packbits(nulls, axis=1, bitorder="little")
    tails = _encode_variable(schema, columns, records) if schema.variable_columns else None
    size = schema.layout.itemsize
    heads = memoryview(records.tobytes())
    rows: list[bytes] = []
    for i in range(n):
        body = bytes(heads[i * size + 4 : (i + 1) * size])
        if tails is not None:
            body += tails[i]
        rows.append(zlib.crc32(body).to_bytes(4, "little") + body)
    return rows


def _encode_variable(schema: Schema, columns: Mapping[str, Values], records: npt.NDArray[np.void]) -> list[bytes]:
    parts = [
        [_to_bytes(column.dtype, value) if ok else b"" for value, ok in zip(values.data, values.valid, strict=True)]
        for column in schema.variable_columns
        for values in (columns[column.name],)
    ]
    lengths = np.array([[len(part) for part in column] for column in parts], dtype=np.int64)
    records["ends"] = lengths.cumsum(axis=0).T
    return [b"".join(row) for row in zip(*parts, strict=True)]


def _to_bytes(dtype: str, value: Any) -> bytes:
    if dtype == "string":
        return str(value).encode()
    if dtype == "bytes":
        return bytes(value)
    element = dtype[5:-1]
    if element in FIXED:
        return np.asarray(value, dtype=FIXED[element]).tobytes()
    parts = [item.encode() if isinstance(item, str) else bytes(item) for item in value]
    ends = np.cumsum([len(parts), *map(len, parts)], dtype="<u4")
    ends[1:] -= len(parts)
    return ends.tobytes() + b"".join(parts)


def _from_bytes(dtype: str, data: bytes) -> Any:
    if dtype == "string":
        return data.decode()
    if dtype == "bytes":
        return data
    element = dtype[5:-1]
    if element in FIXED:
        return np.frombuffer(data, dtype=FIXED[element])
    count = int.from_bytes(data[:4], "little")
    ends = np.frombuffer(data, dtype="<u4", count=count, offset=4).tolist()
    body = data[4 + 4 * count :]
    parts = [body[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)] if count else []
    return [part.decode() for part in parts] if element == "string" else parts


def tombstone(event_us: int) -> bytes:
    """The row that says *erased*; no writer replaces it."""
    body = (
        bytes([FORMAT_VERSION, _TOMBSTONE, 0, 0])
        + bytes(8)
        + event_us.to_bytes(8, "little", signed=True)
        + event_us.to_bytes(8, "little", signed=True)
    )
    return zlib.crc32(body).to_bytes(4, "little") + body


def is_tombstone(row: bytes) -> bool:
    """Whether a row, or its header, says *erased*."""
    return len(row) >= HEADER_SIZE and bool(row[5] & _TOMBSTONE)


# --------------------------------------------------------------------------- decode


@dataclass(frozen=True)
class ViewRows:
    """N entities' rows of one view, as read.

    Attributes:
        status: shape (N,), uint8, of `Status`.
        event_us: shape (N,), int64; 0 where there is no readable row.
        columns: the wanted columns; null wherever the status is not PRESENT.
    """

    status: npt.NDArray[np.uint8]
    event_us: npt.NDArray[np.int64]
    columns: Mapping[str, Values]

    def matrix(self, names: Sequence[str]) -> npt.NDArray[np.float32]:
        """Numeric columns side by side, shape (N, len(names)), float32, NaN where null."""
        out = np.empty((len(self.status), len(names)), dtype=np.float32)
        for i, name in enumerate(names):
            values = self.columns[name]
            out[:, i] = np.where(values.valid, values.data, np.nan)
        return out


def decode(
    rows: Sequence[bytes | None],
    wanted: Sequence[Column],
    schemas: Mapping[int, Schema],
    *,
    now_us: int,
    ttl_us: int | None = None,
) -> ViewRows:
    """Unpack N rows into the wanted columns.

    A row is judged on its own: whatever is wrong with it makes *it* null and flagged, never its
    neighbours. A row of another fingerprint is projected by column name and type.

    Args:
        rows: N values as `MGET` answers them; None is an unknown entity.
        wanted: the columns to return.
        schemas: fingerprint → schema; a row of a fingerprint that is not here reads as CORRUPT.
        now_us: the time to judge ages by, microseconds since 1970 UTC.
        ttl_us: rows older than this are STALE; exactly this old is still PRESENT. None: no limit.
    """
    n = len(rows)
    status = np.full(n, Status.UNKNOWN, dtype=np.uint8)
    event = np.zeros(n, dtype=np.int64)
    groups: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        if row is None:
            continue
        if (
            len(row) < HEADER_SIZE
            or zlib.crc32(memoryview(row)[4:]) != int.from_bytes(row[:4], "little")
            or row[4] != FORMAT_VERSION
        ):
            status[i] = Status.CORRUPT
        elif row[5] & _TOMBSTONE:
            status[i] = Status.ERASED
        else:
            groups.setdefault(int.from_bytes(row[8:16], "little"), []).append(i)
    columns = {column.name: _empty(column, n) for column in wanted}
    for fingerprint, members in groups.items():
        schema = schemas.get(fingerprint)
        if schema is None or not _serves(schema, wanted):
            status[members] = Status.CORRUPT
            continue
        _decode_group(schema, rows, np.array(members), wanted, columns, status, event)
    if ttl_us is not None:
        stale = (status == Status.PRESENT) & (now_us - event > ttl_us)
        status[stale] = Status.STALE
        for values in columns.values():
            values.valid[stale] = False
    return ViewRows(status, event, columns)


def _serves(schema: Schema, wanted: Sequence[Column]) -> bool:
    try:
        schema.require(wanted)
    except SchemaError:
        return False
    return True


def _empty(column: Column, n: int) -> Values:
    dtype = _numpy(column)
    data = np.empty(n, dtype=object) if dtype is object else np.zeros(n, dtype=dtype)
    return Values(data, np.zeros(n, dtype=np.bool_))


def _numpy(column: Column) -> Any:
    if not column.fixed:
        return object
    return np.bool_ if column.dtype == "bool" else FIXED[column.dtype]


def _decode_group(
    schema: Schema,
    rows: Sequence[bytes | None],
    members: npt.NDArray[np.int64],
    wanted: Sequence[Column],
    columns: Mapping[str, Values],
    status: npt.NDArray[np.uint8],
    event: npt.NDArray[np.int64],
) -> None:
    size = schema.layout.itemsize
    ends = 4 * len(schema.variable_columns)
    whole = [i for i in members.tolist() if _whole(rows[i], size, ends)]
    if len(whole) < len(members):
        status[np.setdiff1d(members, whole)] = Status.CORRUPT
    if not whole:
        return
    at: Any = slice(None) if len(whole) == len(rows) else np.array(whole)
    heads = b"".join(memoryview(rows[i])[:size] for i in whole)
    records = np.frombuffer(heads, dtype=schema.layout)
    status[at] = Status.PRESENT
    event[at] = records["event"]
    nulls = np.unpackbits(records["nulls"], axis=1, count=len(schema.columns), bitorder="little").astype(np.bool_)
    position = {column.name: i for i, column in enumerate(schema.columns)}
    variable = {column.name: i for i, column in enumerate(schema.variable_columns)}
    for column in wanted:
        values = columns[column.name]
        valid = ~nulls[:, position[column.name]]
        values.valid[at] = valid
        if column.fixed:
            values.data[at] = records[f"c{position[column.name]}"]
        else:
            v = variable[column.name]
            stops = records["ends"][:, v].astype(np.int64) + size
            starts = stops * 0 + size if v == 0 else records["ends"][:, v - 1].astype(np.int64) + size
            for i, ok, a, b in zip(whole, valid.tolist(), starts.tolist(), stops.tolist(), strict=True):
                if ok:
                    values.data[i] = _from_bytes(column.dtype, rows[i][a:b])


def _whole(row: bytes | None, size: int, ends: int) -> bool:
    """Whether a checksummed row has the length that its own `ends` say."""
    if row is None or len(row) < size:
        return False
    tail = int.from_bytes(row[size - 4 : size], "little") if ends else 0
    return len(row) == size + tail
