"""Parquet: whether a file is one, and its columns as plain ones."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from motherlode.errors import DataError

MAGIC: Final = b"PAR1"
_FOOTER: Final = 12
_STEP: Final = 131_072
"""Rows that are decoded at once."""
_AGAIN: Final = "Copy or export it again."


def check(path: Path, name: str) -> int:
    """The rows of a Parquet file that can be read: every page is decoded once, its checksum compared where it has one.

    Raises:
        DataError: it is empty, cut short, damaged, encrypted by somebody else, or no Parquet file.
    """
    size = path.stat().st_size
    if not size:
        raise DataError(f"{name} is empty.", "Export it again, or leave it out.")
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
        file.seek(max(0, size - len(MAGIC)))
        tail = file.read()
    if head == b"PARE":
        raise DataError(f"{name} is an encrypted Parquet file.", "Export it without encryption: raw has its own.")
    if head != MAGIC:
        raise DataError(f"{name} is no Parquet file: it begins with {head!r}.", "State the source's `format`.")
    if tail != MAGIC or size < _FOOTER:
        raise DataError(f"{name} is a Parquet file without its end.", "It was cut short on its way: copy it again.")
    try:
        with pq.ParquetFile(path) as parquet:
            names, rows = parquet.schema_arrow.names, int(parquet.metadata.num_rows)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{name} cannot be read as Parquet: {first_line(error)}.", _AGAIN) from error
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise DataError(f"{name} has two columns named {twice!r}.", "Rename one of them in the export.")
    _decode(path, name, rows)
    return rows


def _decode(path: Path, name: str, rows: int) -> None:
    """Read all of a file and keep nothing: its footer says nothing of its pages."""
    decoded = 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            for batch in parquet.iter_batches(_STEP):
                check_texts(batch)
                decoded += batch.num_rows
    except NotImplementedError as error:
        raise DataError(f"{name} cannot be read as Parquet: {first_line(error)}.", "Export it otherwise.") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{name} is damaged: {first_line(error)}.", _AGAIN) from error
    if decoded != rows:
        raise DataError(f"{name} is damaged: it says that it has {rows:,} rows, and has {decoded:,}.", _AGAIN)


def check_texts(batch: pa.RecordBatch) -> None:
    """Check that texts are UTF-8: Polars takes them unseen, and one that is not ends the process when it is shown.

    Raises:
        pa.ArrowInvalid: one is not.
    """
    for column in batch.columns:
        kind = column.type
        if (
            pa.types.is_string(kind)
            or pa.types.is_large_string(kind)
            or pa.types.is_string_view(kind)
            or (pa.types.is_nested(kind) or pa.types.is_dictionary(kind))
        ):
            column.validate(full=True)


def first_line(error: BaseException) -> str:
    """An error's first line, without its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def leaves(schema: pa.Schema) -> dict[str, str]:
    """The plain columns of a schema, `<column>.<field>` for a struct's → the column that each lies in."""
    return {name: top.name for top in schema for name in _leaves(top)}


def _leaves(field: pa.Field) -> Iterator[str]:
    if not pa.types.is_struct(field.type):
        yield field.name
        return
    for inner in field.type:
        yield from (f"{field.name}.{name}" for name in _leaves(inner))


def plain(table: pa.Table) -> pl.DataFrame:
    """A table as a frame of plain columns: structs flattened, lists and maps as JSON text, bytes as text.

    Bytes that are no UTF-8 are shown in hexadecimal, after `\\x`. A column without a type is text.
    """
    while any(pa.types.is_struct(each.type) for each in table.schema):
        table = table.flatten()
    for at, each in enumerate(table.schema):
        made = _plain(table.column(at), each.type)
        if made is not None:
            table = table.set_column(at, each.name, made)
    return pl.DataFrame(pl.from_arrow(table, rechunk=False))


def _plain(column: pa.ChunkedArray, dtype: pa.DataType) -> pa.ChunkedArray | pa.Array | None:
    """A column of a type that Polars or a mapping cannot do with, as one that they can; None: it is one."""
    if pa.types.is_dictionary(dtype):
        return column.cast(dtype.value_type)
    if pa.types.is_null(dtype):
        return pa.nulls(len(column), pa.string())
    if pa.types.is_float16(dtype):
        return column.cast(pa.float32())
    if pa.types.is_binary(dtype) or pa.types.is_large_binary(dtype) or pa.types.is_fixed_size_binary(dtype):
        return _texts(column)
    if _nested(dtype):
        return pa.array([None if each is None else _json(each) for each in column.to_pylist()], pa.string())
    if pa.types.is_decimal256(dtype) or isinstance(dtype, pa.BaseExtensionType):
        return pa.array([None if each is None else str(each) for each in column.to_pylist()], pa.string())
    return None


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Bytes as text: what older programs write for a column of text."""
    try:
        return column.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if each is None else _text(each) for each in column.to_pylist()], pa.string())


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"\\x{value.hex()}"


def _nested(dtype: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(dtype)
        or pa.types.is_large_list(dtype)
        or pa.types.is_fixed_size_list(dtype)
        or pa.types.is_map(dtype)
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":"))
