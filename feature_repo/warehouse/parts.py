"""Parts of a layer: Parquet files that are written in chunks, and named by their content once they are whole."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.warehouse import files, vault
from feature_repo.warehouse.contract import LINE, ROW
from feature_repo.warehouse.state import Part
from motherlode.bundle import sha256
from motherlode.settings import Settings

KEY: Final = "_key"
"""UInt64: hash of a row's key columns, or of its whole content where the table has none; in clean alone."""

_GROUP: Final = 250_000
"""Rows of a row group at the most."""
_LEVEL: Final = 1
"""zstd's: higher ones cost more time than reading back less saves."""
_NO_DICTIONARY: Final = (KEY, ROW, LINE)
"""Columns of values that hardly ever repeat."""


class Writer:
    """Writes one part's rows, chunk by chunk; encodes a chunk while the next is being made.

    Args:
        path: where to write.
        settings, secret: whether the part belongs to raw, and is encrypted where raw is.
        even_empty: whether a chunk without rows counts.
    """

    def __init__(self, path: Path, settings: Settings, *, secret: bool = False, even_empty: bool = False) -> None:
        self._path, self._settings, self._secret, self._even_empty = path, settings, secret, even_empty
        self._file: pq.ParquetWriter | None = None
        self._encoder = ThreadPoolExecutor(max_workers=1)
        self._pending: Future[None] | None = None
        self.rows = 0

    def append(self, frame: pl.DataFrame) -> None:
        """Add rows; every chunk has the first one's columns and begins a row group. None begins none."""
        if not frame.height and not self._even_empty:
            return
        # A frame is not for two threads at once: what the encoder gets is nobody else's.
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        self._wait()
        self.rows += frame.height
        self._pending = self._encoder.submit(self._write, table)

    def finish(self) -> None:
        """Write what is pending, and the footer."""
        self._wait()
        if self._file is not None:
            self._file.close()
        self._encoder.shutdown()

    def abandon(self) -> None:
        """Let go of the file, whatever state it is in."""
        self._encoder.shutdown(wait=True, cancel_futures=True)
        if self._file is not None:
            with suppress(OSError):  # its footer may meet the same full disk; the file is thrown away in any case
                self._file.close()

    def _wait(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def _write(self, table: pa.Table) -> None:
        if self._file is None:
            self._file = self._open(table.schema)
        self._file.write_table(table, row_group_size=_GROUP)

    def _open(self, schema: pa.Schema) -> pq.ParquetWriter:
        if self._secret:
            return vault.writer(self._path, schema, self._settings)
        encoded = [name for name in schema.names if name not in _NO_DICTIONARY]
        return pq.ParquetWriter(
            self._path, schema, compression="zstd", compression_level=_LEVEL, use_dictionary=encoded
        )


class Draft:
    """A part that is being written; `part` once the block has ended."""

    def __init__(self, writer: Writer) -> None:
        self.append = writer.append
        self.part: Part | None = None


@contextmanager
def writing(
    settings: Settings, folder: str, stem: str, *, secret: bool = False, even_empty: bool = False
) -> Iterator[Draft]:
    """Write `<home>/<folder>/<stem>.<8 hex digits of its SHA-256>.parquet`; no rows, no file.

    Args:
        settings: whose home.
        folder, stem: below home.
        secret: whether the part belongs to raw, and is encrypted where raw is.
        even_empty: write a file also of no rows.

    Raises:
        DataError: the system refuses to write.
    """
    target = settings.home / folder / f"{stem}.parquet"
    with files.writing(target) as temporary:
        writer = Writer(temporary, settings, secret=secret, even_empty=even_empty)
        draft = Draft(writer)
        try:
            yield draft
            writer.finish()
        except BaseException:  # also Ctrl-C: no thread may go on writing to a file that is thrown away
            writer.abandon()
            raise
        if writer.rows or even_empty:
            digest = sha256(temporary)
            target = target.with_name(f"{stem}.{digest[:8]}.parquet")
            temporary.replace(target)
            draft.part = Part(path=target.relative_to(settings.home).as_posix(), rows=writer.rows, sha256=digest)


def write(
    settings: Settings, folder: str, stem: str, frames: Iterable[pl.DataFrame], *, secret: bool = False
) -> Part | None:
    """Write frames as one part; None where they have no rows."""
    with writing(settings, folder, stem, secret=secret) as draft:
        for frame in frames:
            draft.append(frame)
    return draft.part


def write_empty(settings: Settings, folder: str, stem: str, frame: pl.DataFrame) -> Part:
    """A part without rows, where the file itself says something."""
    with writing(settings, folder, stem, even_empty=True) as draft:
        draft.append(frame)
    assert draft.part is not None
    return draft.part


def holds(settings: Settings, part: Part | None) -> bool:
    """Whether the part is there, whole, and has its rows: by its footer, without reading them."""
    if part is None:
        return True
    path = settings.home / part.path
    try:
        if part.path.startswith("raw/"):
            return path.stat().st_size > 0
        return bool(pq.read_metadata(path).num_rows == part.rows)
    except (OSError, pa.ArrowException):
        return False


def scan(settings: Settings, parts: Iterable[Part | None]) -> list[pl.LazyFrame]:
    """Parts as lazy frames, in order; the absent ones left out."""
    return [pl.scan_parquet(settings.home / part.path, glob=False) for part in parts if part is not None]


def together(settings: Settings, parts: Iterable[Part | None], schema: pl.Schema) -> pl.LazyFrame:
    """The rows of parts as one frame of these columns, in order; none where there is none.

    One scan of all: a plan that puts thousands of scans together takes Polars a minute to make.
    """
    paths = [settings.home / part.path for part in parts if part is not None]
    if not paths:
        return pl.LazyFrame(schema=schema)
    return pl.scan_parquet(paths, glob=False, schema=schema, extra_columns="ignore")
