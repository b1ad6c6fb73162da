"""Where scikit-learn and cuML leave a choice open, both rooms make the same one, here.

Starting centres, the order of clusters, the signs of components, what a matrix may hold, and how a file
is put in place. Nothing here depends on the device.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.decomposition import PCA

from motherlode.errors import DataError

STARTS: Final = 8
"""k-means++ starts a fit; the best one is kept."""
MAX_ITERATIONS: Final = 300
FOREST_BINS: Final = 128

_SAMPLE: Final = 20_000
"""Rows that starting centres are drawn from."""
_SAME_INERTIA: Final = 1e-9
"""Relative. Fits nearer than this found the same clusters: the first is kept, on either device."""
_SAME_ENTRY: Final = 1e-3
"""Relative. Entries of a component nearer than this to its largest are as large."""

Matrix = npt.NDArray[np.float64]


def matrix(x: npt.NDArray[Any], dtype: Any = np.float64) -> npt.NDArray[Any]:
    """`x` as a C-ordered float matrix.

    Raises:
        DataError: it is no matrix, has no row, or holds a value that is not finite, naming the first column.
    """
    if x.ndim != 2 or len(x) == 0:
        raise DataError(f"A model cannot be fitted to an array of shape {x.shape}.", "Give a matrix with rows.")
    values = np.ascontiguousarray(x, dtype=dtype)
    bad = ~np.isfinite(values).all(axis=0)
    if bad.any():
        raise DataError(f"Column {int(bad.argmax())} holds NaN or infinity.", "Impute it before the fit.")
    return values


def starting_centres(x: Matrix, k: int, seed: int) -> list[Matrix]:
    """`STARTS` times k centres by k-means++, drawn from a sample of the rows; each of shape (k, F).

    Raises:
        DataError: there are fewer rows than clusters.
    """
    if not 1 <= k <= len(x):
        raise DataError(f"{len(x)} rows cannot be put into {k} clusters.", f"Use 1 to {len(x)} clusters.")
    random = np.random.default_rng(seed)
    sample = x if len(x) <= _SAMPLE else x[np.sort(random.choice(len(x), _SAMPLE, replace=False))]
    states = random.integers(2**31, size=STARTS)
    return [kmeans_plusplus(sample, k, random_state=int(state))[0] for state in states]


def best_clusters(fits: Iterable[KMeans]) -> KMeans:
    """The first fit of the lowest inertia, its clusters numbered by size; equals by their centres."""
    candidates = list(fits)
    lowest = min(fit.inertia_ for fit in candidates)
    chosen = next(fit for fit in candidates if fit.inertia_ <= lowest * (1 + _SAME_INERTIA))
    sizes = np.bincount(chosen.labels_, minlength=chosen.n_clusters)
    order = np.lexsort((*chosen.cluster_centers_.T[::-1], -sizes))
    chosen.cluster_centers_ = np.ascontiguousarray(chosen.cluster_centers_[order])
    chosen.labels_ = np.argsort(order)[chosen.labels_].astype(np.int32)
    return chosen


def oriented(fitted: PCA) -> PCA:
    """The same components, the first of each one's largest entries positive.

    The libraries look for the largest alone, which rounding decides where two are equal, as in any two
    standardised features.
    """
    sizes = np.abs(fitted.components_)
    first = (sizes >= sizes.max(axis=1, keepdims=True) * (1 - _SAME_ENTRY)).argmax(axis=1)
    negative = fitted.components_[np.arange(len(first)), first] < 0
    fitted.components_ = np.where(negative[:, None], -fitted.components_, fitted.components_)
    return fitted


@contextmanager
def put_in_place(path: Path) -> Iterator[Path]:
    """A scratch file beside `path`, which takes its place when the block ends well and is deleted when not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    scratch = Path(name)
    try:
        yield scratch
        scratch.chmod(0o644)
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
