"""Columns of values in their three forms: Polars series, packed values, Feast's protos."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE

from feature_repo.stores.dtypes import Kind
from motherlode.errors import DataError
from motherlode.packed import Column, Values

_SECOND: int = 1_000_000
"""Microseconds: Feast's protos hold whole seconds."""


def from_series(series: pl.Series, column: Column) -> Values:
    """A Polars column as packed values.

    Args:
        series: N values of `dtypes.polars_type(column.dtype)`.
        column: its name and packed type.

    Raises:
        DataError: a list holds a null that its type has no value for.
    """
    valid = series.is_not_null().to_numpy()
    if column.dtype == "timestamp":
        series = series.cast(pl.Int64)
    if column.fixed:
        filled = series if valid.all() else series.fill_null(strategy="zero")
        return Values(filled.to_numpy(), valid)
    if column.dtype in ("string", "bytes"):
        return Values(_objects(series.to_list()), valid)
    return Values(_lists(series, column), valid)


def _lists(series: pl.Series, column: Column) -> npt.NDArray[np.object_]:
    """Each row's elements: a NumPy view of all of them, or a Python list of strings or bytes."""
    elements = series.drop_nulls().explode(empty_as_null=False)
    if elements.null_count():
        elements = _without_nulls(elements, column)
    ends = series.list.len().fill_null(0).cum_sum().to_numpy()
    flat: Any
    if column.dtype in ("list<string>", "list<bytes>"):
        flat = elements.to_list()
    else:
        flat = (elements.cast(pl.Int64) if column.dtype == "list<timestamp>" else elements).to_numpy()
    starts = [0, *ends[:-1].tolist()] if len(ends) else []
    return _objects([flat[a:b] for a, b in zip(starts, ends.tolist(), strict=True)])


def _without_nulls(elements: pl.Series, column: Column) -> pl.Series:
    """A null inside a list: NaN among floats, as Feast "" among strings; elsewhere there is no such value."""
    if column.dtype in ("list<float32>", "list<float64>"):
        return elements.fill_null(float("nan"))
    if column.dtype == "list<string>":
        return elements.fill_null("")
    raise DataError(
        f"A list of column {column.name!r} ({column.dtype}) holds a null.",
        "Drop the null, or make the column a list of floats or strings.",
    )


def from_protos(protos: Sequence[Value | None], column: Column, kind: Kind) -> Values:
    """A column of Feast's protos as packed values.

    Args:
        protos: N values; None or one with nothing set is null.
        column: its name and packed type.
        kind: where the proto keeps it.

    Raises:
        DataError: a proto holds another type.
    """
    data = _zeros(column, len(protos))
    valid = np.zeros(len(protos), dtype=np.bool_)
    for i, proto in enumerate(protos):
        held = None if proto is None else proto.WhichOneof("val")
        if proto is None or held in (None, "null_val"):
            continue
        if held != kind.proto:
            raise DataError(
                f"A value of feature {column.name!r} is {held}, not {kind.proto}.", "Send what the view declares."
            )
        value = getattr(proto, kind.proto)
        if column.dtype == "timestamp":
            if value == NULL_TIMESTAMP_INT_VALUE:
                continue
            value *= _SECOND
        elif kind.collection:
            value = list(value.val)
            if column.dtype == "list<timestamp>":
                value = [second * _SECOND for second in value]
        data[i] = value
        valid[i] = True
    return Values(data, valid)


def to_protos(values: Values, column: Column, kind: Kind) -> list[Value | None]:
    """Packed values as Feast's protos; None where null."""
    data: list[Any] = values.data.tolist()
    if column.dtype == "timestamp":
        data = (values.data // _SECOND).tolist()
    if not kind.collection:
        field = kind.proto
        return [Value(**{field: v}) if ok else None for v, ok in zip(data, values.valid.tolist(), strict=True)]
    protos: list[Value | None] = []
    for value, ok in zip(data, values.valid.tolist(), strict=True):
        if not ok:
            protos.append(None)
            continue
        proto = Value()
        elements = getattr(proto, kind.proto)
        elements.SetInParent()  # an empty list is a list
        elements.val.extend(_elements(value, column))
        protos.append(proto)
    return protos


def _elements(value: Any, column: Column) -> list[Any]:
    """One list as Python values that protobuf takes."""
    if column.dtype in ("list<string>", "list<bytes>"):
        return list(value)
    if column.dtype == "list<timestamp>":
        value = value // _SECOND
    return list((value.astype(np.bool_) if column.dtype == "list<bool>" else value).tolist())


def _zeros(column: Column, n: int) -> npt.NDArray[Any]:
    if not column.fixed:
        return np.empty(n, dtype=object)
    return np.zeros(n, dtype=np.int64 if column.dtype == "timestamp" else column.dtype)


def _objects(items: Sequence[Any]) -> npt.NDArray[np.object_]:
    """An array of objects, even where all are lists of one length."""
    out = np.empty(len(items), dtype=object)
    out[:] = items
    return out
