"""Arrow tables where Polars and Feast's users differ: time zones and the large types."""

import re
from collections.abc import Sequence
from typing import Final

import polars as pl
import pyarrow as pa

_OFFSET: Final = re.compile(r"[+-]\d\d:?\d\d")
_LARGEST: Final = 2**31
"""Bytes: what the 32-bit offsets of string and list can address."""


def has_offsets(schema: pa.Schema) -> bool:
    """Whether a column's time zone is a bare offset (+05:30), which Polars refuses, in Parquet with a panic."""
    return any(_zone(field.type) is not None and _OFFSET.fullmatch(_zone(field.type) or "") for field in schema)


def in_utc(table: pa.Table) -> pa.Table:
    """The table with every zoned time in UTC: the same instants."""
    fields = [
        field.with_type(pa.timestamp(field.type.unit, "UTC")) if _zone(field.type) is not None else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


def from_polars(frame: pl.DataFrame) -> pa.Table:
    """A frame in the types that Feast's users expect: string and list, not their large kin, where they fit."""
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    fields = [
        field.with_type(_small(field.type)) if column.nbytes < _LARGEST else field
        for field, column in zip(table.schema, table.columns, strict=True)
    ]
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


def plain(dtype: pa.DataType) -> pa.DataType:
    """The type in which values are gathered: no dictionary, no view, and offsets that do not run out."""
    if pa.types.is_dictionary(dtype):
        return plain(dtype.value_type)
    if pa.types.is_string(dtype) or pa.types.is_string_view(dtype):
        return pa.large_string()
    if pa.types.is_binary(dtype) or pa.types.is_binary_view(dtype):
        return pa.large_binary()
    if pa.types.is_list(dtype):
        return pa.large_list(plain(dtype.value_type))
    return dtype


def join_chunks(columns: Sequence[pa.ChunkedArray], dtype: pa.DataType) -> pa.Array:
    """Columns one after another as one array of a type of `plain`'s."""
    chunks = [chunk if chunk.type == dtype else chunk.cast(dtype) for column in columns for chunk in column.chunks]
    if len(chunks) == 1:
        return chunks[0]
    return pa.concat_arrays(chunks) if chunks else pa.array([], dtype)


def small(column: pa.Array) -> pa.Array:
    """A column in the type that Feast's users expect: string and list, not their large kin, where they fit."""
    dtype = _small(column.type)
    return column.cast(dtype) if dtype != column.type and column.nbytes < _LARGEST else column


def _zone(dtype: pa.DataType) -> str | None:
    return dtype.tz if pa.types.is_timestamp(dtype) else None


def _small(dtype: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(dtype):
        return pa.string()
    if pa.types.is_large_binary(dtype):
        return pa.binary()
    if pa.types.is_large_list(dtype):
        return pa.list_(_small(dtype.value_type))
    return dtype
