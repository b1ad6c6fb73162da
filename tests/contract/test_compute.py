"""One contract for both compute rooms, on data whose right answer is known."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import xgboost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from motherlode.compute import Compute, Room, room
from motherlode.errors import DataError

BLOBS = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
SIZES = (60, 30, 10)


@pytest.fixture(scope="module", params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> Room:
    if request.param == "cpu":
        return room(Compute("cpu", "a test"))
    found: Room = request.getfixturevalue("gpu_room")
    return found


@pytest.fixture(scope="module")
def blobs() -> Any:
    """Three clusters of 60, 30 and 10 points round BLOBS, shuffled, and the cluster of each point."""
    random = np.random.default_rng(3)
    truth = random.permutation(np.repeat(np.arange(3), SIZES))
    return BLOBS[truth] + random.normal(scale=0.5, size=(100, 2)), truth


@pytest.fixture(scope="module")
def labelled() -> Any:
    """Features, classes drawn from a known logistic model, and the model's probabilities."""
    random = np.random.default_rng(5)
    x = random.normal(size=(4000, 4))
    probability = 1 / (1 + np.exp(0.5 - x @ np.array([1.5, -1.0, 0.5, 0.0])))
    return x, (random.random(4000) < probability).astype(np.int64), probability


def test_both_rooms_export_the_whole_contract(backend: Room) -> None:
    for name, wanted in inspect.getmembers(Room, inspect.isfunction):
        if not name.startswith("_"):
            parameters = list(inspect.signature(getattr(backend, name)).parameters)
            assert parameters == list(inspect.signature(wanted).parameters)[1:], name


def test_collect_answers_in_the_order_of_the_sort_with_the_plan_s_types(backend: Room) -> None:
    lf = pl.LazyFrame({"key": ["b", "a", "b", None], "value": [1, 2, 3, 4], "share": [0.5, None, 0.25, 1.0]})
    plan = lf.group_by("key").agg(pl.col("value").sum(), pl.col("share").mean()).sort("key", nulls_last=True)
    answer = backend.collect(plan)
    assert answer.schema == plan.collect_schema()
    assert answer.rows() == [("a", 2, None), ("b", 4, 0.375), (None, 4, 1.0)]


def test_collect_keeps_nulls_lists_and_utc_times(backend: Room) -> None:
    frame = pl.DataFrame(
        {"t": [1_500_000_000_000_001, None], "items": [["é", "b"], []], "x": [float("nan"), None]},
        schema={"t": pl.Datetime("us", "UTC"), "items": pl.List(pl.String), "x": pl.Float32},
    )
    assert backend.collect(frame.lazy().filter(pl.lit(True))).equals(frame)


def test_a_windowed_fill_follows_the_sort_before_it(backend: Room) -> None:
    n = 5000
    frame = pl.DataFrame(
        {"key": [i % 7 for i in range(n)], "at": range(n), "value": [i if i % 3 else None for i in range(n)]}
    )
    plan = frame.sample(fraction=1, shuffle=True, seed=1).lazy().sort("key", "at")
    filled = backend.collect(plan.with_columns(pl.col("value").forward_fill().over("key")).sort("at"))["value"]
    last: dict[int, int | None] = {}
    for i in range(n):
        if i % 3:
            last[i % 7] = i
        assert filled[i] == last.get(i % 7)


def test_sink_parquet_writes_what_collect_answers(backend: Room, tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "view.parquet"
    lf = pl.LazyFrame({"t": [2, 1], "items": [["a"], None]}).with_columns(pl.col("t").cast(pl.Datetime("us", "UTC")))
    backend.sink_parquet(lf.sort("t"), path)
    assert pl.read_parquet(path).equals(backend.collect(lf.sort("t")))
    assert [each.name for each in path.parent.iterdir()] == ["view.parquet"]


def test_a_sink_that_fails_leaves_the_old_file_and_nothing_else(backend: Room, tmp_path: Path) -> None:
    path = tmp_path / "view.parquet"
    backend.sink_parquet(pl.LazyFrame({"a": [1]}), path)
    lost = pl.scan_parquet(tmp_path / "view.parquet").select(pl.col("a").cast(pl.String).str.to_integer() + 1)
    with pytest.raises(Exception, match="gone"):
        backend.sink_parquet(pl.concat([lost, pl.scan_parquet(tmp_path / "gone.parquet")]), path)
    assert pl.read_parquet(path)["a"].to_list() == [1]
    assert [each.name for each in tmp_path.iterdir()] == ["view.parquet"]


def test_kmeans_finds_the_clusters_and_numbers_them_by_size(backend: Room, blobs: Any) -> None:
    x, truth = blobs
    fitted = backend.kmeans(x, 3, seed=0)
    assert isinstance(fitted, KMeans)
    assert (fitted.labels_ == truth).all()
    assert (fitted.predict(x) == truth).all()
    assert np.allclose(fitted.cluster_centers_, [x[truth == each].mean(axis=0) for each in range(3)])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31 - 1), k=st.integers(1, 6))
def test_kmeans_ends_at_a_fixed_point_of_lloyd_s_step(backend: Room, seed: int, k: int) -> None:
    x = np.random.default_rng(seed).normal(size=(80, 3))
    fitted = backend.kmeans(x, k, seed)
    nearest = ((x[:, None] - fitted.cluster_centers_[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == fitted.labels_).all()
    assert np.allclose(fitted.cluster_centers_, [x[nearest == each].mean(axis=0) for each in range(k)])
    sizes = np.bincount(fitted.labels_, minlength=k)
    assert (sizes[:-1] >= sizes[1:]).all()


def test_the_same_seed_gives_the_same_clusters(backend: Room) -> None:
    x = np.random.default_rng(1).normal(size=(500, 5))
    first, second = backend.kmeans(x, 6, seed=4), backend.kmeans(x, 6, seed=4)
    assert (first.labels_ == second.labels_).all()


def test_pca_finds_the_known_axes_with_settled_signs(backend: Room) -> None:
    random = np.random.default_rng(2)
    axes, _ = np.linalg.qr(random.normal(size=(5, 5)))
    x = random.normal(size=(20_000, 5)) * np.array([9.0, 5.0, 2.0, 0.1, 0.1]) @ axes.T + 3.0
    fitted = backend.pca(x, 3)
    assert isinstance(fitted, PCA)
    assert np.allclose(np.abs(fitted.components_ @ axes[:, :3]), np.eye(3), atol=0.02)
    assert np.allclose(fitted.explained_variance_, [81.0, 25.0, 4.0], rtol=0.05)
    assert (fitted.components_[np.arange(3), np.abs(fitted.components_).argmax(axis=1)] > 0).all()
    assert np.allclose(fitted.transform(x), (x - x.mean(axis=0)) @ fitted.components_.T)


@pytest.mark.parametrize("slope", [1.0, -1.0])
def test_pca_of_two_standardised_features_has_one_sign(backend: Room, slope: float) -> None:
    """Their components' entries are equal in size, so that rounding would choose which is the largest."""
    x = np.random.default_rng(0).normal(size=(1000, 1)) * [1.0, slope] + np.random.default_rng(1).normal(size=(1000, 2))
    fitted = backend.pca((x - x.mean(axis=0)) / x.std(axis=0), 2)
    assert np.allclose(fitted.components_, np.array([[1.0, slope], [1.0, -slope]]) / np.sqrt(2))


def test_logistic_regression_is_at_the_optimum_of_scikit_learn_s_loss(backend: Room, labelled: Any) -> None:
    x, y, truth = labelled
    fitted = backend.logistic_regression(x, y, c=0.3, seed=0)
    assert isinstance(fitted, LogisticRegression)
    probability = fitted.predict_proba(x)[:, 1]
    # gradient of |w|²/2 + C · Σ log loss; the intercept bears no penalty
    assert np.abs(fitted.coef_[0] + 0.3 * x.T @ (probability - y)).max() < 1e-3
    assert abs((probability - y).sum()) < 1e-2
    assert np.abs(probability - truth).max() < 0.05
    assert fitted.classes_.tolist() == [0, 1]


def test_a_forest_learns_and_repeats_itself(backend: Room, labelled: Any) -> None:
    x, y, truth = labelled
    fitted = backend.random_forest(x, y, trees=60, depth=7, leaf=10, seed=1)
    assert isinstance(fitted, RandomForestClassifier)
    assert np.abs(fitted.predict_proba(x)[:, 1] - truth).mean() < 0.08
    again = backend.random_forest(x, y, trees=60, depth=7, leaf=10, seed=1)
    assert np.allclose(fitted.predict_proba(x), again.predict_proba(x), rtol=0, atol=1e-12)


def test_boosted_trees_learn_take_missing_values_and_predict_on_the_cpu(backend: Room, labelled: Any) -> None:
    x, y, truth = labelled
    holes = np.where(np.random.default_rng(0).random(x.shape) < 0.05, np.nan, x)
    params = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.1}
    booster = backend.boosted_trees(holes, y, params, seed=0, rounds=60)
    assert isinstance(booster, xgboost.Booster)
    assert booster.num_boosted_rounds() == 60
    assert np.abs(booster.predict(xgboost.DMatrix(x)) - truth).mean() < 0.06
    assert '"device":"cpu"' in booster.save_config().replace(" ", "")


def test_a_matrix_that_cannot_be_fitted_is_refused_naming_the_column(backend: Room) -> None:
    x = np.zeros((4, 3))
    x[2, 1] = np.nan
    with pytest.raises(DataError, match="Column 1 holds NaN"):
        backend.pca(x, 1)
    with pytest.raises(DataError, match=r"shape \(0, 3\)"):
        backend.kmeans(np.empty((0, 3)), 1, 0)
    with pytest.raises(DataError, match="4 rows cannot be put into 5 clusters"):
        backend.kmeans(np.zeros((4, 3)), 5, 0)
