"""From a training frame to a model's matrix, and the record of it that serving fills the same matrix by.

A feature that is null is set to the training median, here and in serving: a model never sees a hole.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from motherlode import names
from motherlode.bundle import Input
from motherlode.errors import DataError

CAMPAIGN: Final = "campaign"
"""The view of the inputs that are 1 for the request's campaign type, else 0."""

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
        Each feature with its median and its deciles. A feature without any value gets 0 and no deciles. A request
        that names no campaign is taken to be of the type most trained on.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise DataError(f"The training frame lacks {missing}.", f"It has {frame.columns}.")
    usual = frame[names.CAMPAIGN_TYPE].mode().sort()[0] if campaign_types and frame.height else None
    kinds = (Input(CAMPAIGN, kind, float(kind == usual)) for kind in campaign_types)
    return (*(_feature(column, frame[column]) for column in columns), *kinds)


def matrix(frame: pl.DataFrame, inputs: Sequence[Input]) -> Matrix:
    """The frame as a model takes it: float32, shape (rows, len(inputs)), nulls and NaN imputed.

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
    present = values.cast(pl.Float64).fill_nan(None).drop_nulls().to_numpy()
    if len(present) == 0:
        return Input(view, name, 0.0)
    edges = np.quantile(present, _DECILES)
    # As float32 sees it, so that the matrix and serving's default are one value.
    return Input(view, name, float(np.float32(np.median(present))), tuple(float(edge) for edge in edges))


def _column(each: Input) -> pl.Expr:
    if each.view == CAMPAIGN:
        return (pl.col(names.CAMPAIGN_TYPE) == each.name).cast(pl.Float32).fill_null(0.0).alias(label(each))
    values = pl.col(f"{each.view}{_SEPARATOR}{each.name}").cast(pl.Float32)
    return values.fill_nan(None).fill_null(each.default).alias(label(each))
