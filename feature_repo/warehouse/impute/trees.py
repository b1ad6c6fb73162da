"""A column predicted from others by gradient boosted trees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_repo.warehouse.impute import statistic
from motherlode import compute

FEWEST: Final = 20
"""Known values below which trees learn noise: the median, or the mode, of them is taken instead."""
MOST_CLASSES: Final = 50
_MOST_COLUMNS: Final = 30
"""Texts of one input that get a column of their own; of more, each stands for the mean that goes with it."""
_MEANT: Final = 10
"""Classes, the most frequent first, whose shares stand for a text."""
_FOLDS: Final = 5
_PRIOR: Final = 20.0
"""Rows' worth of the overall mean that a text's own mean is drawn to."""
_ROUNDS: Final = 100
_SEED: Final = 0
# One thread: histograms are sums of floats, and more threads would add them up in an order of their own.
_PARAMS: Final[dict[str, Any]] = {"max_depth": 6, "eta": 0.1, "nthread": 1, "verbosity": 0}
_DAY_US: Final = 86_400_000_000

Matrix = npt.NDArray[np.float32]


def predict(known: pl.DataFrame, wanted: pl.DataFrame, column: str, using: Sequence[str]) -> pl.Series:
    """The value that trees fitted on `known` give for each wanted row.

    Numbers are predicted within the range of those known, integers rounded; texts and booleans are one of the known
    values, of more than `MOST_CLASSES` texts one of the most frequent. Inputs may be missing.

    Args:
        known: rows with a value in `column`, in an order that depends on no chance.
        wanted: rows to find one for.
        column: what is predicted.
        using: the inputs.

    Returns:
        In the order of `wanted`.
    """
    dtype = known.schema[column]
    if len(known) < FEWEST:
        return statistic.take(known, wanted, column, "median" if dtype.is_numeric() else "mode", ())
    return (_number if dtype.is_numeric() else _class)(known, wanted, column, using)


def _number(known: pl.DataFrame, wanted: pl.DataFrame, column: str, using: Sequence[str]) -> pl.Series:
    target = known[column].cast(pl.Float64).to_numpy()
    inputs, asked = _matrices(known, wanted, using, [target])
    found = _fit(inputs, target, {"objective": "reg:squarederror"}, asked).astype(np.float64)
    values = pl.Series(np.clip(found, target.min(), target.max()))
    return values if known.schema[column].is_float() else values.round().cast(pl.Int64)


def _class(known: pl.DataFrame, wanted: pl.DataFrame, column: str, using: Sequence[str]) -> pl.Series:
    classes = _frequent(known[column], MOST_CLASSES)
    if len(classes) == 1:
        return classes.new_from_index(0, len(wanted))
    rows = known.filter(pl.col(column).is_in(classes.implode()))
    target = rows[column].replace_strict(classes, np.arange(len(classes)), return_dtype=pl.Int64).to_numpy()
    two = len(classes) == 2
    told = [(target == number).astype(np.float64) for number in ([1] if two else range(min(len(classes), _MEANT)))]
    inputs, asked = _matrices(rows, wanted, using, told)
    objective = {"objective": "binary:logistic"} if two else {"objective": "multi:softprob", "num_class": len(classes)}
    shares = _fit(inputs, target, objective, asked)
    best = (shares > 0.5).astype(np.int64) if two else shares.argmax(axis=1)
    return classes.gather(best)


def _fit(inputs: Matrix, target: npt.NDArray[Any], objective: dict[str, Any], asked: Matrix) -> npt.NDArray[Any]:
    # The CPU on every machine: a value that is filled in must not depend on the device.
    room = compute.room(compute.choose("cpu"))
    booster = room.boosted_trees(inputs, target, {**_PARAMS, **objective}, _SEED, _ROUNDS)
    answer: npt.NDArray[Any] = booster.inplace_predict(asked)
    return answer


def _frequent(values: pl.Series, most: int) -> pl.Series:
    """The most frequent values, then by value."""
    counts = values.alias("value").drop_nulls().value_counts(name="count")
    return counts.sort("count", "value", descending=[True, False])["value"].head(most)


@dataclass(frozen=True)
class _Column:
    """An input's columns for both sets of rows."""

    known: list[pl.Series]
    wanted: list[pl.Series]


def _matrices(
    known: pl.DataFrame, wanted: pl.DataFrame, using: Sequence[str], targets: Sequence[npt.NDArray[Any]]
) -> tuple[Matrix, Matrix]:
    """Inputs as float32, missing as NaN: shapes (known, F) and (wanted, F)."""
    columns = []
    for name in using:
        if known.schema[name] in (pl.String, pl.Categorical, pl.Enum):
            columns.append(_text(known[name].cast(pl.String), wanted[name].cast(pl.String), targets))
        else:
            columns.append(_Column([_plain(known[name])], [_plain(wanted[name])]))
    return _stack([it for column in columns for it in column.known]), _stack(
        [it for column in columns for it in column.wanted]
    )


def _stack(columns: list[pl.Series]) -> Matrix:
    return np.column_stack([column.cast(pl.Float32).to_numpy().astype(np.float32) for column in columns])


def _plain(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Date:
        return values.to_physical().cast(pl.Float64)
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.epoch("us").cast(pl.Float64) / _DAY_US
    return values.to_physical().cast(pl.Float64)


def _text(known: pl.Series, wanted: pl.Series, targets: Sequence[npt.NDArray[Any]]) -> _Column:
    """A column for each frequent text; where there are more texts, also the means of the targets that go with them."""
    texts = _frequent(known, _MOST_COLUMNS)
    column = _Column([known == text for text in texts], [wanted == text for text in texts])
    if not len(texts):
        return _Column([known.is_null()], [wanted.is_null()])
    if known.n_unique() <= _MOST_COLUMNS:
        return column
    asked = pl.DataFrame({"text": wanted}).with_row_index("row")
    for target in targets:
        rows = pl.DataFrame({"text": known, "target": target}).with_row_index("row")
        fold = pl.col("row") % _FOLDS
        # A row's own value must not stand in its input: each fifth of the rows is given the means of the others.
        parts = [_means(rows.filter(fold != number), rows.filter(fold == number)) for number in range(_FOLDS)]
        column.known.append(pl.concat(parts).sort("row")["mean"])
        column.wanted.append(_means(rows, asked).sort("row")["mean"])
    return column


def _means(rows: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    overall = float(rows["target"].sum()) / max(len(rows), 1)
    drawn = (pl.col("target").sum() + _PRIOR * overall) / (pl.len() + _PRIOR)
    means = rows.group_by("text", maintain_order=True).agg(drawn.alias("mean"))
    return (
        asked.select("row", "text").join(means, on="text", how="left").select("row", pl.col("mean").fill_null(overall))
    )
