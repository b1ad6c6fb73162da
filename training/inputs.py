"""From a training frame to a model's matrix, and the record of it that serving fills the same matrix by.

A feature that is null or not finite is set to the training median, here and in serving: a model never sees a hole.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from motherlode import names
from motherlode.bundle import CAMPAIGN, Input
from motherlode.errors import DataError

_SEPARATOR: Final = "__"
_DECILES: Final = np.arange(1, 10) / 10

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
        Each feature with its median and its deciles. A feature without any value gets 0 and no deciles.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise DataError(f"The training frame lacks {missing}.", f"It has {frame.columns}.")
    kinds = (Input(CAMPAIGN, kind, 0.0) for kind in campaign_types)
    return (*(_feature(column, frame[column]) for column in columns), *kinds)


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


def _feature(column: str, values: pl.Series) -> Input:
    view, _, name = column.partition(_SEPARATOR)
    numbers = values.cast(pl.Float64)
    present = numbers.filter(numbers.is_finite()).to_numpy()
    if len(present) == 0:
        return Input(view, name, 0.0)
    edges = np.quantile(present, _DECILES)
    # As float32 sees it, so that the matrix and serving's default are one value.
    return Input(view, name, float(np.float32(np.median(present))), tuple(float(edge) for edge in edges))


def _column(each: Input) -> pl.Expr:
    if each.view == CAMPAIGN:
        return (pl.col(names.CAMPAIGN_TYPE) == each.name).cast(pl.Float32).fill_null(0.0).alias(label(each))
    values = pl.col(f"{each.view}{_SEPARATOR}{each.name}").cast(pl.Float32)
    return pl.when(values.is_finite()).then(values).otherwise(pl.lit(each.default, pl.Float32)).alias(label(each))
