"""The GPU room: RAPIDS 26.06 and XGBoost on CUDA. `motherlode.compute.room.Room` says what each function does.

`make check-gpu` runs every line of this file against the installed libraries' real signatures, without a GPU.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import cuml
import numpy as np
import polars as pl
import sklearn.cluster
import sklearn.decomposition
import sklearn.ensemble
import sklearn.linear_model
import xgboost

from motherlode.compute import driver, settle
from motherlode.compute.room import Array
from motherlode.errors import DeviceError

_STILL: Final = 1e-12
"""k-means stops when its centres' squared move is below this share of the features' variance: in float64, when
no label changes any more. 0 would run on: the sums on a GPU are not the same bits each time."""


def collect(lf: pl.LazyFrame) -> pl.DataFrame:
    """See `Room.collect`."""
    # In-memory: the streaming executor reorders rows between partitions, and windows that look at their
    # neighbours need them in order. What is larger than the GPU's memory goes through managed memory.
    engine = pl.GPUEngine(executor="in-memory", raise_on_fail=True)
    try:
        # Polars silently ignores the engine it is given where POLARS_ENGINE_AFFINITY is "streaming".
        with pl.Config(set_engine_affinity="auto"):
            return lf.collect(engine=engine)
    except pl.exceptions.ComputeError as error:
        raise DeviceError(
            f"The plan does not run wholly on the GPU: {error}.", "See `make check-gpu`, or use `--device cpu`."
        ) from error


def sink_parquet(lf: pl.LazyFrame, path: Path) -> None:
    """See `Room.sink_parquet`."""
    # Computed on the GPU and written by Polars: cuDF's writer leaves out what Polars keeps of the types.
    with settle.put_in_place(path) as scratch:
        collect(lf).write_parquet(scratch)


def kmeans(x: Array, k: int, seed: int) -> sklearn.cluster.KMeans:
    """See `Room.kmeans`."""
    values = settle.matrix(x)
    tolerance = _STILL * float(values.var(axis=0).mean())
    return settle.best_clusters(
        _clusters(values, start, tolerance) for start in settle.starting_centres(values, k, seed)
    )


def _clusters(values: Array, start: Array, tolerance: float) -> sklearn.cluster.KMeans:
    fitted = cuml.KMeans(
        n_clusters=len(start), init=start, n_init=1, max_iter=settle.MAX_ITERATIONS, tol=tolerance
    ).fit(values)
    # as_sklearn() of 26.06 cannot carry an array of starting centres over, and a fitted model needs none.
    fitted.set_params(init="scalable-k-means++")
    return fitted.as_sklearn()


def pca(x: Array, n: int) -> sklearn.decomposition.PCA:
    """See `Room.pca`."""
    fitted = cuml.PCA(n_components=n, svd_solver="full").fit(settle.matrix(x))
    return settle.oriented(fitted.as_sklearn())


def logistic_regression(x: Array, y: Array, c: float, seed: int) -> sklearn.linear_model.LogisticRegression:
    """See `Room.logistic_regression`."""
    # penalty_normalized: the penalty weighs as in scikit-learn, whose loss is a sum where cuML's is a mean.
    model = cuml.LogisticRegression(C=c, penalty="l2", penalty_normalized=True, tol=1e-10, max_iter=5000)
    return model.fit(settle.matrix(x), y).as_sklearn().set_params(random_state=seed)


def random_forest(
    x: Array, y: Array, trees: int, depth: int, leaf: int, seed: int
) -> sklearn.ensemble.RandomForestClassifier:
    """See `Room.random_forest`."""
    values = settle.matrix(x, np.float32)
    model = cuml.RandomForestClassifier(
        n_estimators=trees,
        max_depth=depth,
        min_samples_leaf=leaf,
        max_features="sqrt",
        n_bins=min(settle.FOREST_BINS, len(values)),
        n_streams=1,  # more of them make the forest depend on their timing
        random_state=seed,
    )
    return model.fit(values, y).as_sklearn()


def boosted_trees(x: Array, y: Array, params: Mapping[str, Any], seed: int, rounds: int = 200) -> xgboost.Booster:
    """See `Room.boosted_trees`."""
    booster = xgboost.train(
        {**params, "device": "cuda", "tree_method": "hist", "seed": seed},
        xgboost.DMatrix(x, label=y),
        num_boost_round=rounds,
    )
    ran_on = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    if not ran_on.startswith("cuda"):
        # XGBoost falls back with no more than a warning, even under fail_on_invalid_gpu_id.
        raise DeviceError(f"XGBoost trained on {ran_on!r}, the GPU was asked for.", driver.REMEDY)
    booster.set_param({"device": "cpu"})
    return booster
