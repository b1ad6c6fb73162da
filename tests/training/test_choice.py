import numpy as np
import polars as pl
import pytest

from motherlode.compute import Compute
from training import scorer
from training.choice import Fold, choose, recipes
from training.inputs import learn, matrix
from training.scorer import Recipe

COLUMNS = tuple(f"rfm__{name}" for name in "abcdefgh")


def frame(rows: int, *, additive: bool, seed: int) -> pl.DataFrame:
    """Labels that follow the sum of two features, or the one where they differ; six more copies of both."""
    random = np.random.default_rng(seed)
    a, b = random.random((2, rows))
    log_odds = 8 * (a + b - 1) if additive else np.where((a > 0.5) ^ (b > 0.5), 3.0, -3.0)
    label = (random.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(np.int8)
    values = {column: (a, b)[place % 2].astype(np.float32) for place, column in enumerate(COLUMNS)}
    return pl.DataFrame({"label": label, **values})


@pytest.mark.parametrize(("additive", "expected"), [(True, Recipe(c=1.0)), (False, Recipe(depth=3, rounds=50))])
def test_the_recipe_that_fits_the_world_is_chosen(cpu: Compute, additive: bool, expected: Recipe) -> None:
    fold = Fold(frame(1500, additive=additive, seed=0), frame(1500, additive=additive, seed=1))
    choice = choose([fold], [Recipe(c=1.0), Recipe(depth=3, rounds=50)], COLUMNS, (), cpu)
    assert choice.recipe == expected
    best, other = choice.trials
    assert best.average_precision > other.average_precision


def test_every_recipe_is_tried_and_the_best_stands_first(cpu: Compute) -> None:
    fold = Fold(frame(400, additive=True, seed=0), frame(400, additive=True, seed=1))
    tried = recipes(strengths=(0.01, 1.0), depths=(1, 2), rounds=(5, 10))
    choice = choose([fold], tried, COLUMNS, (), cpu)
    assert {trial.recipe for trial in choice.trials} == set(tried)
    assert len(tried) == 2 + 4 + 8
    figures = [trial.average_precision for trial in choice.trials]
    assert figures == sorted(figures, reverse=True)


def test_fewer_rounds_are_the_beginning_of_more(cpu: Compute) -> None:
    """What makes it fair to fit the longest run alone."""
    rows = frame(400, additive=False, seed=0)
    inputs = learn(rows, COLUMNS)
    x, y = matrix(rows, inputs), rows["label"].to_numpy()
    long, short = (scorer.fit(Recipe(depth=2, rounds=count), x, y, inputs, cpu, seed=0).trees for count in (20, 8))
    assert long is not None
    assert short is not None
    assert np.array_equal(scorer.margin(long, x, 8), scorer.margin(short, x))


def test_a_fold_that_lacks_a_label_is_passed_over(cpu: Compute) -> None:
    good = Fold(frame(300, additive=True, seed=0), frame(300, additive=True, seed=1))
    poor = Fold(good.train.with_columns(pl.lit(0, pl.Int8).alias("label")), good.validation)
    tried = (Recipe(c=1.0), Recipe(c=0.1))
    assert choose([poor, good], tried, COLUMNS, (), cpu) == choose([good], tried, COLUMNS, (), cpu)


def test_without_any_fold_the_first_recipe_is_taken_untried(cpu: Compute) -> None:
    choice = choose([], (Recipe(c=0.1), Recipe(c=1.0)), COLUMNS, (), cpu)
    assert choice.recipe == Recipe(c=0.1)
    assert choice.trials == ()
