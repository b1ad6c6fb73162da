"""Parquet files without reading them whole: what their footers say of a column, and some of their rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Extent:
    """What the parquet say of a column.

    Attributes:
        rows: of all files.
        nulls: of them; None where a file does not say.
        low, high: numbers and times; None where a file does not say, or no value is there.
    """

    rows: int
    nulls: int | None
    low: Any = None
    high: Any = None


def extents(paths: Iterable[Path]) -> dict[str, Extent]:
    """Column → what all files together say of it; a column that a file lacks is null there.

    Raises:
        OSError: a file is not there, or is no Parquet file.
    """
    total = 0
    groups: dict[str, list[tuple[int, Any]]] = {}
    for path in paths:
        metadata = pq.read_metadata(path)
        total += metadata.num_rows
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            for place in range(group.num_columns):
                column = group.column(place)
                groups.setdefault(column.path_in_schema, []).append((group.num_rows, column.statistics))
    return {name: _extent(total, found) for name, found in groups.items()}


def sample(paths: Iterable[Path], most: int, groups: int = 16) -> Iterator[pl.DataFrame]:
    """At most `most` rows: the first ones of `groups` row groups, evenly spread over the files.

    First ones, since the pages behind them are then never decoded: the cost hangs on `most`, not on the files' size.

    Raises:
        OSError: a file is not there, or is no Parquet file.
    """
    found = [(path, group) for path in paths for group in range(pq.read_metadata(path).num_row_groups)]
    step = max(len(found) / groups, 1.0)
    chosen = [found[int(place * step)] for place in range(min(groups, len(found)))]
    for path, group in chosen:
        with pq.ParquetFile(path) as file:
            batch = next(file.iter_batches(batch_size=max(most // len(chosen), 1), row_groups=[group]))
            frame = pl.from_arrow(pa.Table.from_batches([batch]))
        assert isinstance(frame, pl.DataFrame)
        yield frame


def _extent(total: int, found: list[tuple[int, Any]]) -> Extent:
    absent = total - sum(rows for rows, _ in found)
    if any(it is None or not it.has_null_count for _, it in found):
        return Extent(total, None)
    nulls = absent + sum(it.null_count for _, it in found)
    filled = [it for rows, it in found if it.null_count < rows]
    if not filled or not all(it.has_min_max and isinstance(it.min, int | float | datetime) for it in filled):
        return Extent(total, nulls)
    return Extent(total, nulls, min(it.min for it in filled), max(it.max for it in filled))
