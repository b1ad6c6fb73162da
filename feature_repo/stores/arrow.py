"""Arrow tables where Polars and Feast's users differ: time zones and the large types."""

import re
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
