"""Views of which a key's rows are made of its own rows alone (`APART`): some keys at a time, whatever their number.

The columns that such a view takes are read once and dealt into buckets of keys on the disk; each bucket's rows lie
there by month until all are done, and then a month's are compared. So memory holds one bucket, or a month's rows.
"""

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow.parquet as pq

from feature_repo.features.view import View
from feature_repo.mart import pieces, timeline
from feature_repo.mart.plans import Plans, declared
from feature_repo.mart.timeline import Timeline
from motherlode import names
from motherlode.settings import Settings

ROWS_PER_BUCKET: Final = 2_000_000
"""Rows of a view's tables, on average: what its plans hold in memory at a time."""
KEYS_PER_BUCKET: Final = 100_000
"""A plan also holds every key at every edge of a window, however few its rows."""
MOST: Final = 500
"""Buckets; a file of each is open at once."""
ROWS_AT_ONCE: Final = 1_000_000
"""Rows that are dealt together."""
_BUCKET: Final = "_bucket"


def months(
    settings: Settings, view: View, times: Sequence[datetime], plans: Plans
) -> Iterator[tuple[str, pl.DataFrame]]:
    """A view's rows at some snapshots, compared where it compares: month → rows, each month once.

    Args:
        settings: where.
        view: which; it says `apart`.
        times: the snapshots.
        plans: how it is run.

    Raises:
        DataError, DeviceError: as in `Plans.rows`.
    """
    if not times:
        return
    with _folder(settings) as folder:
        written: dict[str, list[Path]] = defaultdict(list)
        for number, tables in enumerate(_buckets(settings, view, plans.timeline, folder)):
            rows = plans.rows(view, declared(view, tables, plans.timeline), times, apart=True)
            for month, moments in pieces.by_era(times).items():
                part = rows.filter(pl.col(names.EVENT_TIMESTAMP).is_in(pieces.series(moments).implode()))
                written[month].append(folder / f"{month}.{number}.parquet")
                part.write_parquet(written[month][-1], compression="lz4", statistics=False)
        for month, paths in written.items():
            rows = pl.concat([pl.read_parquet(path, glob=False) for path in paths])
            yield month, rows if view.across is None else plans.compared(view, rows)


@contextmanager
def _folder(settings: Settings) -> Iterator[Path]:
    """A folder in the mart that goes with the block; where the process is killed, the next build sweeps it."""
    scratch = settings.mart / pieces.SCRATCH
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=scratch))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _buckets(settings: Settings, view: View, known: Timeline, folder: Path) -> Iterator[Mapping[str, pl.LazyFrame]]:
    """The tables of each bucket of keys: those that the view takes apart, and the others whole."""
    tables = {name: timeline.scan(settings, known, name) for name in known.parts}
    taken = {name: _only(tables[name], columns) for name, columns in view.apart.items()}
    keys = _keys(taken.values(), view.key)
    rows = sum(sum(part.rows) for name in taken for month in known.parts[name].values() for part in month)
    number = _number(rows, len(keys))
    if number == 1:
        yield tables | taken
        return
    buckets = pl.DataFrame([keys, timeline.buckets(keys, number).alias(_BUCKET)])
    dealt = {}
    for name, table in taken.items():
        paths = [settings.mart / part.path for month in known.parts[name].values() for part in month]
        files = [folder / f"{name}.{each}.parquet" for each in range(number)]
        _deal(paths, table.collect_schema(), buckets, files)
        dealt[name] = files
    for each in range(number):
        yield tables | {name: pl.scan_parquet(files[each], glob=False) for name, files in dealt.items()}
        for files in dealt.values():
            files[each].unlink()


def _number(rows: int, keys: int) -> int:
    """Of buckets, for so many rows and keys."""
    return min(MOST, max(1, -(-rows // ROWS_PER_BUCKET), -(-keys // KEYS_PER_BUCKET)))


def _only(table: pl.LazyFrame, columns: Sequence[str]) -> pl.LazyFrame:
    """Those of the columns that may be seen."""
    there = table.collect_schema().names()
    return table.select(name for name in columns if name in there)


def _keys(tables: Iterable[pl.LazyFrame], key: str) -> pl.Series:
    """Every key."""
    found = pl.concat([table.select(key) for table in tables]).unique().collect(engine="streaming")
    return found[key].drop_nulls()


def _deal(paths: Sequence[Path], schema: pl.Schema, buckets: pl.DataFrame, files: Sequence[Path]) -> None:
    """Write every bucket's rows of a table's parts to its file; rows without a key are in none."""
    key = buckets.columns[0]
    empty = pl.DataFrame(schema=schema)
    columns = empty.to_arrow().schema
    with ExitStack() as stack:
        # Of numbers a dictionary takes longer than it saves, and nobody looks for a part of a bucket.
        how: dict[str, Any] = {"compression": "lz4", "use_dictionary": [key], "write_statistics": False}
        writers = [stack.enter_context(pq.ParquetWriter(file, columns, **how)) for file in files]
        for path in paths:
            for batch in _batches(path, schema):
                rows = pl.concat([empty, batch], how="diagonal_relaxed").join(buckets, on=key, how="inner")
                for (number,), part in rows.partition_by(_BUCKET, as_dict=True, include_key=False).items():
                    writers[int(str(number))].write_table(part.to_arrow().cast(columns))


def _batches(path: Path, schema: pl.Schema) -> Iterator[pl.DataFrame]:
    """A file's rows, some at a time; those of the columns that it has."""
    with pq.ParquetFile(path) as source:
        there = [name for name in source.schema_arrow.names if name in schema]
        for batch in source.iter_batches(ROWS_AT_ONCE, columns=there):
            yield pl.DataFrame(pl.from_arrow(batch))
