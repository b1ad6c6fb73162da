"""What both rooms export: the same names, the same arguments, the same kind of answer.

The types stand here alone, and only for the type checker: at run time the door needs none of these libraries.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

if TYPE_CHECKING:
    import polars as pl
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from xgboost import Booster

Array = npt.NDArray[Any]


class Room(Protocol):
    """A device's own way to compute. Every answer is a plain object of the host: a frame, a scikit-learn model.

    Matrices `x` have shape (N, F). But for the trees' `boosted_trees`, where NaN is a missing value, they must
    be finite: `DataError` names the first column that is not.
    """

    def collect(self, lf: "pl.LazyFrame") -> "pl.DataFrame":
        """Run a plan. Rows come in the order that the plan sorts them by; without a sort, in any order.

        Raises:
            DeviceError: the plan does not run wholly on this device.
        """
        ...

    def sink_parquet(self, lf: "pl.LazyFrame", path: Path) -> None:
        """Run a plan into one Parquet file, zstd. A reader sees the old file or the whole new one."""
        ...

    def kmeans(self, x: Array, k: int, seed: int) -> "KMeans":
        """Lloyd's k-means from several k-means++ starts, the best kept; float64.

        Clusters are numbered by size, the largest is 0. Both rooms start from the same centres, so that they
        find the same clusters (Arthur and Vassilvitskii, "k-means++", SODA 2007).
        """
        ...

    def pca(self, x: Array, n: int) -> "PCA":
        """The n first principal components, by the covariance's eigenvectors; float64.

        In each component the first of the largest entries is positive, so that no sign is left to chance.
        """
        ...

    def logistic_regression(self, x: Array, y: Array, c: float, seed: int) -> "LogisticRegression":
        """L2-regularised logistic regression to its optimum; float64.

        Args:
            x: the features, of like scale: the penalty takes them alike.
            y: shape (N,), the classes.
            c: inverse strength of the penalty, `C` of scikit-learn.
            seed: no solver here draws numbers; it keeps the rooms' signatures alike.
        """
        ...

    def random_forest(
        self, x: Array, y: Array, trees: int, depth: int, leaf: int, seed: int
    ) -> "RandomForestClassifier":
        """A forest of classification trees, each on a bootstrap sample and √F features a split; float32.

        The rooms split by different methods (the GPU by quantiles of 128 bins), so that forests of equal seed
        agree in quality, not tree by tree. `feature_importances_` of a GPU forest is NaN: ask by permutation.

        Args:
            x: the features.
            y: shape (N,), the classes.
            trees: how many.
            depth: the longest path of a tree.
            leaf: fewest rows in a leaf.
            seed: the same forest for the same seed, on the same device.
        """
        ...

    def boosted_trees(self, x: Array, y: Array, params: Mapping[str, Any], seed: int, rounds: int = 200) -> "Booster":
        """Gradient boosted trees by histograms; float32. The booster predicts on the CPU.

        Args:
            x: the features; NaN is a missing value.
            y: shape (N,), the labels.
            params: XGBoost's own, without `device`, `tree_method` and `seed`, which are the room's.
            seed: of the row and column samples.
            rounds: how many trees.
        """
        ...
