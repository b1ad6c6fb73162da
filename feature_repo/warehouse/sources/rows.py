"""Rows of tables and queries, which are no files: plain columns, numbered, and a digest of what they hold."""

from collections.abc import Iterable, Iterator
from hashlib import sha256

import polars as pl
import pyarrow as pa

from feature_repo.warehouse.sources import parquet
from feature_repo.warehouse.sources.reading import Batch, Reading


def reading(tables: Iterable[pa.Table], schema: pa.Schema, how: dict[str, str]) -> Reading:
    """Rows with their types, read table by table. The digest does not depend on the rows' order."""
    made = Reading(iter(()), how, _plain(schema.empty_table())[1].schema)
    made.batches = _batches(tables, made)
    return made


def _batches(tables: Iterable[pa.Table], made: Reading) -> Iterator[Batch]:
    count = total = 0
    for table in tables:
        frame, plain = _plain(table)
        numbers = pl.int_range(count + 1, count + frame.height + 1, dtype=pl.UInt32, eager=True)
        count += frame.height
        total += sum(_row_hashes(frame))
        yield Batch(plain, numbers.to_arrow())
    names = ",".join(f"{field.name}:{field.type}" for field in made.columns)
    made.digest = sha256(f"{names}|{count}|{total % (1 << 128):x}".encode()).hexdigest()


def _plain(table: pa.Table) -> tuple[pl.DataFrame, pa.Table]:
    frame = parquet.plain(table)
    return frame, frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _row_hashes(frame: pl.DataFrame) -> Iterator[int]:
    if not frame.width:
        return
    texts = frame.select(pl.struct(pl.all()).struct.json_encode()).to_series()
    for text in texts:
        yield int.from_bytes(sha256(text.encode()).digest()[:16])
