"""From packed rows to columns."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, partial
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from motherlode.packed.columns import FIXED, Column, Values
from motherlode.packed.places import Run, Wanted
from motherlode.packed.schema import FORMAT_VERSION, Schema

_FORMAT: Final = FORMAT_VERSION.to_bytes(4, "little")
_NOTHING: Final = nullcontext()
_MARK: Final[Callable[[Any], bytes]] = itemgetter(slice(4, 16))
_BYTEWISE: Final = "latin-1"
_SEED: Final = np.uint32(0x6DD90A9D)
"""`crc32(row, stored ^ _SEED) == crc32(row[4:])`, where `stored` are the row's first four bytes: no copy is cut."""


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
    marks = list(map(_MARK, rows)) if all(rows) else [None if row is None else _MARK(row) for row in rows]
    distinct = set(marks)
    groups: list[_Group] = []
    for mark in distinct:
        schema = None if mark is None or mark[:4] != _FORMAT else schemas.get(int.from_bytes(mark[4:], "little"))
        served = None if schema is None else schema.places.serving(wanted)
        if schema is not None and served is not None:
            alone = len(distinct) == 1
            mine = rows if alone else [row if its == mark else b"" for row, its in zip(rows, marks, strict=True)]
            groups.append(_Group(schema, mine, served))
    ok, event = _merged(len(rows), groups)
    status = np.where(ok, _PRESENT, _CORRUPT)
    if None in distinct:
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

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, name: str) -> Values:
        return self._made[name]

    @cached_property
    def _made(self) -> Mapping[str, Values]:
        """All of them: side by side they cost little more than one."""
        if not self._groups:
            return {column.name: self._none(column) for column in self._wanted}
        first, *others = self._groups
        made = first.columns()
        for group in others:
            for name, values in group.columns().items():
                before = made[name]
                data = np.where(values.valid, values.data, before.data)
                made[name] = Values(data, before.valid | values.valid)
        return made

    def _none(self, column: Column) -> Values:
        data = np.zeros(self._n, _numpy(column.dtype)) if column.fixed else np.empty(self._n, dtype=object)
        return Values(data, np.zeros(self._n, dtype=np.bool_))

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
        wanted: the columns.

    Attributes:
        ok: shape (N,), bool: whole and not stale.
        records: shape (N,), everything before the variable part; zeros for a row that is too short.
    """

    def __init__(self, schema: Schema, rows: Sequence[Any], wanted: Wanted) -> None:
        self._places = places = schema.places
        self._wanted = wanted
        size = places.size
        lengths = list(map(len, rows))
        if min(lengths) < size:
            heads = [row[:size] if len(row) >= size else places.zeros for row in rows]
        else:
            heads = list(map(places.head, rows))
        self.records = np.frombuffer(b"".join(heads), dtype=schema.layout)
        seeds = (self.records["crc"] ^ _SEED).tolist()
        sums = np.fromiter(map(crc32, rows, seeds), dtype=np.uint32, count=len(rows))
        whole = np.array(lengths, dtype=np.int64)
        self.ok: npt.NDArray[np.bool_] = (sums == self.records["crc"]) & (whole == self._lengths())
        self._objects: dict[str, npt.NDArray[Any]] = self._variable(rows, whole) if wanted.variable else {}

    def _variable(self, rows: Sequence[bytes], lengths: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """The wanted columns of variable width. A row whose bytes are none of a column's is not good.

        Args:
            rows: N.
            lengths: theirs.
        """
        places = self._places
        bounds = np.empty((1 + len(places.variable), len(rows)), dtype=np.int64)
        bounds[0], bounds[1:] = 0, self.records["ends"].T
        self.ok &= (bounds[:-1] <= bounds[1:]).all(axis=0)
        bounds += np.cumsum(lengths) - lengths + places.size
        cuts = bounds.tolist()
        data = b"".join(rows)
        text = data.decode(_BYTEWISE)
        every = bool(self.ok.all()) and not self._nulls.any()
        found = {}
        for column in self._wanted.variable:
            v = places.variable[column.name]
            held = text if column.dtype == "string" else data
            parts: list[Any] = [held[a:b] for a, b in zip(cuts[v], cuts[v + 1], strict=True)]
            if not every:
                missing = (self._nulls[:, places.position[column.name]] | ~self.ok).tolist()
                parts = [None if none else part for part, none in zip(parts, missing, strict=True)]
            found[column.name] = self._unpack(_unpacker(column.dtype), parts)
        return found

    def _unpack(self, unpack: Callable[[Sequence[Any]], Iterable[Any]], parts: list[Any]) -> npt.NDArray[np.object_]:
        """A column's values, from each row's bytes; None where None."""
        try:
            values = unpack(parts)
        except ValueError:
            for i, part in enumerate(parts):
                try:
                    unpack([part])
                except ValueError:
                    # Whatever its checksum says.
                    self.ok[i], parts[i] = False, None
            values = unpack(parts)
        return np.fromiter(values, dtype=object, count=len(parts))

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

    def columns(self) -> dict[str, Values]:
        """The wanted columns, shape (N,) each, any value where it is not valid. To be asked for when `ok` is final."""
        there = np.empty((len(self._wanted.names), len(self.records)), dtype=np.bool_)
        np.logical_not(self._missing.T[self._wanted.positions], out=there)
        found = self._fixed() | self._objects
        return {name: Values(found[name], valid) for name, valid in zip(self._wanted.names, there, strict=True)}

    def _fixed(self) -> dict[str, npt.NDArray[Any]]:
        """The wanted columns of fixed width."""
        columns: list[npt.NDArray[Any]] = []
        for run in self._wanted.block.runs:
            found = self._run(run).T
            columns += list(found != 0 if run.dtype == np.uint8 else found.copy())
        return dict(zip(self._wanted.fixed, columns, strict=True))

    def _run(self, run: Run) -> npt.NDArray[Any]:
        """Columns that lie side by side, shape (N, so many), as they lie."""
        shape, strides = (len(self.records), run.stop - run.start), (self._places.size, run.dtype.itemsize)
        return np.ndarray(shape, run.dtype, self.records.data, run.offset, strides)

    def matrix(self, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
        """Columns side by side, NaN where not `valid`."""
        block = self._places.block(names)
        out = np.empty((len(self.records), len(names)), dtype=np.float32)
        # A number beyond float32 becomes infinite, which is not finite: the reader's to judge.
        with np.errstate(over="ignore", invalid="ignore") if block.wide else _NOTHING:
            for run in block.runs:
                out[:, run.start : run.stop] = self._run(run)
        if block.order is not None:
            out = out[:, block.order]
        missing = self._missing[:, block.positions]
        if missing.any():
            np.copyto(out, np.nan, where=missing)
        return out


_Parts = Sequence[bytes | None]


def _numpy(dtype: str) -> Any:
    return np.bool_ if dtype == "bool" else FIXED[dtype]


def _unpacker(dtype: str) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """From a column's bytes to its values, None where None; a ValueError where they are none."""
    if dtype == "string":
        return _texts
    if dtype == "bytes":
        return lambda parts: parts
    element = dtype[5:-1]
    if element in FIXED:
        return partial(_arrays, np.dtype(FIXED[element]))
    return partial(_lists, element)


def _texts(parts: Sequence[str | None]) -> Sequence[str | None]:
    """Texts, of their UTF-8 with a character a byte: of ASCII the same."""
    if "".join(filter(None, parts)).isascii():
        return parts
    return [None if part is None else part.encode(_BYTEWISE).decode() for part in parts]


def _arrays(dtype: np.dtype[Any], parts: _Parts) -> Iterable[npt.NDArray[Any] | None]:
    whole = [part for part in parts if part is not None]
    lengths = set(map(len, whole))
    if any(length % dtype.itemsize for length in lengths):
        raise ValueError(f"Not all are arrays of {dtype}.")
    flat = np.frombuffer(b"".join(whole), dtype=dtype)
    if len(lengths) == 1:
        arrays = iter(flat.reshape(len(whole), -1))
    else:
        stops = accumulate((len(part) // dtype.itemsize for part in whole), initial=0)
        arrays = (flat[start:stop] for start, stop in pairwise(stops))
    return arrays if len(whole) == len(parts) else [None if part is None else next(arrays) for part in parts]


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
