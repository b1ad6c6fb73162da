"""A view's pieces: one Parquet file for each partition and era, sorted by time, then key."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.features.view import View
from feature_repo.mart.manifest import Piece
from feature_repo.warehouse import files
from motherlode import names
from motherlode.bundle import sha256
from motherlode.settings import Settings

WHOLE: Final = -1
"""The partition of a piece that holds rows of all customers, or of items."""
SCRATCH: Final = ".scratch"
"""Below the mart: rows on their way from the partitions to the comparison of all customers."""

_GROUP: Final = 250_000
_LEVEL: Final = 1
_TIME: Final = pl.Datetime("us", "UTC")


def era(moment: datetime) -> str:
    """The month of a snapshot, as "2024-03"."""
    return f"{moment:%Y-%m}"


def by_era(times: Iterable[datetime]) -> dict[str, list[datetime]]:
    """Snapshots by their month."""
    found: dict[str, list[datetime]] = {}
    for moment in times:
        found.setdefault(era(moment), []).append(moment)
    return found


def schema(view: View) -> pl.Schema:
    """A piece's columns: the key, event_timestamp, the features, created_timestamp."""
    return pl.Schema(
        {
            view.key: pl.String(),
            names.EVENT_TIMESTAMP: _TIME,
            **view.features,
            names.CREATED_TIMESTAMP: _TIME,
        }
    )


def series(times: Sequence[datetime]) -> pl.Series:
    """Snapshots as a column."""
    return pl.Series(names.EVENT_TIMESTAMP, times, dtype=_TIME)


def created(frame: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """The rows with their `created_timestamp`."""
    return frame.with_columns(pl.lit(moment, dtype=_TIME).alias(names.CREATED_TIMESTAMP))


def read(settings: Settings, view: View, found: Iterable[Piece]) -> pl.DataFrame:
    """The rows of pieces, one after the other."""
    frames = [pl.read_parquet(settings.mart / piece.path, glob=False) for piece in found]
    return pl.concat([pl.DataFrame(schema=schema(view)), *frames])


def write(settings: Settings, view: View, partition: int, month: str, rows: pl.DataFrame) -> Piece:
    """Write rows as a piece, under a name that tells its content."""
    ordered = rows.select(schema(view).names()).sort(names.EVENT_TIMESTAMP, view.key)
    stem = f"{month or 'none'}.{'all' if partition == WHOLE else partition}"
    path, digest = _write(settings.mart / view.name / stem, ordered, _arrow_schema(schema(view)))
    return Piece(
        path=path.relative_to(settings.mart).as_posix(),
        partition=partition,
        era=month,
        rows=rows.height,
        sha256=digest,
    )


def fitted(settings: Settings, view: View, piece: Piece) -> Piece:
    """A piece of rows that were written to a view, with the columns that the view has now: new ones are null."""
    path = settings.mart / piece.path
    wanted = schema(view)
    if pl.read_parquet_schema(path) == wanted:
        return piece
    frame = pl.read_parquet(path, glob=False)
    lacking = {name: None for name in wanted if name not in frame.columns}
    rows = frame.with_columns(**lacking).select(
        pl.col(name).cast(dtype, strict=False) for name, dtype in wanted.items()
    )
    return write(settings, view, piece.partition, piece.era, rows)


def write_scratch(settings: Settings, view: View, partition: int, month: str, rows: pl.DataFrame) -> str:
    """Write rows that still lack what compares customers; returns the file's path below the mart."""
    path, _ = _write(settings.mart / SCRATCH / f"{view.name}.{month}.{partition}", rows, _arrow_schema(rows.schema))
    return path.relative_to(settings.mart).as_posix()


def _write(stem: Path, rows: pl.DataFrame, columns: pa.Schema) -> tuple[Path, str]:
    """Write a file whose name ends in its content's digest: where it lies, and the digest."""
    # Numbers hardly ever repeat: to look for those that do takes three times as long as to write them.
    repeating = [field.name for field in columns if not pa.types.is_primitive(field.type)]
    with files.writing(stem) as temporary:
        with pq.ParquetWriter(
            temporary, columns, compression="zstd", compression_level=_LEVEL, use_dictionary=repeating
        ) as writer:
            table = rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(columns)
            writer.write_table(table, row_group_size=_GROUP)
        digest = sha256(temporary)
        target = stem.with_name(f"{stem.name}.{digest[:16]}.parquet")
        temporary.replace(target)
    return target, digest


def _arrow_schema(columns: Mapping[str, pl.DataType]) -> pa.Schema:
    return pa.schema([(name, _arrow_type(dtype)) for name, dtype in columns.items()])


def _arrow_type(dtype: pl.DataType) -> pa.DataType:
    """Arrow's plain type of a column: `string`, not `large_string`, which fewer readers know."""
    if isinstance(dtype, pl.List):
        return pa.list_(_arrow_type(pl.Series(dtype=dtype.inner).dtype))
    if dtype == pl.String:
        return pa.string()
    return pl.Series(dtype=dtype).to_arrow().type
