"""The segments' model: logarithms, scaler, PCA, nearest centre. What `training.segments` fits and serving answers."""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from motherlode.compute import Compute, room
from training.ranks import Floats

DEVIATIONS: Final = 4.0
"""Standard deviations that no value counts beyond: one strange customer cannot have a segment to itself."""
VARIANCE: Final = 0.9
"""The share of the variance that the components kept explain."""


@dataclass(frozen=True)
class Scaling:
    """log(1 + x) of amounts and counts, standardised and clipped.

    Attributes:
        mean, scale: of the logarithms, shape (F,).
    """

    mean: Floats
    scale: Floats

    @classmethod
    def fit(cls, x: npt.NDArray[Any]) -> Self:
        """To the rows of `x`, shape (N, F)."""
        values = _logarithms(x)
        scale = values.std(axis=0)
        return cls(values.mean(axis=0), np.where(scale > 0, scale, 1.0))

    def transform(self, x: npt.NDArray[Any]) -> Floats:
        """Float64, of the shape of `x`."""
        return np.clip((_logarithms(x) - self.mean) / self.scale, -DEVIATIONS, DEVIATIONS)


@dataclass(frozen=True)
class Segmenter:
    """Which centre lies nearest to a customer.

    Attributes:
        scaling: of the raw features.
        pca: keeps `VARIANCE` of what is scaled.
        clusters: of the components.
    """

    scaling: Scaling
    pca: PCA
    clusters: KMeans

    def points(self, x: npt.NDArray[Any]) -> Floats:
        """Principal components, shape (N, D)."""
        answer: Floats = self.pca.transform(self.scaling.transform(x))
        return answer

    def label(self, x: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Segment ids, int64 of shape (N,)."""
        answer: npt.NDArray[np.int64] = self.clusters.predict(self.points(x)).astype(np.int64)
        return answer

    def distances(self) -> tuple[Floats, Floats]:
        """Offsets (k,) and weights (F, k) of z · weights + offsets: of each scaled row the squared distances from the
        centres, less a term that is the same for all.
        """
        centres = np.asarray(self.clusters.cluster_centers_, dtype=np.float64)
        weights = -2.0 * (centres @ self.pca.components_).T
        return (centres**2).sum(axis=1) - self.pca.mean_ @ weights, weights


def fit_space(x: npt.NDArray[Any], compute: Compute) -> tuple[Scaling, PCA]:
    """The scaling, and the fewest components that explain `VARIANCE` of the scaled rows, at least two."""
    scaling = Scaling.fit(x)
    scaled = scaling.transform(x)
    whole = room(compute).pca(scaled, min(scaled.shape))
    explained = np.cumsum(whole.explained_variance_ratio_)
    kept = max(2, int(np.searchsorted(explained, VARIANCE) + 1))
    return scaling, room(compute).pca(scaled, min(kept, len(explained)))


def _logarithms(x: npt.NDArray[Any]) -> Floats:
    return np.log1p(np.maximum(np.asarray(x, dtype=np.float64), 0.0))
