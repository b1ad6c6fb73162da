"""Chooses a scorer's recipe on validation parts that lie after what each was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from motherlode.compute import Compute
from motherlode.manifest import Input
from training import evaluate, scorer
from training.inputs import learn, matrix
from training.labels import LABEL
from training.ranks import Floats
from training.scorer import Labels, Matrix, Recipe


@dataclass(frozen=True)
class Fold:
    """A part to train on, and a later one to validate on."""

    train: pl.DataFrame
    validation: pl.DataFrame

    @property
    def usable(self) -> bool:
        """Whether both parts hold both labels."""
        return all(part[LABEL].n_unique() == 2 for part in (self.train, self.validation))


@dataclass(frozen=True)
class Trial:
    """A recipe and its average precision, the mean over the folds."""

    recipe: Recipe
    average_precision: float


@dataclass(frozen=True)
class Choice:
    """What validation says.

    Attributes:
        recipe: the best; of equals the first tried.
        trials: every recipe tried, best first; empty where no fold could be used, and then the recipe is the first.
    """

    recipe: Recipe
    trials: tuple[Trial, ...]


def recipes(strengths: Sequence[float], depths: Sequence[int], rounds: Sequence[int]) -> tuple[Recipe, ...]:
    """Every linear model, every set of trees, and every pair of both; see `Recipe`."""
    linear = [Recipe(c=c) for c in strengths]
    trees = [Recipe(depth=depth, rounds=count) for depth in depths for count in rounds]
    pairs = [replace(other, c=each.c) for each in linear for other in trees]
    return (*linear, *trees, *pairs)


def choose(
    folds: Sequence[Fold], tried: Sequence[Recipe], columns: Sequence[str], types: Sequence[str], compute: Compute
) -> Choice:
    """The recipe of the highest average precision on the validation parts.

    Args:
        folds: those that lack a label in either part are passed over.
        tried: at least one.
        columns, types: the inputs, see `inputs.learn`.
        compute: where.
    """
    answered = [_answers(fold, tried, columns, types, compute) for fold in folds if fold.usable]
    if not answered:
        return Choice(tried[0], ())
    trials = []
    for recipe in tried:
        figures = [evaluate.average_precision(y, _mean(parts, recipe)) for y, parts in answered]
        trials.append(Trial(recipe, float(np.mean(figures))))
    trials.sort(key=lambda trial: -trial.average_precision)
    return Choice(trials[0].recipe, tuple(trials))


def _answers(
    fold: Fold, tried: Sequence[Recipe], columns: Sequence[str], types: Sequence[str], compute: Compute
) -> tuple[Labels, dict[Recipe, Floats]]:
    """The validation part's labels, and its log-odds by each part that a recipe has; no part is fitted twice."""
    inputs = learn(fold.train, columns, types)
    x, y = matrix(fold.train, inputs), fold.train[LABEL].to_numpy()
    later = matrix(fold.validation, inputs)
    parts = dict.fromkeys(part for recipe in tried for part in recipe.parts)
    answers: dict[Recipe, Floats] = {}
    for part in parts:
        if part.c is not None:
            answers[part] = scorer.fit(part, x, y, inputs, compute, seed=0).log_odds(later)
    for depth in {part.depth: None for part in parts if part.depth is not None}:
        answers |= _boosted([part for part in parts if part.depth == depth], x, y, later, inputs, compute)
    return fold.validation[LABEL].to_numpy(), answers


def _boosted(
    parts: Sequence[Recipe], x: Matrix, y: Labels, later: Matrix, inputs: Sequence[Input], compute: Compute
) -> dict[Recipe, Floats]:
    """Trees of one depth: the longest run is fitted, the shorter ones are its beginnings."""
    longest = max(parts, key=lambda part: part.rounds)
    trees = scorer.fit(longest, x, y, inputs, compute, seed=0).trees
    assert trees is not None
    return {part: scorer.margin(trees, later, part.rounds) for part in parts}


def _mean(parts: dict[Recipe, Floats], recipe: Recipe) -> Floats:
    answer: Floats = np.mean([parts[part] for part in recipe.parts], axis=0)
    return answer
