"""Parquet files as one table of numbered rows: some columns of all, or all of what a few rows hold.

A row's number is its place in the files, in their order. The files are looked up once; one that is replaced between two
reads is an error, `Replaced`, and never a mixture.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from feature_repo.stores.arrow import join_chunks, plain

_BATCH: Final = 1 << 27
"""Bytes, decoded, that are read at a time, but for a row group's column that alone has more."""
_BUFFER: Final = 1 << 16
"""Bytes of a column that are read ahead where rows are streamed."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Replaced(OSError):  # noqa: N818 - says what happened
    """A file is no longer the one that was opened."""


@dataclass(frozen=True)
class Group:
    """A row group: in which file, which of its groups, the number of its first row, and how many there are."""

    file: "File"
    index: int
    start: int
    rows: int


@dataclass(frozen=True, eq=False)
class File:
    """A Parquet file as it was when it was first looked at."""

    path: Path
    metadata: Any
    schema: pa.Schema
    stamp: tuple[int, int, int]

    @classmethod
    def look(cls, path: Path) -> "File":
        """Read what stands at the file's end."""
        stamp, read = _open(path)
        return cls(path, read.metadata, read.schema_arrow, stamp)

    def read(self, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Columns of row groups.

        Raises:
            Replaced: it is another file by now.
        """
        stamp, read = _open(self.path, self.metadata)
        if stamp != self.stamp:
            raise Replaced(f"{self.path} was replaced while it was read.")
        return read.read_row_groups(list(groups), columns=list(columns))

    def stream(self, group: int, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        """Columns of a row group, at most `rows` of its rows at a time: memory holds these, however large the group is.

        Raises:
            Replaced: it is another file by now.
        """
        stamp, read = _open(self.path, self.metadata, buffer_size=_BUFFER)
        if stamp != self.stamp:
            raise Replaced(f"{self.path} was replaced while it was read.")
        for batch in read.iter_batches(rows, row_groups=[group], columns=list(columns), use_threads=False):
            yield pa.Table.from_batches([batch]).select(list(columns))

    def size(self, group: int, columns: frozenset[str]) -> int:
        """Bytes of a row group's columns, decoded."""
        found = self.metadata.row_group(group)
        return sum(found.column(i).total_uncompressed_size for i, name in enumerate(self._columns) if name in columns)

    def times(self, group: int, column: str) -> tuple[int, int] | None:
        """Between which microseconds since 1970 UTC a row group's times lie; None where the file does not say."""
        if column not in self._columns:
            return None
        statistics = self.metadata.row_group(group).column(self._columns.index(column)).statistics
        if statistics is None or not statistics.has_min_max:
            return None
        try:
            first, last = statistics.min, statistics.max
        except (OverflowError, ValueError):
            # Beyond what Python's datetime holds.
            return None
        if not (isinstance(first, datetime) and isinstance(last, datetime)):
            return None
        # The statistics of nanoseconds lose up to one microsecond here.
        return _micros(first) - 1, _micros(last) + 1

    @cached_property
    def _columns(self) -> list[str]:
        """Each stored column's first name: a list's elements are stored as `items.list.element`."""
        schema = self.metadata.schema
        return [_first(schema.column(i).path, self.schema.names) for i in range(len(schema))]


@dataclass(frozen=True)
class Pieces:
    """Parquet files of one schema.

    Attributes:
        groups: their row groups, in order.
        schema: of the first.
        rows: of all.
    """

    groups: tuple[Group, ...]
    schema: pa.Schema
    rows: int

    def within(self, column: str, first: int, last: int) -> list[Group]:
        """The row groups that may hold a time from `first` to `last`, microseconds since 1970 UTC."""
        kept = []
        for group in self.groups:
            between = group.file.times(group.index, column)
            if between is None or (between[0] <= last and between[1] >= first):
                kept.append(group)
        return kept

    def read(self, groups: Sequence[Group], columns: Sequence[str]) -> pa.Table:
        """Columns of row groups, their rows in order, each column in one chunk."""
        tables = [_read(batch, columns) for batch in _by_file(groups, columns)]
        return self._joined({name: [each.column(name) for each in tables] for name in columns})

    def take(self, used: npt.NDArray[np.bool_], columns: Sequence[str]) -> pa.Table:
        """Columns of the rows that are marked, in order, each column in one chunk.

        Args:
            used: shape (rows,).
            columns: what to read of them.
        """
        wanted = [group for group in self.groups if used[group.start : group.start + group.rows].any()]
        taken: dict[str, list[pa.ChunkedArray]] = {name: [] for name in columns}
        for some in _narrow(wanted, columns):
            for batch in _by_file(wanted, some):
                marks = np.concatenate([used[group.start : group.start + group.rows] for group in batch])
                table = _read(batch, some)
                if not marks.all():
                    table = table.take(pa.array(np.flatnonzero(marks)))
                for name in some:
                    taken[name].append(table.column(name))
        return self._joined(taken)

    def _joined(self, columns: Mapping[str, Sequence[pa.ChunkedArray]]) -> pa.Table:
        return pa.table(
            {name: join_chunks(found, plain(self.schema.field(name).type)) for name, found in columns.items()}
        )


def look(files: Sequence[Path]) -> Pieces:
    """Look the files up.

    Raises:
        OSError, pa.ArrowException: one cannot be read.
    """
    groups, start = [], 0
    found = [File.look(path) for path in files]
    for file in found[1:]:
        if _types(file.schema) != _types(found[0].schema):
            raise pa.ArrowInvalid(f"{file.path} has other columns than {found[0].path}.")
    for file in found:
        for index in range(file.metadata.num_row_groups):
            rows = file.metadata.row_group(index).num_rows
            groups.append(Group(file, index, start, rows))
            start += rows
    return Pieces(tuple(groups), found[0].schema if found else pa.schema([]), start)


def _read(batch: Sequence[Group], columns: Sequence[str]) -> pa.Table:
    table = batch[0].file.read([group.index for group in batch], columns).select(list(columns))
    return pa.table(
        {name: join_chunks([column], plain(column.type)) for name, column in zip(columns, table.columns, strict=True)}
    )


def _by_file(groups: Sequence[Group], columns: Sequence[str] = ()) -> Iterator[list[Group]]:
    """Row groups of one file that are read together."""
    batch: list[Group] = []
    size = 0
    names = frozenset(columns)
    for group in groups:
        bytes_ = group.file.size(group.index, names) if names else 0
        if batch and (group.file is not batch[0].file or size + bytes_ > _BATCH):
            yield batch
            batch, size = [], 0
        batch.append(group)
        size += bytes_
    if batch:
        yield batch


def _narrow(groups: Sequence[Group], columns: Sequence[str]) -> Iterator[list[str]]:
    """The columns in lots of which the largest row group is read at once."""
    columns = list(dict.fromkeys(columns))
    largest = max(groups, key=lambda group: group.rows, default=None)
    lot: list[str] = []
    size = 0
    for name in columns:
        bytes_ = largest.file.size(largest.index, frozenset([name])) if largest else 0
        if lot and size + bytes_ > _BATCH:
            yield lot
            lot, size = [], 0
        lot.append(name)
        size += bytes_
    if lot:
        yield lot


def _first(path: str, names: Sequence[str]) -> str:
    """The top column that a stored column belongs to; its name may hold dots itself."""
    return (
        path if path in names else max((name for name in names if path.startswith(f"{name}.")), key=len, default=path)
    )


def _types(schema: pa.Schema) -> dict[str, pa.DataType]:
    return {field.name: plain(field.type) for field in schema}


def _open(path: Path, metadata: Any = None, buffer_size: int = 0) -> tuple[tuple[int, int, int], Any]:
    """A file, and by what another one is told from it."""
    opened = pyarrow.parquet.ParquetFile(pa.OSFile(str(path)), metadata=metadata, buffer_size=buffer_size)
    # Looked at once it is open: what has been replaced since is taken for another, never another for it.
    status = path.stat()
    return (status.st_ino, status.st_size, status.st_mtime_ns), opened


def _micros(time: datetime) -> int:
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)
