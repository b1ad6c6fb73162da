"""Customer segments: how often people come, how much they buy, and how they look at prices.

Scaler, PCA and k-means (`training.segmenter`). How many there are is chosen by stability on a snapshot 84 days
back: the most segments that come out the same, whichever customers are looked at. There they are also tested:
what do they tell of the 84 days that followed? The segments published are as many, fitted to the latest snapshot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score

from motherlode import names
from motherlode.compute import Compute, room
from motherlode.errors import DataError
from motherlode.manifest import Input, Model, Quality, Segment
from training import export, naming
from training.inputs import label, learn, matrix
from training.ranks import Floats
from training.result import Fitted
from training.segmenter import Segmenter, fit_space

FILE: Final = "segments.onnx"
COLUMNS: Final = (
    "rfm__recency_days",
    "rfm__frequency_28d",
    "rfm__frequency_84d",
    "rfm__monetary_28d",
    "rfm__monetary_84d",
    "price_sensitivity__discount_line_share",
    "price_sensitivity__discount_depth",
    "price_sensitivity__coupon_line_share",
    "price_sensitivity__coupon_basket_share",
    "price_sensitivity__private_label_share",
    "spending__basket_value_mean",
    "spending__basket_items_mean",
    "spending__days_between_baskets",
)
"""Amounts and shares, none below 0. What grows with the records' age is left out, so that a segment can last."""
OUTCOMES: Final = {
    "next 84 days' spend explained (η²)": "rfm__monetary_84d",
    "next 84 days' baskets explained (η²)": "rfm__frequency_84d",
    "next 84 days' coupon savings explained (η²)": "price_sensitivity__coupon_amount_84d",
}
"""What each feature of a snapshot says of the 84 days before it, and so of those after the snapshot before."""
AHEAD: Final = timedelta(days=84)
COUNTS: Final = range(3, 9)
STABLE: Final = 0.75
"""Mean adjusted Rand index from which segments are the same ones, whoever is looked at."""
SLACK: Final = 0.1
"""What more segments may cost of it, against the most stable number."""
RFM_GROUPS: Final = "as many RFM groups"
STABILITY: Final = "stability (adjusted Rand), which chose their number"
NO_PCA: Final = "k-means without PCA"

_SAMPLES: Final = 8
_SAMPLE_SHARE: Final = 0.7
_FEWEST: Final = 10
"""Customers a segment, on average; below that there are none worth the name."""
_SILHOUETTE_ROWS: Final = 1000


@dataclass(frozen=True)
class Trial:
    """A number of segments.

    Attributes:
        count: how many.
        stability: mean adjusted Rand index (Hubert and Arabie, 1985) between the segments of all customers, as
            fitted to samples of 70 % of them.
        silhouette: how well they are parted (Rousseeuw, 1987), for comparison; it takes no part in the choice.
    """

    count: int
    stability: float
    silhouette: float


@dataclass(frozen=True)
class Segmentation:
    """The segments, and what the report shows of them.

    Attributes:
        fitted: the model, with its figures.
        segments: by id, the largest first.
        labels: shape (customers,), int64: each customer's segment, in the order of the latest frame.
        plane: shape (customers, 2): each customer on the first two principal components.
        explained: the share of the variance that each of the two explains.
        profile_features: the names of the profile's columns, `view.name`.
        profile: shape (segments, features): in standard deviations from the mean of all customers.
        trials: the numbers of segments tried.
    """

    fitted: Fitted
    segments: tuple[Segment, ...]
    labels: npt.NDArray[np.int64]
    plane: Floats
    explained: tuple[float, float]
    profile_features: tuple[str, ...]
    profile: Floats
    trials: tuple[Trial, ...]


def fit(latest: pl.DataFrame, before: pl.DataFrame, compute: Compute) -> Segmentation:
    """Find the segments and test them.

    Args:
        latest: every customer's features of service `scoring` at the latest snapshot.
        before: the same `AHEAD` before it.
        compute: where.

    Raises:
        DataError: there are too few customers.
    """
    possible(before.height)
    x, _ = _matrix(before)
    scaling, pca = fit_space(x, compute)
    points = pca.transform(scaling.transform(x))
    trials = stability(points, compute)
    count = choose(trials)
    labels = room(compute).kmeans(points, count, seed=0).labels_
    unreduced = agreement(scaling.transform(x), count, compute)
    quality = (*_explained(before, latest, labels, count), _stable(trials, count, unreduced))
    return _publish(latest, count, quality, trials, compute)


def stability(points: Floats, compute: Compute) -> tuple[Trial, ...]:
    """Every number of segments that is `possible`."""
    return tuple(
        Trial(count, agreement(points, count, compute), _silhouette(points, count, compute))
        for count in possible(len(points))
    )


def possible(customers: int) -> list[int]:
    """The numbers of segments in `COUNTS` that so many customers suffice for.

    Raises:
        DataError: they do not suffice for the fewest.
    """
    counts = [count for count in COUNTS if count * _FEWEST <= customers]
    if not counts:
        raise DataError(
            f"{customers} customers are too few for {COUNTS[0]} segments.",
            f"The snapshot {AHEAD.days} days before the last wants {COUNTS[0] * _FEWEST} or more.",
        )
    return counts


def choose(trials: Sequence[Trial]) -> int:
    """The most segments that are stable, and nearly as stable as the most stable number; else that number."""
    best = max(trials, key=lambda trial: trial.stability)
    least = max(STABLE, best.stability - SLACK)
    return max((trial.count for trial in trials if trial.stability >= least), default=best.count)


def agreement(points: Floats, count: int, compute: Compute) -> float:
    """Mean adjusted Rand index between the labels of all points by k-means fitted to samples of them."""
    size = max(count, int(_SAMPLE_SHARE * len(points)))
    labels = []
    for seed in range(_SAMPLES):
        sample = np.sort(np.random.default_rng(seed).choice(len(points), size, replace=False))
        labels.append(room(compute).kmeans(points[sample], count, seed).predict(points))
    return float(np.mean([adjusted_rand_score(one, other) for one, other in combinations(labels, 2)]))


def explained(outcome: Floats, labels: npt.NDArray[np.integer[Any]]) -> float:
    """η²: the share of the outcome's variance that lies between the groups; 0 where it has none."""
    whole = float(((outcome - outcome.mean()) ** 2).sum())
    if whole == 0.0:
        return 0.0
    _, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.bincount(group, weights=outcome) / sizes
    return float((sizes * (means - outcome.mean()) ** 2).sum()) / whole


def rfm_groups(frame: pl.DataFrame, count: int) -> npt.NDArray[np.int64]:
    """Groups of like size by the sum of the three RFM scores; equal sums share a group."""
    scores = (pl.col(f"rfm__{score}_score").fill_null(0) for score in ("recency", "frequency", "monetary"))
    place = (pl.sum_horizontal(scores).rank("average") - 0.5) / pl.len() * count
    return frame.select(place.floor().cast(pl.Int64)).to_series().to_numpy()


def _matrix(frame: pl.DataFrame) -> tuple[npt.NDArray[np.float32], tuple[Input, ...]]:
    inputs = learn(frame, COLUMNS)
    return matrix(frame, inputs), inputs


def _silhouette(points: Floats, count: int, compute: Compute) -> float:
    rows = np.random.default_rng(0).permutation(len(points))[:_SILHOUETTE_ROWS]
    labels = room(compute).kmeans(points, count, seed=0).labels_[rows]
    return float(silhouette_score(points[rows], labels)) if len(np.unique(labels)) > 1 else 0.0


def _explained(
    before: pl.DataFrame, latest: pl.DataFrame, labels: npt.NDArray[np.integer[Any]], count: int
) -> tuple[Quality, ...]:
    """What the earlier segments, and RFM groups, tell of the outcomes."""
    after = before.select(names.CUSTOMER_ID).join(
        latest.select(names.CUSTOMER_ID, *OUTCOMES.values()), on=names.CUSTOMER_ID, how="left", maintain_order="left"
    )
    groups = rfm_groups(before, count)
    rows = []
    for metric, column in OUTCOMES.items():
        outcome = after[column].cast(pl.Float64).fill_null(0.0).to_numpy()
        value, baseline = explained(outcome, labels), explained(outcome, groups)
        rows.append(Quality(names.SEGMENTS, metric, value, None, RFM_GROUPS, baseline))
    return tuple(rows)


def _stable(trials: Sequence[Trial], count: int, unreduced: float) -> Quality:
    found = next(trial.stability for trial in trials if trial.count == count)
    return Quality(names.SEGMENTS, STABILITY, found, None, NO_PCA, unreduced)


def _publish(
    latest: pl.DataFrame, count: int, quality: tuple[Quality, ...], trials: tuple[Trial, ...], compute: Compute
) -> Segmentation:
    """The segments of the latest snapshot."""
    x, inputs = _matrix(latest)
    scaling, pca = fit_space(x, compute)
    points = pca.transform(scaling.transform(x))
    model = Segmenter(scaling, pca, room(compute).kmeans(points, count, seed=0))
    labels = model.label(x)
    scaled = scaling.transform(x)
    means = np.stack([scaled[labels == segment].mean(axis=0) for segment in range(count)])
    features = export.samples(x)
    return Segmentation(
        fitted=Fitted(
            name=names.SEGMENTS,
            model=Model(FILE, inputs, export.LABEL),
            onnx=export.segmenter(model),
            features=features,
            answer=model.label(features),
            quality=quality,
        ),
        segments=_described(x, labels, naming.names(COLUMNS, means)),
        labels=labels,
        plane=points[:, :2],
        explained=_shares(pca),
        profile_features=tuple(label(each) for each in inputs),
        profile=means,
        trials=trials,
    )


def _described(x: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], called: Sequence[str]) -> tuple[Segment, ...]:
    medians = [np.median(x[labels == segment], axis=0).astype(np.float64) for segment in range(len(called))]
    sizes = np.bincount(labels, minlength=len(called)).tolist()
    return tuple(
        Segment(segment, name, sizes[segment] / len(labels), naming.describe(COLUMNS, medians[segment]), sizes[segment])
        for segment, name in enumerate(called)
    )


def _shares(pca: PCA) -> tuple[float, float]:
    first, second = pca.explained_variance_ratio_[:2]
    return float(first), float(second)
