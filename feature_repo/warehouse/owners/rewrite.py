"""A raw file without some of its rows, and without a word in some of its cells."""

import re
from collections.abc import Callable, Mapping, Set
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.warehouse import vault
from feature_repo.warehouse.owners.sought import GONE
from feature_repo.warehouse.raw_file import RULE, VALUE
from motherlode.settings import Settings

_STEP = 131_072
"""Rows that are read at once."""


def rewrite(
    settings: Settings,
    path: Path,
    target: Path,
    rows: Set[int],
    cells: Mapping[str, Set[int]],
    pattern: re.Pattern[str] | None,
) -> int:
    """Write a raw file anew, encrypted where raw is.

    Args:
        settings: the raw key.
        path: of the file.
        target: of what is written.
        rows: `_row` of those that are left out, from 1.
        cells: column → `_row` of those in which it loses the words of `pattern`; one that is no text loses its value.
        pattern: the words.

    Returns:
        How many rows it has.

    Raises:
        DataError: the file cannot be read.
        OSError: the system refuses to write.
    """
    kept = before = 0
    with vault.reader(path, settings) as file:
        schema = _nullable(file.schema_arrow, cells)
        with vault.writer(target, schema, settings) as writer:
            for group in range(file.num_row_groups):
                try:
                    table = file.read_row_group(group)
                except (pa.ArrowException, OSError, ValueError) as error:
                    raise vault.unreadable(path, error) from error
                numbers = np.arange(before + 1, before + table.num_rows + 1)
                before += table.num_rows
                for column, mine in cells.items():
                    table = _without(table, column, np.flatnonzero(_among(numbers, mine)), pattern)
                table = table.cast(schema).filter(pa.array(~_among(numbers, rows)))
                if table.num_rows:
                    writer.write_table(table, row_group_size=table.num_rows)
                    kept += table.num_rows
    return kept


def malformed(settings: Settings, path: Path, theirs: Callable[[str], bool]) -> set[int]:
    """The lines of a raw file that are no row and are somebody's: their place in the file, from 1."""
    found: set[int] = set()
    before = 0
    with vault.reader(path, settings) as file:
        if RULE not in file.schema_arrow.names:
            return found
        for batch in vault.batches(file, path, _STEP, [RULE, VALUE]):
            for at in pc.indices_nonzero(pc.is_valid(batch.column(RULE))).to_pylist():
                if theirs(batch.column(VALUE)[at].as_py() or ""):
                    found.add(before + at + 1)
            before += batch.num_rows
    return found


def _among(numbers: np.ndarray, some: Set[int]) -> np.ndarray:
    return np.isin(numbers, np.fromiter(some, np.int64, len(some)))


def _without(table: pa.Table, column: str, at: np.ndarray, pattern: re.Pattern[str] | None) -> pa.Table:
    """A table whose cells at some places have lost a word."""
    if not len(at):
        return table
    index, mask = table.schema.get_field_index(column), np.zeros(table.num_rows, dtype=bool)
    mask[at] = True
    dtype = table.schema.field(index).type
    text = pa.types.is_string(dtype) or pa.types.is_large_string(dtype)
    held = table.column(index).take(pa.array(at)).to_pylist() if text else [None] * len(at)
    put = [None if each is None or pattern is None else pattern.sub(GONE, each) for each in held]
    if text:
        made = pc.replace_with_mask(table.column(index), pa.array(mask), pa.array(put, dtype))
    else:  # a list, an object, bytes: no place in it is a word of its own
        made = pc.if_else(pa.array(mask), pa.scalar(None, dtype), table.column(index))
    return table.set_column(index, pa.field(column, dtype), made)


def _nullable(schema: pa.Schema, cells: Mapping[str, Set[int]]) -> pa.Schema:
    fields = [field.with_nullable(True) if field.name in cells else field for field in schema]
    return pa.schema(fields, metadata=schema.metadata)
