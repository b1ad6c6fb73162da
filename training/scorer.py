"""A binary scorer: a linear model of ranks, boosted trees, or the mean of both, calibrated by a sigmoid.

The linear part is logistic regression on ranks (`training.ranks`), with one set of weights for every row and a
correction for each campaign type, so that habit may count for more in one type than in another. The trees
find what is not additive. Both answer in log-odds, and their mean does better than either where rows are few.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xgboost

from motherlode.compute import Compute, room
from motherlode.manifest import CAMPAIGN, Input
from training.ranks import Floats, Ranks

_TREES: Final = {
    "objective": "binary:logistic",
    "learning_rate": 0.05,
    "subsample": 0.7,
    "colsample_bytree": 0.5,
    "min_child_weight": 5.0,
    "max_bin": 64,
    "verbosity": 0,
}
_LEVEL: Final = 10.0
"""What stands in the design for a campaign type's own level: large, so that the penalty hardly shrinks it."""
_SMALL: Final = 5_000_000
"""Values of a matrix up to which one thread is as fast as many, and never waits for a busy neighbour."""
_MOST_STEPS: Final = 100
_SMALL_STEP: Final = 1e-10

Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Recipe:
    """What a scorer is made of; at least one of the two.

    Attributes:
        c: inverse strength of the linear part's penalty, as scikit-learn's `C`; None leaves it out.
        depth: of the boosted trees; None leaves them out.
        rounds: how many trees.
    """

    c: float | None = None
    depth: int | None = None
    rounds: int = 0

    @property
    def parts(self) -> tuple["Recipe", ...]:
        """Its linear part and its trees, those that it has, each on its own."""
        linear = () if self.c is None else (Recipe(c=self.c),)
        trees = () if self.depth is None else (replace(self, c=None),)
        return linear + trees

    def __str__(self) -> str:
        linear = f"logistic regression (C = {self.c:g})" if self.c is not None else ""
        trees = f"{self.rounds} boosted trees (depth {self.depth})" if self.depth is not None else ""
        return f"the mean of {linear} and {trees}" if linear and trees else linear or trees


@dataclass(frozen=True)
class Linear:
    """Logistic regression on ranks.

    Attributes:
        ranks: of the first F columns.
        weights: shape (F, 1 + T): for every row, then the correction for each of the T one-hot columns after them.
        bias: shape (1 + T,), likewise.
    """

    ranks: Ranks
    weights: Floats
    bias: Floats

    def log_odds(self, x: Matrix) -> Floats:
        """Float64 of shape (N,), for `x` of shape (N, F + T)."""
        features = len(self.weights)
        terms = self.ranks.transform(x[:, :features]) @ self.weights + self.bias
        answer: Floats = terms[:, 0] + (terms[:, 1:] * x[:, features:]).sum(axis=1)
        return answer


@dataclass(frozen=True)
class Scorer:
    """A fitted scorer of matrices float32 (N, F + T): F features, then T one-hot columns.

    Attributes:
        linear, trees: its parts; their log-odds are averaged.
        slope, intercept: of the sigmoid that calibrates the log-odds, see `platt`.
    """

    linear: Linear | None
    trees: xgboost.Booster | None
    slope: float = 1.0
    intercept: float = 0.0

    def log_odds(self, x: Matrix) -> Floats:
        """Before calibration: float64 of shape (N,)."""
        parts = [] if self.linear is None else [self.linear.log_odds(x)]
        if self.trees is not None:
            parts.append(margin(self.trees, x))
        answer: Floats = np.mean(parts, axis=0)
        return answer

    def probability(self, x: Matrix) -> npt.NDArray[np.float32]:
        """Calibrated, of the label 1: float32 of shape (N,)."""
        return sigmoid(self.slope * self.log_odds(x) + self.intercept).astype(np.float32)


def fit(recipe: Recipe, x: Matrix, y: Labels, inputs: Sequence[Input], compute: Compute, seed: int) -> Scorer:
    """Fit a scorer; not calibrated yet.

    Args:
        recipe: what it is made of.
        x: shape (N, len(inputs)), finite.
        y: shape (N,), 0 or 1, both present.
        inputs: the columns; those of the campaign stand last.
        compute: where.
        seed: of the trees' samples.
    """
    types = sum(each.view == CAMPAIGN for each in inputs)
    linear = None if recipe.c is None else _linear(x, y, types, recipe.c, compute, seed)
    trees = None if recipe.depth is None else _trees(x, y, recipe, compute, seed)
    return Scorer(linear, trees)


def margin(trees: xgboost.Booster, x: Matrix, rounds: int = 0) -> Floats:
    """The trees' log-odds, float64 (N,); those after the first `rounds` rounds alone, or of all where that is 0."""
    answer = trees.predict(xgboost.DMatrix(x), output_margin=True, iteration_range=(0, rounds))
    return np.asarray(answer, dtype=np.float64)


def platt(log_odds: Floats, y: Labels) -> tuple[float, float]:
    """Slope and intercept of the sigmoid that fits the labels best (Platt, 1999), by Newton's method.

    The labels are drawn in by Platt's rule, and the slope is held to 1 by a normal prior of deviation 1: it decides
    where rows are few, and is not felt where they are many. A score that runs the wrong way all the same gets the
    slope 0, and the answer is the share of ones.
    """
    positives = int(np.sum(y))
    targets = np.where(np.asarray(y) == 1, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))
    share = float(targets.mean())
    level = float(np.log(share / (1 - share)))
    design = np.column_stack([log_odds, np.ones(len(log_odds))])
    prior = np.diag([1.0, 1e-9])
    weights = np.array([0.0, level])
    for _ in range(_MOST_STEPS):
        chance = sigmoid(design @ weights)
        gradient = design.T @ (targets - chance) + prior @ (np.array([1.0, level]) - weights)
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + prior
        step = np.linalg.solve(curvature, gradient)
        weights = weights + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < _SMALL_STEP:
            break
    slope, intercept = (float(each) for each in weights)
    return (slope, intercept) if slope > 0 else (0.0, level)


def sigmoid(log_odds: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    answer: Floats = 0.5 * (1.0 + np.tanh(0.5 * log_odds))
    return answer


def _linear(x: Matrix, y: Labels, types: int, c: float, compute: Compute, seed: int) -> Linear:
    features = x.shape[1] - types
    ranks = Ranks.fit(x[:, :features])
    values = ranks.transform(x[:, :features])
    mean, scale = values.mean(axis=0), values.std(axis=0)
    scale[scale == 0.0] = 1.0
    standard = (values - mean) / scale
    typed = np.column_stack([standard, np.full(len(x), _LEVEL)])
    design = np.hstack([standard, *(typed * kind[:, None] for kind in x[:, features:].T)])
    model = room(compute).logistic_regression(design, y, c, seed)
    solved = np.asarray(model.coef_, dtype=np.float64).ravel()
    common, corrections = solved[:features], solved[features:].reshape(types, features + 1)
    weights = np.column_stack([common, *corrections[:, :-1]]) / scale[:, None]
    levels = np.concatenate([np.ravel(model.intercept_)[:1], _LEVEL * corrections[:, -1]])
    return Linear(ranks, weights, levels - mean @ weights)


def _trees(x: Matrix, y: Labels, recipe: Recipe, compute: Compute, seed: int) -> xgboost.Booster:
    threads = {"nthread": 1} if x.size <= _SMALL else {}
    params = {**_TREES, **threads, "max_depth": recipe.depth}
    return room(compute).boosted_trees(x, y, params, seed, recipe.rounds)
