from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
import xgboost

from motherlode.compute import Compute, room
from motherlode.errors import BundleError
from motherlode.manifest import PROBABILITY_TOLERANCE, Input
from training import export, scorer
from training.scorer import Recipe, Scorer
from training.segmenter import Segmenter, fit_space

FEATURES = tuple(Input("rfm", str(number), 0.0) for number in range(6))
TYPES = (Input("campaign", "A", 1.0), Input("campaign", "B", 0.0), Input("campaign", "C", 0.0))
RECIPES = (Recipe(c=0.1), Recipe(depth=3, rounds=40), Recipe(c=0.1, depth=3, rounds=40))


def table(rows: int = 1500, types: int = 3) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Counts with many ties, money with a tail, a share, a constant; then one-hot types."""
    random = np.random.default_rng(0)
    features = np.column_stack(
        [
            random.poisson(1.0, rows),
            random.lognormal(4.0, 2.0, rows),
            random.random(rows),
            np.full(rows, 7.0),
            random.normal(size=rows) * 1e4,
            random.random(rows).round(1),
        ]
    )
    log_odds = features[:, 0] - 3 * features[:, 2] + np.log(features[:, 1]) - 4
    y = (random.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(np.int64)
    kinds = np.eye(3)[random.integers(0, 3, rows)][:, :types]
    return np.hstack([features, kinds]).astype(np.float32), y


def run(model: bytes, output: str, x: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    return np.asarray(ort.InferenceSession(model).run([output], {"features": x})[0])


def extremes(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Rows that training never saw: all zeros, the float32's ends, just beside every value of some rows."""
    ends = np.finfo(np.float32)
    constant = [np.full(x.shape[1], value, np.float32) for value in (0, -1, 1e-38, ends.max / 4, -ends.max / 4)]
    beside = [np.nextafter(x[:200], np.float32(side)) for side in (-np.inf, np.inf)]
    return np.vstack([*constant, *beside]).astype(np.float32)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
@pytest.mark.parametrize("types", [0, 3])
def test_onnx_answers_as_the_libraries_do(cpu: Compute, recipe: Recipe, types: int) -> None:
    x, y = table(types=types)
    inputs = FEATURES + TYPES[:types]
    fitted = replace(scorer.fit(recipe, x, y, inputs, cpu, seed=0), slope=1.7, intercept=-0.4)
    model = export.scorer(fitted, inputs)
    for rows in (x, extremes(x), export.samples(x)):
        answer = run(model, "probability", rows)
        assert answer.dtype == np.float32
        assert answer.shape == (len(rows),)
        assert np.abs(answer - fitted.probability(rows)).max() <= PROBABILITY_TOLERANCE


@pytest.mark.parametrize("share", [0.5, 0.02])
def test_the_trees_start_from_the_share_of_ones(cpu: Compute, share: float) -> None:
    """XGBoost writes it as "[2E-2]", which converters have read as text or as 0.5."""
    x, _ = table(600)
    y = (np.arange(600) < share * 600).astype(np.int64)
    fitted = scorer.fit(Recipe(depth=2, rounds=1), x, y, FEATURES + TYPES, cpu, seed=0)
    answer = run(export.scorer(fitted, FEATURES + TYPES), "probability", x)
    assert np.abs(answer - fitted.probability(x)).max() <= PROBABILITY_TOLERANCE
    assert answer.mean() == pytest.approx(share, abs=0.1 * share)


def test_one_row_and_no_row_are_answered_too(cpu: Compute) -> None:
    x, y = table(400)
    model = export.scorer(scorer.fit(RECIPES[2], x, y, FEATURES + TYPES, cpu, seed=0), FEATURES + TYPES)
    assert run(model, "probability", x[:1]) == pytest.approx(run(model, "probability", x)[:1], abs=1e-6)
    assert run(model, "probability", x[:0]).shape == (0,)


def test_the_same_model_is_the_same_bytes_with_a_fixed_opset(cpu: Compute) -> None:
    x, y = table(400)
    one, again = (
        export.scorer(scorer.fit(RECIPES[2], x, y, FEATURES + TYPES, cpu, seed=0), FEATURES + TYPES) for _ in range(2)
    )
    assert one == again
    model = onnx.load_from_string(one)
    assert {each.domain: each.version for each in model.opset_import} == {"": 17, "ai.onnx.ml": 3}
    assert model.ir_version == 8


def test_trees_of_another_kind_are_refused_by_name() -> None:
    x, y = table(200)
    trees = xgboost.train({"objective": "reg:squarederror"}, xgboost.DMatrix(x, y), 2)
    with pytest.raises(BundleError, match="reg:squarederror"):
        export.scorer(Scorer(None, trees), FEATURES + TYPES)


def test_onnx_finds_the_segments_that_scikit_learn_finds(cpu: Compute) -> None:
    x = np.abs(table(1500, types=0)[0])
    scaling, pca = fit_space(x, cpu)
    fitted = Segmenter(scaling, pca, room(cpu).kmeans(pca.transform(scaling.transform(x)), 5, seed=0))
    model = export.segmenter(fitted)
    for rows in (x, extremes(x), export.samples(x)):
        answer = run(model, "label", rows)
        assert answer.dtype == np.int64
        assert np.array_equal(answer, fitted.label(rows))
    assert len(np.unique(run(model, "label", x))) == 5


def test_samples_reach_beyond_what_was_trained_on() -> None:
    x, _ = table(1000)
    sample = export.samples(x)
    assert sample.dtype == np.float32
    assert 256 < len(sample) <= 261
    assert (sample.max(axis=0)[:3] > x.max(axis=0)[:3] * 1e5).all()
    assert len(export.samples(x[:3])) == 3 + 5
