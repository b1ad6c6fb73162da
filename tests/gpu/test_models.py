"""The rooms' models agree: clusters and components exactly, probabilities closely, forests in quality."""

import numpy as np
import numpy.typing as npt
import pytest
import xgboost
from sklearn.metrics import roc_auc_score

from motherlode.compute import Room, driver

pytestmark = pytest.mark.gpu

Matrix = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def customers() -> Matrix:
    """Skewed, correlated features as customers have them, standardised; shape (3000, 8)."""
    random = np.random.default_rng(11)
    x = np.exp(random.normal(size=(3000, 8)) @ np.triu(random.normal(size=(8, 8))) / 3)
    logs = np.log1p(x)
    return np.asarray((logs - logs.mean(axis=0)) / logs.std(axis=0))


@pytest.fixture(scope="module")
def answered(customers: Matrix) -> npt.NDArray[np.int64]:
    random = np.random.default_rng(12)
    chance = 1 / (1 + np.exp(1.0 - customers @ random.normal(size=8)))
    return (random.random(len(customers)) < chance).astype(np.int64)


def test_the_gpu_is_described(gpu: Room) -> None:
    found = driver.first_gpu()
    assert found.name
    assert found.memory > 2**30


@pytest.mark.parametrize("k", range(2, 9))
def test_kmeans_finds_the_same_clusters(cpu: Room, gpu: Room, customers: Matrix, k: int) -> None:
    ours, theirs = cpu.kmeans(customers, k, seed=k), gpu.kmeans(customers, k, seed=k)
    assert np.array_equal(theirs.labels_, ours.labels_)
    assert np.allclose(theirs.cluster_centers_, ours.cluster_centers_, atol=1e-6)
    assert np.array_equal(theirs.predict(customers), ours.predict(customers))


@pytest.mark.parametrize("n", range(1, 9))
def test_pca_finds_the_same_components_with_the_same_signs(cpu: Room, gpu: Room, customers: Matrix, n: int) -> None:
    ours, theirs = cpu.pca(customers, n), gpu.pca(customers, n)
    assert np.allclose(theirs.components_, ours.components_, atol=1e-6)
    assert np.allclose(theirs.explained_variance_ratio_, ours.explained_variance_ratio_, atol=1e-6)
    assert np.allclose(theirs.transform(customers), ours.transform(customers), atol=1e-5)


@pytest.mark.parametrize("c", [0.01, 0.3, 10.0])
def test_logistic_regression_answers_the_same(
    cpu: Room, gpu: Room, customers: Matrix, answered: npt.NDArray[np.int64], c: float
) -> None:
    ours = cpu.logistic_regression(customers, answered, c, seed=0)
    theirs = gpu.logistic_regression(customers, answered, c, seed=0)
    assert np.abs(theirs.predict_proba(customers) - ours.predict_proba(customers)).max() < 1e-5
    assert theirs.get_params()["C"] == ours.get_params()["C"]


def test_forests_are_as_good(cpu: Room, gpu: Room, customers: Matrix, answered: npt.NDArray[np.int64]) -> None:
    train, test = slice(0, 2000), slice(2000, None)
    quality = [
        roc_auc_score(
            answered[test],
            backend.random_forest(customers[train], answered[train], 100, 8, 5, seed=0).predict_proba(customers[test])[
                :, 1
            ],
        )
        for backend in (cpu, gpu)
    ]
    assert min(quality) > 0.7
    assert abs(quality[0] - quality[1]) < 0.02


def test_boosted_trees_are_as_good_and_nearly_the_same(
    cpu: Room, gpu: Room, customers: Matrix, answered: npt.NDArray[np.int64]
) -> None:
    params = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.1}
    data = xgboost.DMatrix(customers)
    ours, theirs = (backend.boosted_trees(customers, answered, params, 0, 100).predict(data) for backend in (cpu, gpu))
    assert abs(roc_auc_score(answered, ours) - roc_auc_score(answered, theirs)) < 0.005
    assert np.abs(ours - theirs).mean() < 0.01
