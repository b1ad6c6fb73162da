"""The CPU room: Polars' streaming engine, scikit-learn, XGBoost. `motherlode.compute.room.Room` says what each does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import xgboost
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from motherlode.compute import settle
from motherlode.compute.room import Array

_WORTH_THREADS: Final = 5_000_000
"""Numbers in a matrix from which on k-means is given more than one thread. Below, threads wait for each other
longer than they work: on two busy cores 2,469 × 6 took 2.5 s with two threads and 0.1 s with one."""


def collect(lf: pl.LazyFrame) -> pl.DataFrame:
    """See `Room.collect`."""
    return lf.collect(engine="streaming")


def sink_parquet(lf: pl.LazyFrame, path: Path) -> None:
    """See `Room.sink_parquet`."""
    with settle.put_in_place(path) as scratch:
        lf.sink_parquet(scratch, engine="streaming")


def kmeans(x: Array, k: int, seed: int) -> KMeans:
    """See `Room.kmeans`."""
    values = settle.matrix(x)
    with threadpool_limits(1 if values.size < _WORTH_THREADS else None):
        return settle.best_clusters(
            # tol=0: until no label changes, so that both rooms end in the same place.
            KMeans(n_clusters=k, init=start, n_init=1, max_iter=settle.MAX_ITERATIONS, tol=0.0).fit(values)
            for start in settle.starting_centres(values, k, seed)
        )


def pca(x: Array, n: int) -> PCA:
    """See `Room.pca`."""
    return settle.oriented(PCA(n_components=n, svd_solver="covariance_eigh").fit(settle.matrix(x)))


def logistic_regression(x: Array, y: Array, c: float, seed: int) -> LogisticRegression:
    """See `Room.logistic_regression`."""
    model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10, max_iter=1000, random_state=seed)
    return model.fit(settle.matrix(x), y)


def random_forest(x: Array, y: Array, trees: int, depth: int, leaf: int, seed: int) -> RandomForestClassifier:
    """See `Room.random_forest`."""
    model = RandomForestClassifier(
        n_estimators=trees,
        max_depth=depth,
        min_samples_leaf=leaf,
        max_features="sqrt",
        random_state=seed,
        n_jobs=-1,
    )
    return model.fit(settle.matrix(x, np.float32), y)


def boosted_trees(x: Array, y: Array, params: Mapping[str, Any], seed: int, rounds: int = 200) -> xgboost.Booster:
    """See `Room.boosted_trees`."""
    return xgboost.train(
        {**params, "device": "cpu", "tree_method": "hist", "seed": seed},
        xgboost.DMatrix(x, label=y),
        num_boost_round=rounds,
    )
