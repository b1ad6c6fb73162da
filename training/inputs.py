"""From a training frame to a model's matrix, and the record of it that serving fills the same matrix by.

A feature that is null or not finite is set to the training median, here and in serving: a model never sees a hole.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from motherlode import names, stability
from motherlode.errors import DataError
from motherlode.manifest import CAMPAIGN, Input

_SEPARATOR: Final = "__"
_NEWEST: Final = 1000
"""Rows of the drift profile, at least, where there are as many."""

Matrix = npt.NDArray[np.float32]


def feature_columns(frame: pl.DataFrame) -> tuple[str, ...]:
    """The columns `view__feature` that hold one number a row, in the frame's order."""
    return tuple(name for name, dtype in frame.schema.items() if _SEPARATOR in name and dtype.is_numeric())


def learn(frame: pl.DataFrame, columns: Sequence[str], campaign_types: Sequence[str] = ()) -> tuple[Input, ...]:
    """The inputs of a model trained on a frame.

    Args:
        frame: the rows trained on.
        columns: `view__feature`, in the order of the matrix.
        campaign_types: one input each, after the features.

    Returns:
        Each feature with its median and its drift profile: of the newest rows alone, since what only grows (tenure,
        totals) is elsewhere now than a year ago, without anything being wrong. A feature without any value gets 0.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise DataError(f"The training frame lacks {missing}.", f"It has {frame.columns}.")
    kinds = (Input(CAMPAIGN, kind, 0.0) for kind in campaign_types)
    newest, before = _newest(frame)
    return (*(_feature(column, frame[column], newest[column], before[column]) for column in columns), *kinds)


def matrix(frame: pl.DataFrame, inputs: Sequence[Input]) -> Matrix:
    """The frame as a model takes it: float32, shape (rows, len(inputs)), whatever is null or not finite imputed.

    Args:
        frame: with the inputs' columns; with `campaign_type` where an input asks for it.
        inputs: see `learn`.
    """
    columns = [_column(each) for each in inputs]
    return np.ascontiguousarray(frame.select(columns).to_numpy().reshape(frame.height, len(inputs)), dtype=np.float32)


def label(each: Input) -> str:
    """An input's name for people and tables: `view.name`."""
    return f"{each.view}.{each.name}"


def _feature(column: str, values: pl.Series, newest: pl.Series, before: pl.Series) -> Input:
    view, _, name = column.partition(_SEPARATOR)
    numbers = _numbers(values)
    present = numbers[np.isfinite(numbers)]
    # As float32 sees it, so that the matrix and serving's default are one value.
    default = float(np.float32(np.median(present))) if len(present) else 0.0
    profile = stability.seen(_numbers(newest))
    return Input(view, name, default, *profile, moved=profile.psi(_numbers(before)) if len(before) else None)


def _numbers(values: pl.Series) -> npt.NDArray[np.float64]:
    """NaN where null."""
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _newest(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of the latest times, and of the latest before those; where they have no times, all and none."""
    if names.EVENT_TIMESTAMP not in frame.columns or frame.height <= _NEWEST:
        return frame, frame.clear()
    time = pl.col(names.EVENT_TIMESTAMP)
    since = frame[names.EVENT_TIMESTAMP].top_k(_NEWEST).min()
    newest, older = frame.filter(time >= since), frame.filter(time < since)
    if len(older) < _NEWEST:
        return newest, frame.clear()
    return newest, older.filter(time >= older[names.EVENT_TIMESTAMP].top_k(_NEWEST).min())


def _column(each: Input) -> pl.Expr:
    if each.view == CAMPAIGN:
        return (pl.col(names.CAMPAIGN_TYPE) == each.name).cast(pl.Float32).fill_null(0.0).alias(label(each))
    values = pl.col(f"{each.view}{_SEPARATOR}{each.name}").cast(pl.Float32)
    return pl.when(values.is_finite()).then(values).otherwise(pl.lit(each.default, pl.Float32)).alias(label(each))
