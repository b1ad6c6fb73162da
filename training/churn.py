"""Inactivity: will this customer buy nothing in the next 28 days?

Tested on the last snapshot that has a full window after it. The recipe is chosen on the window before, and trained on
those before that: no label window of one part reaches into another. The model that is published is then fitted to
every window, by the same recipe: its figures are those of the split model, and it has seen more.
"""

from typing import Final

import numpy as np
import polars as pl

from motherlode import names
from motherlode.compute import Compute
from motherlode.errors import DataError
from motherlode.manifest import Model, Quality
from training import choice, evaluate, export, holdout
from training.choice import Fold
from training.evaluate import Evidence, Scores
from training.holdout import Baseline, Figure, Holdout, Plan
from training.inputs import feature_columns, learn, matrix
from training.labels import LABEL
from training.result import Fitted

FILE: Final = "inactive_28d.onnx"
SEEDS: Final = 3
RECIPES: Final = choice.recipes(strengths=(0.01, 0.1), depths=(3, 4), rounds=(50, 100))

_RECENT: Final = 28.0
"""Days; who has bought within them cannot be told by recency."""


def fit(frame: pl.DataFrame, compute: Compute, seeds: int = SEEDS) -> tuple[Fitted, Evidence]:
    """Fit and test the model.

    Args:
        frame: `labels.inactivity_labels` joined with the features of service `scoring`.
        compute: where.
        seeds: fits on the train part, for the spread.

    Returns:
        The model as published, with the figures of the test part beside recency alone and beside the stronger
        single feature, baskets of the last 84 days; and what stands behind them. `besides` holds the figures of the
        customers who bought in the 28 days before.

    Raises:
        DataError: there are fewer than three windows, or a part lacks a label.
    """
    train, test = split(frame)
    plan = Plan(feature_columns(frame), (), RECIPES, seeds)
    tested = Holdout.run(train, test, folds(train), plan, (RECENCY, BASKETS), compute)
    inputs = learn(frame, plan.columns)
    published = holdout.fit(tested.choice.recipe, tested.sigmoid, frame, inputs, compute)
    features = export.samples(matrix(frame, inputs))
    fitted = Fitted(
        name=names.INACTIVE_28D,
        model=Model(FILE, inputs, export.PROBABILITY),
        onnx=export.scorer(published, inputs),
        features=features,
        answer=published.probability(features),
        quality=_quality(tested, _FIGURES),
    )
    return fitted, tested.evidence(RECENCY.name, _quality(tested, _of_the_recent(test)))


def split(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All windows but the last, and the last.

    Raises:
        DataError: there are fewer than three windows, or a part lacks a label.
    """
    times = frame[names.EVENT_TIMESTAMP].unique().sort()
    if len(times) < 3:
        raise DataError(
            f"The data has {len(times)} windows to learn inactivity from.", "Three are the least: bring more weeks."
        )
    last = pl.col(names.EVENT_TIMESTAMP) == times[-1]
    train, test = frame.filter(~last), frame.filter(last)
    for when, rows in (("before", train), ("since", test)):
        if rows[LABEL].n_unique() < 2:
            raise DataError(
                f"Of {rows.height} customers {when} {times[-1]:%Y-%m-%d}, {rows[LABEL].sum()} were inactive.",
                "Some must be and some not: bring more customers.",
            )
    return train, test


def folds(train: pl.DataFrame) -> tuple[Fold, ...]:
    """The train part's last window, to validate what was trained on all before it."""
    time = pl.col(names.EVENT_TIMESTAMP)
    return (Fold(train.filter(time < time.max()), train.filter(time == time.max())),)


def _quality(tested: Holdout, figures: dict[str, Figure]) -> tuple[Quality, ...]:
    beside = (tested.quality(names.INACTIVE_28D, each.name, figures) for each in (RECENCY, BASKETS))
    return tuple(row for rows in beside for row in rows)


def _of_the_recent(test: pl.DataFrame) -> dict[str, Figure]:
    recent = test["rfm__recency_days"].fill_null(np.inf).to_numpy() < _RECENT
    if len(np.unique(test[LABEL].to_numpy()[recent])) < 2:
        return {}
    return {f"{name}, customers of the last 28 days": figure.among(recent) for name, figure in _FIGURES.items()}


def _recency(frame: pl.DataFrame) -> Scores:
    return _logarithm(frame["rfm__recency_days"])


def _few_baskets(frame: pl.DataFrame) -> Scores:
    return -_logarithm(frame["rfm__frequency_84d"])


def _logarithm(values: pl.Series) -> Scores:
    logarithm: Scores = np.log1p(values.fill_null(0.0).to_numpy().astype(np.float64))
    return logarithm


RECENCY: Final = Baseline("recency alone", _recency)
BASKETS: Final = Baseline("baskets of 84 days alone", _few_baskets)
"""Of all single features the best one on the demo; recency over the customer's own gap does worse than recency."""
_FIGURES: Final = {
    "AUC": Figure(evaluate.auc),
    "average precision": Figure(evaluate.average_precision),
    "Brier score": Figure(evaluate.brier, higher_is_better=False),
}
