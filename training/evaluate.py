"""How good a score is: figures and curves on rows held out from the fit and from the choice.

What scikit-learn has is scikit-learn's. Where scores are equal, the rows they belong to are taken in shares, as if
drawn by lot: a coarse baseline gains nothing from the order in which its rows happen to lie.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from motherlode.manifest import Quality

BINS: Final = 10
TOP: Final = 0.1
MOST_IMPORTANT: Final = 10

_SHUFFLES: Final = 2

Scores = npt.NDArray[Any]
"""Floats of shape (rows,), of either width."""
Labels = npt.NDArray[np.integer[Any]]
Metric = Callable[[Labels, Scores], float]


@dataclass(frozen=True)
class Curves:
    """What the report draws of a classifier.

    Attributes:
        contacted, reached: share of the rows, best scores first, and the share of all ones among them; both rise
            from 0 to 1, a point for each distinct score.
        baseline: the name of what it is compared with.
        baseline_contacted, baseline_reached: the same of the baseline.
        predicted, observed, counts: of bins of equal size, by score: mean probability, share of ones, rows.
    """

    contacted: npt.NDArray[np.float64]
    reached: npt.NDArray[np.float64]
    baseline: str
    baseline_contacted: npt.NDArray[np.float64]
    baseline_reached: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.float64]
    observed: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evidence:
    """What stands behind a classifier's figures.

    Attributes:
        curves: of the test part.
        importance: the inputs that matter most, `view.name` → AUC lost on the test part when the column is shuffled.
        recipe: what validation chose, in words.
        besides: the same model under other rules than the headline figures; each metric says which.
    """

    curves: Curves
    importance: tuple[tuple[str, float], ...]
    recipe: str
    besides: tuple[Quality, ...] = ()


def auc(y: Labels, score: Scores) -> float:
    """Area under the ROC curve: the chance that a one scores above a zero."""
    return float(roc_auc_score(y, score))


def average_precision(y: Labels, score: Scores) -> float:
    """The mean of the precision at each one found, best scores first."""
    return float(average_precision_score(y, score))


def brier(y: Labels, probability: Scores) -> float:
    """Mean squared error of the probability."""
    return float(brier_score_loss(y, np.clip(probability, 0.0, 1.0)))


def auc_within_groups(y: Labels, score: Scores, groups: npt.NDArray[Any]) -> float:
    """The mean AUC of the groups, each counted once; a group that lacks a label has none and is left out.

    NaN where no group has both.
    """
    members = (groups == group for group in np.unique(groups))
    figures = [auc(y[rows], score[rows]) for rows in members if 0 < y[rows].sum() < rows.sum()]
    return float(np.mean(figures)) if figures else float("nan")


def top_decile_recall(y: Labels, score: Scores) -> float:
    """The share of all ones among the tenth of the rows that scores highest."""
    contacted, reached = gains(y, score)
    return float(np.interp(TOP, contacted, reached))


def ece(y: Labels, probability: Scores, bins: int = BINS) -> float:
    """Expected calibration error over bins of equal size: the mean distance of predicted and observed."""
    predicted, observed, counts = calibration(y, probability, bins)
    return float(np.average(np.abs(predicted - observed), weights=counts))


def gains(y: Labels, score: Scores) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Share of the rows taken, best scores first, and share of the ones among them; from (0, 0) to (1, 1)."""
    _, group, sizes = np.unique(-np.asarray(score, dtype=np.float64), return_inverse=True, return_counts=True)
    ones = np.bincount(group, weights=y, minlength=len(sizes))
    contacted = np.concatenate([[0.0], np.cumsum(sizes) / len(y)])
    reached = np.concatenate([[0.0], np.cumsum(ones) / ones.sum()])
    return contacted, reached


def calibration(
    y: Labels, probability: Scores, bins: int = BINS
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Mean probability, share of ones and rows of bins of equal size, by probability; no bin is empty."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    predicted = np.array([np.mean(probability[part], dtype=np.float64) for part in parts])
    observed = np.array([np.mean(y[part], dtype=np.float64) for part in parts])
    return predicted, observed, np.array([len(part) for part in parts], dtype=np.int64)


def curves(y: Labels, probability: Scores, baseline: str, baseline_score: Scores) -> Curves:
    """Everything that `Curves` holds."""
    contacted, reached = gains(y, probability)
    baseline_contacted, baseline_reached = gains(y, baseline_score)
    predicted, observed, counts = calibration(y, probability)
    return Curves(contacted, reached, baseline, baseline_contacted, baseline_reached, predicted, observed, counts)


def compare(
    model: str,
    metric: str,
    figure: Callable[[Scores], float],
    seeds: Sequence[Scores],
    baseline: str,
    baseline_score: Scores,
    *,
    higher_is_better: bool = True,
) -> Quality:
    """A figure of a model, the mean over its seeds, beside its baseline's.

    Args:
        model, metric, baseline: see `Quality`.
        figure: of a score of the test rows.
        seeds: the scores of the test rows, of one fit a seed. Equal ones mean that the fit draws no numbers, and
            then there is no spread.
        baseline_score: of the same rows.
    """
    values = [figure(score) for score in seeds]
    drawn = any(not np.array_equal(score, seeds[0]) for score in seeds)
    return Quality(
        model,
        metric,
        float(np.mean(values)),
        float(np.std(values)) if drawn else None,
        baseline,
        figure(baseline_score),
        higher_is_better,
    )


def importance(
    score: Callable[[npt.NDArray[np.float32]], Scores], x: npt.NDArray[np.float32], y: Labels, labels: Sequence[str]
) -> tuple[tuple[str, float], ...]:
    """AUC lost when a column is shuffled, the columns that matter most first (Breiman, 2001, §10).

    Args:
        score: of a matrix like `x`.
        x: the test rows, shape (N, F).
        y: their labels.
        labels: the columns' names.
    """
    whole = auc(y, score(x))
    random = np.random.default_rng(0)
    orders = [random.permutation(len(x)) for _ in range(_SHUFFLES)]
    lost: Mapping[str, float] = {
        label: whole - float(np.mean([auc(y, score(_shuffled(x, column, order))) for order in orders]))
        for column, label in enumerate(labels)
    }
    return tuple(sorted(lost.items(), key=lambda item: -item[1])[:MOST_IMPORTANT])


def _shuffled(x: npt.NDArray[np.float32], column: int, order: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float32]:
    changed = x.copy()
    changed[:, column] = x[order, column]
    return changed
