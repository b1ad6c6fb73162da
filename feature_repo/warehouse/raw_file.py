"""A raw file being written: under a temporary name until it is whole, one schema though columns come in later."""

import os
import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.warehouse import vault
from feature_repo.warehouse.contract import LINE, ROW
from feature_repo.warehouse.sources.reading import Batch
from motherlode.errors import DataError
from motherlode.settings import Settings

VALUE: Final = "_malformed_value"
RULE: Final = "_malformed_rule"
REMEDY: Final = "_malformed_remedy"
OWN: Final = {LINE: pa.uint32(), VALUE: pa.string(), RULE: pa.string(), REMEDY: pa.string()}
"""Columns of ours in a raw file, before the source's. A malformed line is a row with a rule and nothing else."""
RESERVED: Final = frozenset({*OWN, ROW, "_file", "_landed_at"})
"""Names that a raw column gets a number behind."""

LANDING: Final = ".landing-"
"""Prefix of a raw file that is not whole yet."""
_GROUP_BYTES: Final = 64 << 20
"""Of rows in memory that become one row group."""


class RawError(DataError):
    """Raw cannot be written: the landing ends, and not the file alone is refused."""


def unwritable(folder: Path, error: OSError) -> RawError:
    """The operating system does not take a raw file."""
    why = os.strerror(error.errno) if error.errno else str(error)
    return RawError(
        f"{folder} cannot be written: {why}.",
        "Make room, or set MOTHERLODE_HOME to a larger disk; nothing half-written was left.",
    )


@contextmanager
def temporary(folder: Path, ending: str) -> Iterator[Path]:
    """A name for a file that is gone when the block ends, unless it was renamed."""
    path = folder / f"{LANDING}{_run()}-{secrets.token_hex(4)}{ending}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove what a landing that was killed left behind. What this process is writing stays."""
    for path in folder.glob(f"{LANDING}*"):
        if not path.name.startswith(f"{LANDING}{_run()}-"):
            path.unlink(missing_ok=True)


@cache
def _run() -> str:
    """This process: not by its id, which is 1 in every container."""
    return secrets.token_hex(4)


def place(settings: Settings, path: Path, target: Path) -> None:
    """Put a whole file in its place; one of the same content that lies there stays."""
    if target.exists() and vault.encrypted(target) == (settings.raw_key is not None):
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.replace(target)


def encrypt(settings: Settings, path: Path) -> None:
    """Write a plain Parquet file anew, encrypted."""
    with temporary(path.parent, ".parquet") as sealed:
        with pq.ParquetFile(path) as file, vault.writer(sealed, file.schema_arrow, settings) as writer:
            for batch in file.iter_batches():
                writer.write_batch(batch)
        sealed.replace(path)


class Writer:
    """Writes batches as one Parquet file, in row groups of about 64 MB.

    Where a batch brings columns that were not there before, a new part begins; in the end the parts become one file.
    A row group is written while the next one is read: both release Python's lock.
    """

    def __init__(self, settings: Settings, path: Path, columns: pa.Schema) -> None:
        """
        Args:
            path: of the file.
            columns: the source's columns that are known before the first batch.
        """
        self._settings, self._path = settings, path
        self._schema = pa.schema([*OWN.items(), *columns])
        self._parts: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._bytes = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="raw")
        self._writing: Future[None] | None = None
        self.rows = self.malformed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._thread.shutdown()
            if self._writer is not None:
                with suppress(OSError):  # the error that brought us here says more
                    self._writer.close()
            for part in self._parts[1:]:
                part.unlink(missing_ok=True)

    def write(self, batch: Batch) -> None:
        """Take a batch; malformed lines come among the rows, in the order of their lines."""
        table = _table(batch)
        known = set(self._schema.names)
        new = [each for each in table.schema if each.name not in known]
        if new:
            self._flush()
            self._close()
            self._schema = pa.schema([*self._schema, *new])
        self._waiting.append(widened(table, self._schema))
        self._bytes += table.nbytes
        self.rows += table.num_rows
        self.malformed += len(batch.malformed)
        if self._bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._settle()
        if self._waiting:
            self._writing = self._thread.submit(self._open().write_table, pa.concat_tables(self._waiting))
        self._waiting, self._bytes = [], 0

    def _settle(self) -> None:
        """Wait for the row group that is being written."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _open(self) -> pq.ParquetWriter:
        if self._writer is None:
            path = self._path.with_suffix(f".{len(self._parts)}.parquet") if self._parts else self._path
            self._parts.append(path)
            self._writer = vault.writer(path, self._schema, self._settings)
        return self._writer

    def _close(self) -> None:
        self._settle()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _finish(self) -> None:
        self._flush()
        self._open()
        self._close()
        if len(self._parts) > 1:
            self._merge()

    def _merge(self) -> None:
        whole = self._path.with_suffix(".whole.parquet")
        self._parts.append(whole)
        with vault.writer(whole, self._schema, self._settings) as writer:
            for part in self._parts[:-1]:
                with vault.reader(part, self._settings) as file:
                    for group in range(file.num_row_groups):
                        writer.write_table(widened(file.read_row_group(group), self._schema))
        whole.replace(self._path)


def widened(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table with all columns of a schema, in its order; nulls where it has none."""
    if table.schema.equals(schema):
        return table
    there = dict(zip(table.column_names, table.columns, strict=True))
    columns = [there[field.name] if field.name in there else pa.nulls(table.num_rows, field.type) for field in schema]
    return pa.table(columns, schema=schema)


def _table(batch: Batch) -> pa.Table:
    nothing = pa.nulls(batch.rows.num_rows, pa.string())
    own = [batch.lines, nothing, nothing, nothing]
    table = pa.table([*own, *batch.rows.columns], schema=pa.schema([*OWN.items(), *batch.rows.schema]))
    if not batch.malformed:
        return table
    marked = pa.table(
        {
            LINE: pa.array([each.line for each in batch.malformed], pa.uint32()),
            VALUE: [each.value for each in batch.malformed],
            RULE: [each.rule for each in batch.malformed],
            REMEDY: [each.remedy for each in batch.malformed],
        }
    )
    both = pa.concat_tables([table, widened(marked, table.schema)])
    return both.sort_by(LINE)
