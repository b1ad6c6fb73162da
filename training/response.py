"""Campaign response: will this household redeem in this campaign?

Tested as it would have been used: on the campaigns of the data's last 154 days that have ended, by a model which
knows only campaigns that had ended before. The recipe is chosen on the later half of the train part. The model that is
published is then fitted to every campaign that has ended, by the same recipe: its figures are those of the split
model, and it has seen more.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from motherlode import names
from motherlode.compute import Compute
from motherlode.errors import DataError
from motherlode.manifest import Model
from training import choice, evaluate, export, holdout
from training.choice import Fold
from training.evaluate import Evidence, Scores
from training.holdout import Baseline, Figure, Holdout, Plan
from training.inputs import feature_columns, learn, matrix
from training.labels import LABEL, closed
from training.result import Fitted

FILE: Final = "response.onnx"
TEST: Final = timedelta(days=154)
"""The campaigns that start in the data's last 154 days: in the demo's own dates those from 2017-08-01 on."""
SEEDS: Final = 5
RECIPES: Final = choice.recipes(strengths=(0.001, 0.003), depths=(2,), rounds=(50, 100, 150))

_GROWING: Final = (
    "rfm__tenure_days",
    "rfm__frequency_total",
    "rfm__monetary_total",
    "campaign_history__contacts_total",
    "campaign_history__contacts_type_a",
    "campaign_history__contacts_type_b",
    "campaign_history__contacts_type_c",
)
"""Left out: they grow with the records' age, so that what was trained on is never met again."""


def fit(frame: pl.DataFrame, until: datetime, compute: Compute, seeds: int = SEEDS) -> tuple[Fitted, Evidence]:
    """Fit and test the model.

    Args:
        frame: `labels.response_labels` joined with the features of service `scoring`.
        until: the first moment that the data does not cover (`labels.known_until`).
        compute: where.
        seeds: fits on the train part, for the spread.

    Returns:
        The model as published, with the figures of the test part; and what stands behind them. `besides` holds the
        figures by the benchmark's protocol: running campaigns are counted as they stand, and every earlier
        campaign is trained on, ended or not.

    Raises:
        DataError: a part lacks a label.
    """
    rows = covered(frame)
    known = closed(rows, until)
    plan = Plan(_columns(rows), tuple(rows[names.CAMPAIGN_TYPE].unique().sort()), RECIPES, seeds)
    honest, tested = _test(split(known, until, purge=True), plan, compute)
    protocol, counted = _test(split(rows, until, purge=False), plan, compute)
    inputs = learn(known, plan.columns, plan.types)
    published = holdout.fit(tested.choice.recipe, tested.sigmoid, known, inputs, compute)
    features = export.samples(matrix(known, inputs))
    fitted = Fitted(
        name=names.RESPONSE,
        model=Model(FILE, inputs, export.PROBABILITY),
        onnx=export.scorer(published, inputs),
        features=features,
        answer=published.probability(features),
        quality=tested.quality(names.RESPONSE, PAST_COUPON_USE.name, _figures(honest.test)),
    )
    besides = _figures(protocol.test, rule=", running campaigns as they stand")
    return fitted, tested.evidence(PAST_COUPON_USE.name, counted.quality(names.RESPONSE, PAST_COUPON_USE.name, besides))


@dataclass(frozen=True)
class Split:
    """The rows to learn from, and the later ones to be tested on."""

    train: pl.DataFrame
    test: pl.DataFrame


def split(frame: pl.DataFrame, until: datetime, *, purge: bool) -> Split:
    """By the campaigns' start.

    Args:
        frame: labelled rows.
        until: the first moment that the data does not cover.
        purge: leave out of the train part the campaigns that had not ended when the test part begins, since their
            labels were not known then.

    Raises:
        DataError: a part lacks a label.
    """
    start = until - TEST
    earlier = frame.filter(pl.col(names.EVENT_TIMESTAMP) < start)
    parts = Split(closed(earlier, start) if purge else earlier, frame.filter(pl.col(names.EVENT_TIMESTAMP) >= start))
    for when, rows in (("before", parts.train), ("since", parts.test)):
        if rows[LABEL].n_unique() < 2:
            raise DataError(
                f"The campaigns {when} {start:%Y-%m-%d} hold {rows.height} contacts and {rows[LABEL].sum()} responses.",
                "Both sides of that day want some of each: bring more campaigns.",
            )
    return parts


def folds(train: pl.DataFrame) -> tuple[Fold, ...]:
    """The later half of the train part's time in two; each validates what was trained on all before it."""
    time = pl.col(names.EVENT_TIMESTAMP)
    middle, late = (train.select(time.min() + (time.max() - time.min()) * share).item() for share in (0.5, 0.75))
    return (
        Fold(train.filter(time < middle), train.filter((time >= middle) & (time < late))),
        Fold(train.filter(time < late), train.filter(time >= late)),
    )


def covered(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame without the campaigns that start before there are any features."""
    known = pl.any_horizontal(pl.col(*feature_columns(frame)).is_not_null())
    return frame.filter(known.any().over(names.CAMPAIGN_ID))


def _columns(frame: pl.DataFrame) -> tuple[str, ...]:
    return tuple(column for column in feature_columns(frame) if column not in _GROWING)


def _test(parts: Split, plan: Plan, compute: Compute) -> tuple[Split, Holdout]:
    return parts, Holdout.run(parts.train, parts.test, folds(parts.train), plan, (PAST_COUPON_USE,), compute)


def _figures(test: pl.DataFrame, rule: str = "") -> dict[str, Figure]:
    campaigns = test[names.CAMPAIGN_ID].to_numpy()
    return {
        f"AUC{rule}": Figure(evaluate.auc),
        f"average precision{rule}": Figure(evaluate.average_precision),
        f"AUC within campaign{rule}": Figure(lambda y, score: evaluate.auc_within_groups(y, score, campaigns)),
        f"top-decile recall{rule}": Figure(evaluate.top_decile_recall),
        f"Brier score{rule}": Figure(evaluate.brier, higher_is_better=False),
    }


def _past_coupon_use(frame: pl.DataFrame) -> Scores:
    saved = frame["price_sensitivity__coupon_amount_84d"].fill_null(0.0).to_numpy()
    logarithm: Scores = np.log1p(saved.astype(np.float64))
    return logarithm


PAST_COUPON_USE: Final = Baseline("past coupon use", _past_coupon_use)
"""Money saved by coupons in the 84 days before: of all single features the best one on the demo."""
