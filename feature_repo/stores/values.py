"""Columns of Polars as packed values; Feast's protos are in `stores.protos`."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from motherlode.errors import DataError
from motherlode.packed import FIXED, Column, Ragged, Values


def from_series(series: pl.Series, column: Column) -> Values | Ragged:
    """A Polars column as packed values, without a Python object for a row where its type allows.

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
        return _flat(series, valid)
    elements, ends = _elements(series, column)
    if column.dtype in ("list<string>", "list<bytes>"):
        return Values(_pieces(elements.to_list(), ends), valid)
    stored = np.dtype(FIXED[column.dtype[5:-1]])
    numbers = (elements.cast(pl.Int64) if column.dtype == "list<timestamp>" else elements).to_numpy()
    return Ragged(numbers.astype(stored, copy=False).tobytes(), ends * stored.itemsize, valid)


def _flat(series: pl.Series, valid: npt.NDArray[np.bool_]) -> Ragged:
    """Text or bytes as Arrow keeps them: all in one buffer, and where each ends."""
    if series.is_empty():
        return Ragged(b"", np.zeros(0, dtype=np.int64), valid)
    # A null is empty; Arrow may keep bytes for it.
    array = series.cast(pl.Binary).fill_null(b"").to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64, count=len(array) + 1, offset=8 * array.offset)
    return Ragged(data[bounds[0] : bounds[-1]].to_pybytes() if data else b"", bounds[1:] - bounds[0], valid)


def _elements(series: pl.Series, column: Column) -> tuple[pl.Series, npt.NDArray[np.int64]]:
    """The elements of all lists, and where each list ends in them."""
    elements = series.drop_nulls().explode(empty_as_null=False)
    if elements.null_count():
        elements = _without_nulls(elements, column)
    return elements, series.list.len().cast(pl.Int64).fill_null(0).cum_sum().to_numpy()


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


def _pieces(items: Sequence[Any], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    """Each row's items."""
    bounds = [0, *ends.tolist()]
    return np.fromiter((items[a:b] for a, b in pairwise(bounds)), dtype=object, count=len(ends))
