"""From packed rows to columns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, partial
from itertools import accumulate, pairwise
from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from motherlode.packed.columns import FIXED, Column, Values
from motherlode.packed.schema import FORMAT_VERSION, Schema

_FORMAT: Final = FORMAT_VERSION.to_bytes(4, "little")
_NOTHING: Final = nullcontext()


class Status(IntEnum):
    """What became of one entity's row in one view."""

    PRESENT = 0
    UNKNOWN = 1
    """No row: the entity was never written, or was erased, or its key was freed."""
    STALE = 2
    """Older than the view's time to live: every value reads as null."""
    CORRUPT = 3
    """Bytes that fail their checksum, or of a schema that cannot serve the reader: every value null."""


_PRESENT, _UNKNOWN, _STALE, _CORRUPT = map(np.uint8, Status)


@dataclass(frozen=True)
class ViewRows:
    """N entities' rows of one view, as read.

    Attributes:
        status: shape (N,), uint8, of `Status`.
        event_us: shape (N,), int64; 0 where there is no readable row.
        columns: the wanted columns, each made when it is first asked for; null wherever the status is not PRESENT.
    """

    status: npt.NDArray[np.uint8]
    event_us: npt.NDArray[np.int64]
    columns: "Columns"

    def matrix(self, names: Sequence[str]) -> npt.NDArray[np.float32]:
        """Numeric columns side by side, shape (N, len(names)), float32, NaN where null.

        Raises:
            SchemaError: one is of text, bytes or lists.
        """
        return self.columns.matrix(tuple(names))


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
    marks = [None if row is None else row[4:16] for row in rows]
    distinct = set(marks)
    groups: list[_Group] = []
    for mark in distinct:
        schema = None if mark is None or mark[:4] != _FORMAT else schemas.get(int.from_bytes(mark[4:], "little"))
        variable = None if schema is None else schema.places.serving(wanted)
        if schema is not None and variable is not None:
            alone = len(distinct) == 1
            mine = rows if alone else [row if its == mark else b"" for row, its in zip(rows, marks, strict=True)]
            groups.append(_Group(schema, mine, variable))
    ok, event = _merged(len(rows), groups)
    status = np.where(ok, _PRESENT, _CORRUPT)
    if None in marks:
        status[[mark is None for mark in marks]] = _UNKNOWN
    if ttl_us is not None:
        stale = ok & (event < now_us - ttl_us)
        if stale.any():
            status[stale] = _STALE
            for group in groups:
                group.ok &= ~stale
    return ViewRows(status, event, Columns(len(rows), wanted, groups))


def _merged(n: int, groups: Sequence["_Group"]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Which of N rows are good, and their event times."""
    ok, event = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.int64)
    for group in groups:
        ok |= group.ok
        np.copyto(event, group.records["event"], where=group.ok)
    return ok, event


class Columns(Mapping[str, Values]):
    """The wanted columns of N rows, by name.

    Args:
        n: how many rows.
        wanted: the columns.
        groups: the readable rows, by schema; no row is good in two of them.
    """

    def __init__(self, n: int, wanted: Sequence[Column], groups: Sequence["_Group"]) -> None:
        self._n = n
        self._wanted = wanted
        self._groups = groups
        self._made: dict[str, Values] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __getitem__(self, name: str) -> Values:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = self._make(self._by_name[name])
        return made

    @cached_property
    def _by_name(self) -> Mapping[str, Column]:
        return {column.name: column for column in self._wanted}

    def _make(self, column: Column) -> Values:
        if not self._groups:
            data = np.zeros(self._n, _numpy(column.dtype)) if column.fixed else np.empty(self._n, dtype=object)
            return Values(data, np.zeros(self._n, dtype=np.bool_))
        first, *others = self._groups
        data, valid = first.values(column), first.valid(column)
        for group in others:
            good = group.valid(column)
            data, valid = np.where(good, group.values(column), data), valid | good
        return Values(data, valid)

    def matrix(self, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
        """See `ViewRows.matrix`."""
        if not self._groups:
            return np.full((self._n, len(names)), np.nan, dtype=np.float32)
        first, *others = self._groups
        out = first.matrix(names)
        for group in others:
            np.copyto(out, group.matrix(names), where=group.ok[:, None])
        return out


class _Group:
    """N rows of one schema as records.

    Args:
        schema: theirs.
        rows: N; an empty one stands for a row that is not of this schema.
        variable: the variable columns that are wanted.

    Attributes:
        ok: shape (N,), bool: whole and not stale.
        records: shape (N,), everything before the variable part; zeros for a row that is too short.
    """

    def __init__(self, schema: Schema, rows: Sequence[Any], variable: Sequence[Column]) -> None:
        self._places = places = schema.places
        size = places.size
        lengths = list(map(len, rows))
        if min(lengths) < size:
            heads = [row[:size] if len(row) >= size else places.zeros for row in rows]
        else:
            heads = [row[:size] for row in rows]
        self.records = np.frombuffer(b"".join(heads), dtype=schema.layout)
        sums = np.array([crc32(row[4:]) for row in rows], dtype=np.uint32)
        self.ok: npt.NDArray[np.bool_] = (sums == self.records["crc"]) & (
            np.array(lengths, dtype=np.int64) == self._lengths()
        )
        self._objects: dict[str, npt.NDArray[np.object_]] = {}
        if variable:
            ends = self.records["ends"].astype(np.int64) + size
            self.ok &= (ends[:, :-1] <= ends[:, 1:]).all(axis=1)
            for column in variable:
                self._objects[column.name] = self._unpack(column, rows, ends)

    def _lengths(self) -> Any:
        """How long each row is by its own word."""
        size = self._places.size
        return self.records["ends"][:, -1] + np.int64(size) if self._places.variable else size

    @cached_property
    def _nulls(self) -> npt.NDArray[np.bool_]:
        """Shape (N, columns of the schema)."""
        count = len(self._places.position)
        return np.unpackbits(self.records["nulls"], axis=1, count=count, bitorder="little").view(np.bool_)

    @cached_property
    def _missing(self) -> npt.NDArray[np.bool_]:
        """Shape (N, columns of the schema): null, or of a row that is not good. To be asked for when `ok` is final."""
        return self._nulls if self.ok.all() else self._nulls | ~self.ok[:, None]

    @cached_property
    def _there(self) -> npt.NDArray[np.bool_]:
        """Not `_missing`, shape (columns of the schema, N)."""
        there = np.empty(self._missing.T.shape, dtype=np.bool_)
        np.logical_not(self._missing.T, out=there)
        return there

    def valid(self, column: Column) -> npt.NDArray[np.bool_]:
        """Which rows are good and have a value, shape (N,)."""
        valid: npt.NDArray[np.bool_] = self._there[self._places.position[column.name]]
        return valid

    def values(self, column: Column) -> npt.NDArray[Any]:
        """One wanted column, shape (N,), any value where it is not `valid`."""
        if not column.fixed:
            return self._objects[column.name]
        found = self.records[self._places.field[column.name]]
        return found != 0 if column.dtype == "bool" else found.copy()

    def matrix(self, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
        """Columns side by side, NaN where not `valid`."""
        block = self._places.block(names)
        n, size, buffer = len(self.records), self._places.size, self.records.data
        out = np.empty((n, len(names)), dtype=np.float32)
        # A number beyond float32 becomes infinite, which is not finite: the reader's to judge.
        with np.errstate(over="ignore", invalid="ignore") if block.wide else _NOTHING:
            for run in block.runs:
                shape, strides = (n, run.stop - run.start), (size, run.dtype.itemsize)
                out[:, run.start : run.stop] = np.ndarray(shape, run.dtype, buffer, run.offset, strides)
        if block.order is not None:
            out = out[:, block.order]
        missing = self._missing[:, block.positions]
        if missing.any():
            np.copyto(out, np.nan, where=missing)
        return out

    def _unpack(self, column: Column, rows: Sequence[bytes], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
        """A variable column's values; a row whose bytes cannot be one, whatever its checksum says, is not good."""
        v = self._places.variable[column.name]
        stops = ends[:, v].tolist()
        starts = ends[:, v - 1].tolist() if v else [self._places.size] * len(rows)
        good = (self.ok & ~self._nulls[:, self._places.position[column.name]]).tolist()
        parts = [row[a:b] if fine else None for row, a, b, fine in zip(rows, starts, stops, good, strict=True)]
        unpack = _unpacker(column.dtype)
        try:
            values = unpack(parts)
        except ValueError:
            for i, part in enumerate(parts):
                try:
                    unpack([part])
                except ValueError:
                    self.ok[i], parts[i] = False, None
            values = unpack(parts)
        return np.fromiter(values, dtype=object, count=len(rows))


_Parts = Sequence[bytes | None]


def _numpy(dtype: str) -> Any:
    return np.bool_ if dtype == "bool" else FIXED[dtype]


def _unpacker(dtype: str) -> Callable[[_Parts], Sequence[Any]]:
    """From a column's bytes to its values, None where None; a ValueError where they are none."""
    if dtype == "string":
        return _texts
    if dtype == "bytes":
        return lambda parts: parts
    element = dtype[5:-1]
    if element in FIXED:
        return partial(_arrays, np.dtype(FIXED[element]))
    return partial(_lists, element)


def _texts(parts: _Parts) -> list[str | None]:
    return [None if part is None else part.decode() for part in parts]


def _arrays(dtype: np.dtype[Any], parts: _Parts) -> list[npt.NDArray[Any] | None]:
    whole = [part for part in parts if part is not None]
    if any(len(part) % dtype.itemsize for part in whole):
        raise ValueError(f"Not all are arrays of {dtype}.")
    flat = np.frombuffer(b"".join(whole), dtype=dtype)
    stops = iter(accumulate(len(part) // dtype.itemsize for part in whole))
    start = 0
    arrays: list[npt.NDArray[Any] | None] = []
    for part in parts:
        if part is None:
            arrays.append(None)
        else:
            stop = next(stops)
            arrays.append(flat[start:stop])
            start = stop
    return arrays


def _lists(element: str, parts: _Parts) -> list[list[Any] | None]:
    return [None if part is None else _list(element, part) for part in parts]


def _list(element: str, data: bytes) -> list[Any]:
    count = int.from_bytes(data[:4], "little")
    ends = np.frombuffer(data, dtype="<u4", count=count, offset=4).tolist()
    body = data[4 + 4 * count :]
    stops = [0, *ends]
    if stops != sorted(stops) or stops[-1] != len(body):
        raise ValueError("Its elements do not end where it does.")
    items = [body[a:b] for a, b in pairwise(stops)]
    return [item.decode() for item in items] if element == "string" else items
