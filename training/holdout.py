"""A scorer put to the test: chosen and fitted on earlier rows, compared with its baselines on later ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from motherlode import names
from motherlode.compute import Compute
from motherlode.manifest import Input, Quality
from training import choice, evaluate, scorer
from training.choice import Choice, Fold
from training.evaluate import Evidence, Metric, Scores
from training.inputs import Matrix, label, learn, matrix
from training.labels import LABEL
from training.scorer import Labels, Recipe, Scorer

_GROUPS: Final = 4
"""Of customers, for the sigmoid."""


@dataclass(frozen=True)
class Baseline:
    """What a sceptic would use instead.

    Attributes:
        name: for people.
        score: of a frame's rows, higher where a one is likelier. It is calibrated by a sigmoid of its own on the
            train part, so that its errors can be compared too.
    """

    name: str
    score: Callable[[pl.DataFrame], Scores]


@dataclass(frozen=True)
class Figure:
    """A metric, and which way is better."""

    metric: Metric
    higher_is_better: bool = True

    def among(self, rows: npt.NDArray[np.bool_]) -> "Figure":
        """The same of some of the test part's rows; `rows` has its shape."""
        return Figure(lambda y, score: self.metric(y[rows], score[rows]), self.higher_is_better)


@dataclass(frozen=True)
class Plan:
    """How a scorer is made.

    Attributes:
        columns, types: its inputs, see `inputs.learn`.
        recipes: to choose from.
        seeds: fits, for the spread.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    recipes: tuple[Recipe, ...]
    seeds: int


@dataclass(frozen=True)
class Holdout:
    """What a split model and its baselines say of the test part.

    Attributes:
        choice: the recipe.
        model: the fit of seed 0, with the sigmoid that the train part taught.
        inputs: its inputs, as the train part taught them.
        x, y: the test part.
        probabilities: of its rows, one array a seed.
        baselines: by name, the probability that each gives.
    """

    choice: Choice
    model: Scorer
    inputs: tuple[Input, ...]
    x: Matrix
    y: Labels
    probabilities: tuple[Scores, ...]
    baselines: Mapping[str, Scores]

    @classmethod
    def run(
        cls,
        train: pl.DataFrame,
        test: pl.DataFrame,
        folds: Sequence[Fold],
        plan: Plan,
        baselines: Sequence[Baseline],
        compute: Compute,
    ) -> Self:
        """Choose on the folds, which lie in the train part; fit on all of it; answer for the test part."""
        chosen = choice.choose(folds, plan.recipes, plan.columns, plan.types, compute)
        inputs = learn(train, plan.columns, plan.types)
        x = matrix(test, inputs)
        sigmoid = crossfit(chosen.recipe, train, inputs, compute)
        models = [fit(chosen.recipe, sigmoid, train, inputs, compute, seed) for seed in range(plan.seeds)]
        return cls(
            choice=chosen,
            model=models[0],
            inputs=inputs,
            x=x,
            y=test[LABEL].to_numpy(),
            probabilities=tuple(model.probability(x) for model in models),
            baselines={each.name: _probability(each, train, test) for each in baselines},
        )

    @property
    def sigmoid(self) -> tuple[float, float]:
        """Slope and intercept, as the train part taught them."""
        return self.model.slope, self.model.intercept

    def quality(self, model: str, baseline: str, figures: Mapping[str, Figure]) -> tuple[Quality, ...]:
        """The figures beside a baseline's, by the metric's name."""
        return tuple(
            evaluate.compare(
                model,
                name,
                partial(figure.metric, self.y),
                self.probabilities,
                baseline,
                self.baselines[baseline],
                higher_is_better=figure.higher_is_better,
            )
            for name, figure in figures.items()
        )

    def evidence(self, baseline: str, besides: Sequence[Quality]) -> Evidence:
        """The curves beside a baseline's, and the inputs that matter most."""
        columns = [label(each) for each in self.inputs]
        return Evidence(
            curves=evaluate.curves(self.y, self.probabilities[0], baseline, self.baselines[baseline]),
            importance=evaluate.importance(self.model.probability, self.x, self.y, columns),
            recipe=str(self.choice.recipe),
            besides=tuple(besides),
        )


def crossfit(recipe: Recipe, frame: pl.DataFrame, inputs: Sequence[Input], compute: Compute) -> tuple[float, float]:
    """Slope and intercept of the sigmoid that calibrates a recipe's log-odds.

    Each customer is answered for by a model that was fitted without any of its rows. Where a group leaves a model
    with one label alone, the log-odds are taken as they are.
    """
    x, y = matrix(frame, inputs), frame[LABEL].to_numpy()
    groups, log_odds = _groups(frame), np.zeros(len(y))
    for group in range(_GROUPS):
        out = groups == group
        if len(np.unique(y[~out])) < 2:
            return 1.0, 0.0
        if out.any():
            log_odds[out] = scorer.fit(recipe, x[~out], y[~out], inputs, compute, seed=0).log_odds(x[out])
    return scorer.platt(log_odds, y)


def fit(
    recipe: Recipe,
    sigmoid: tuple[float, float],
    frame: pl.DataFrame,
    inputs: Sequence[Input],
    compute: Compute,
    seed: int = 0,
) -> Scorer:
    """A scorer fitted to labelled rows by a recipe and a sigmoid that are known."""
    fitted = scorer.fit(recipe, matrix(frame, inputs), frame[LABEL].to_numpy(), inputs, compute, seed)
    return replace(fitted, slope=sigmoid[0], intercept=sigmoid[1])


def _groups(frame: pl.DataFrame) -> npt.NDArray[np.integer[Any]]:
    """A group a row, the same for all rows of a customer. Those who ever have the label 1 are dealt out first: were
    the groups' shares of ones to differ, each would be answered for by a model that had seen the opposite.
    """
    dealt = frame.group_by(names.CUSTOMER_ID).agg(pl.col(LABEL).max()).sort(LABEL, names.CUSTOMER_ID)
    numbered = dealt.select(names.CUSTOMER_ID, group=pl.int_range(pl.len()) % _GROUPS)
    return frame.join(numbered, on=names.CUSTOMER_ID, how="left", maintain_order="left")["group"].to_numpy()


def _probability(baseline: Baseline, train: pl.DataFrame, test: pl.DataFrame) -> Scores:
    slope, intercept = scorer.platt(baseline.score(train), train[LABEL].to_numpy())
    return scorer.sigmoid(slope * baseline.score(test) + intercept)
