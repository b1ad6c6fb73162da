"""Many rows, read column by column through NumPy's records."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any, Final, cast
from zlib import crc32

import numpy as np
import numpy.typing as npt

from motherlode.packed.columns import FIXED, Column, Values
from motherlode.packed.places import BOOL, Run, Wanted, no_number
from motherlode.packed.rows import Status, ViewRows
from motherlode.packed.variable import BYTEWISE, numeric, to_list, unpacker

NOTHING: Final = nullcontext()
SEED: Final = 0x6DD90A9D
"""`crc32(row, stored ^ SEED) == crc32(row[4:])`, where `stored` are the row's first four bytes: no copy is cut."""
_SEED: Final = np.uint32(SEED)

IN_MEMORY: Final[Mapping[str, np.dtype[Any]]] = {
    dtype: np.dtype(np.bool_ if dtype == BOOL else storage) for dtype, storage in FIXED.items()
}
"""Type of a column of fixed width → what its values are in NumPy."""

_PRESENT, _UNKNOWN, _STALE, _CORRUPT = map(np.uint8, Status)


class ManyRows(ViewRows):
    """N rows.

    Args:
        wanted: the columns.
        groups: the readable rows, by schema and form.
        unknown: which of the N are no row at all.
        n: how many there are.
        oldest_us: rows of before are stale; None: none is.
    """

    def __init__(
        self, wanted: Sequence[Column], groups: Sequence["Group"], unknown: Sequence[int], n: int, oldest_us: int | None
    ) -> None:
        self._n, self._wanted, self._groups = n, wanted, groups
        if self._one:
            self._status, self._event_us = groups[0].judged(oldest_us)
            return
        self._status, self._event_us = np.full(n, _CORRUPT), np.zeros(n, dtype=np.int64)
        if unknown:
            self._status[unknown] = _UNKNOWN
        for group in groups:
            self._status[group.at], self._event_us[group.at] = group.judged(oldest_us)

    @property
    def _one(self) -> bool:
        """Whether all rows are of one schema and form."""
        return len(self._groups) == 1 and self._groups[0].whole

    @property
    def status(self) -> npt.NDArray[np.uint8]:
        return self._status

    @property
    def event_us(self) -> npt.NDArray[np.int64]:
        return self._event_us

    @property
    def statuses(self) -> list[int]:
        return cast(list[int], self._status.tolist())

    @property
    def events(self) -> list[int]:
        return cast(list[int], self._event_us.tolist())

    @property
    def present(self) -> bool:
        return not self._status.any()

    @cached_property
    def columns(self) -> Mapping[str, Values]:
        """All of them: side by side they cost little more than one."""
        if self._one:
            return self._groups[0].columns()
        every = {column.name: self._none(column) for column in self._wanted}
        for group in self._groups:
            for name, values in group.columns().items():
                every[name].data[group.at] = values.data
                every[name].valid[group.at] = values.valid
        return every

    def _none(self, column: Column) -> Values:
        data = np.zeros(self._n, IN_MEMORY[column.dtype]) if column.fixed else np.empty(self._n, dtype=object)
        return Values(data, np.zeros(self._n, dtype=np.bool_))

    def matrix(self, names: Sequence[str]) -> npt.NDArray[np.float32]:
        wanted = tuple(names)
        if self._one:
            return self._groups[0].matrix(wanted)
        if not self._groups:  # which check it where there are any
            for name in wanted:
                if self._dtypes.get(name) not in FIXED:
                    raise no_number(name, "")
        out = np.full((self._n, len(wanted)), np.nan, dtype=np.float32)
        for group in self._groups:
            out[group.at] = group.matrix(wanted)
        return out

    def python(self, name: str) -> list[Any]:
        dtype = self._dtypes[name]
        if dtype in FIXED or not numeric(dtype):
            return self._listed(name)
        convert = to_list(dtype)
        return [None if value is None else convert(value) for value in self.stored(name)]

    def stored(self, name: str) -> list[Any]:
        held, dtype = self._listed(name), self._dtypes[name]
        if dtype in FIXED or not numeric(dtype):
            return held
        return [None if value is None else value.tobytes() for value in held]

    def _listed(self, name: str) -> list[Any]:
        values = self.columns[name]
        held: list[Any] = values.data.tolist()
        if values.valid.all():
            return held
        return [value if ok else None for value, ok in zip(held, values.valid.tolist(), strict=True)]

    @cached_property
    def _dtypes(self) -> Mapping[str, str]:
        return {column.name: column.dtype for column in self._wanted}


class Group:
    """Rows of one schema and form as records.

    Args:
        rows: K of the N.
        wanted: the columns.
        at: shape (K,), which of the N they are; a slice: all.

    Attributes:
        at: as given.
        whole: whether they are all of the N.
        ok: shape (K,), bool: whole and not stale.
        records: shape (K,), everything before the variable part; zeros for a row that is too short.
    """

    def __init__(self, rows: Sequence[Any], wanted: Wanted, at: npt.NDArray[np.int64] | slice) -> None:
        self.at, self.whole = at, isinstance(at, slice)
        self._places = places = wanted.places
        self._wanted = wanted
        lengths = list(map(len, rows))
        if min(lengths) < places.size:
            heads = [row[: places.size] if len(row) >= places.size else places.zeros for row in rows]
        else:
            heads = list(map(places.head, rows))
        self.records = np.frombuffer(b"".join(heads), dtype=places.layout)
        seeds = (self.records["crc"] ^ _SEED).tolist()
        sums = np.fromiter(map(crc32, rows, seeds), dtype=np.uint32, count=len(rows))
        sizes = np.array(lengths, dtype=np.int64)
        self.ok: npt.NDArray[np.bool_] = (sums == self.records["crc"]) & (sizes == self._sizes())
        self._objects = self._variable(rows, sizes) if wanted.variable else {}

    def judged(self, oldest_us: int | None) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """What became of the rows, and their event times; makes `ok` final.

        Args:
            oldest_us: rows of before are stale; None: none is.
        """
        event: npt.NDArray[np.int64] = np.where(self.ok, self.records["event"], 0)
        status = np.where(self.ok, _PRESENT, _CORRUPT)
        if oldest_us is not None:
            stale = self.ok & (event < oldest_us)
            if stale.any():
                status[stale] = _STALE
                self.ok &= ~stale
        return status, event

    def _sizes(self) -> Any:
        """How long each row is by its own word."""
        places = self._places
        return self.records["lengths"] @ places.ones + places.size if places.variable else places.size

    def _variable(self, rows: Sequence[bytes], sizes: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """The wanted columns of variable width. A row whose bytes are none of a column's is not good.

        Args:
            rows: K.
            sizes: theirs.
        """
        places = self._places
        # Where in all rows, one behind the other, each variable column begins, and where the last ends.
        bounds = np.empty((1 + len(places.variable), len(rows)), dtype=np.int64)
        bounds[0], bounds[1:] = np.cumsum(sizes) - sizes + places.size, self.records["lengths"].T
        cuts = np.add.accumulate(bounds, axis=0, out=bounds).tolist()
        data = b"".join(rows)
        text = data.decode(BYTEWISE)
        every = bool(self.ok.all()) and not self._nulls.any()
        found = {}
        for column in self._wanted.variable:
            v = places.variable[column.name]
            held = text if column.dtype == "string" else data
            parts: list[Any] = [held[a:b] for a, b in zip(cuts[v], cuts[v + 1], strict=True)]
            if not every:
                missing = (self._nulls[:, places.position[column.name]] | ~self.ok).tolist()
                parts = [None if none else part for part, none in zip(parts, missing, strict=True)]
            found[column.name] = self._unpack(unpacker(column.dtype), parts)
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

    @cached_property
    def _bits(self) -> npt.NDArray[np.bool_]:
        """Shape (K, bits of a row)."""
        return np.unpackbits(self.records["bits"], axis=1, count=self._places.bits, bitorder="little").view(np.bool_)

    @property
    def _nulls(self) -> npt.NDArray[np.bool_]:
        """Shape (K, columns of the schema)."""
        return self._bits[:, : len(self._places.position)]

    @cached_property
    def _missing(self) -> npt.NDArray[np.bool_]:
        """Shape (K, columns of the schema): null, or of a row that is not good. To be asked for when `ok` is final."""
        return self._nulls if self.ok.all() else self._nulls | ~self.ok[:, None]

    def columns(self) -> dict[str, Values]:
        """The wanted columns, shape (K,) each, any value where it is not valid. To be asked for when `ok` is final."""
        there = np.empty((len(self._wanted.columns), len(self.records)), dtype=np.bool_)
        np.logical_not(self._missing.T[self._wanted.positions], out=there)
        found = self._fixed() | self._objects
        pairs = zip(self._wanted.columns, there, strict=True)
        return {column.name: Values(found[column.name], valid) for column, valid in pairs}

    def _fixed(self) -> dict[str, npt.NDArray[Any]]:
        """The wanted columns of fixed width."""
        block, columns = self._wanted.block, []
        for run in block.runs:
            columns += list(self._run(run).T.astype(run.dtype, order="C"))
        columns += list(self._bits.T[block.flags].copy())
        return dict(zip(self._wanted.fixed, columns, strict=True))

    def _run(self, run: Run) -> npt.NDArray[Any]:
        """Columns that lie side by side, shape (K, so many), as they lie."""
        shape, strides = (len(self.records), run.stop - run.start), (self._places.size, run.stored.itemsize)
        return np.ndarray(shape, run.stored, self.records.data, run.offset, strides)

    def matrix(self, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
        """Columns side by side, NaN where not `valid`."""
        block = self._wanted.side_by_side(names)
        out = np.empty((len(self.records), len(names)), dtype=np.float32)
        with beyond_float32() if block.wide else NOTHING:
            for run in block.runs:
                out[:, run.start : run.stop] = self._run(run)
        if block.numbers < len(names):
            out[:, block.numbers :] = self._bits[:, block.flags]
        if block.order is not None:
            out = out[:, block.order]
        missing = self._missing[:, block.positions]
        if missing.any():
            np.copyto(out, np.nan, where=missing)
        return out


def beyond_float32() -> np.errstate:
    """Where a number beyond float32 becomes infinite, which is not finite: the reader's to judge."""
    return np.errstate(over="ignore", invalid="ignore")
