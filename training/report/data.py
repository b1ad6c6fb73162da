"""What a report is made from: plain arrays and records, no files and no models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from motherlode.errors import DataError
from motherlode.manifest import Quality, Segment
from training.evaluate import Evidence

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

BINS: Final = 24
_TAIL: Final = 0.005
"""The share of values at either end that a histogram gathers in its last bins, so that outliers do not flatten it."""


@dataclass(frozen=True)
class Plane:
    """The customers on the first two principal components.

    Attributes:
        points: shape (customers, 2).
        labels: shape (customers,), each customer's segment id.
        explained: the share of the variance that each of the two components explains.
    """

    points: Floats
    labels: Ints
    explained: tuple[float, float]

    def __post_init__(self) -> None:
        if self.points.shape != (len(self.labels), 2):
            raise DataError(
                f"The plane has points of shape {self.points.shape} for {len(self.labels)} labels.",
                "Give two coordinates a label.",
            )


@dataclass(frozen=True)
class Profile:
    """What tells the segments apart.

    Attributes:
        features: the features' names.
        means: shape (segments, features), rows in the order of `ReportData.segments`: each segment's mean
            in standard deviations from the mean of all customers.
    """

    features: tuple[str, ...]
    means: Floats


@dataclass(frozen=True)
class Distribution:
    """A feature's histogram over the customers trained on.

    Attributes:
        view, feature: its names.
        counts: customers a bin.
        edges: one more than counts, ascending. The outer bins also hold what lies beyond them.
        null_share: the share of customers that have no value.
    """

    view: str
    feature: str
    counts: tuple[int, ...]
    edges: tuple[float, ...]
    null_share: float


@dataclass(frozen=True)
class ReportData:
    """Everything that the report shows.

    Attributes:
        title: the page's heading.
        provenance: what the bundle was made of and on, label → value, in the order shown; the first three
            values also stand under the heading.
        libraries: name → version.
        quality: every model's figures beside its baselines; those of `names.USER_TOWER` become the
            recommendation's bars.
        segments: the segments, in the order shown.
        plane: where each customer lies.
        profile: what tells the segments apart.
        evidence: what stands behind each classifier's figures, by the model's name, in the order shown.
        distributions: the features' histograms; those of one view side by side.
    """

    title: str
    provenance: Mapping[str, str]
    libraries: Mapping[str, str]
    quality: tuple[Quality, ...]
    segments: tuple[Segment, ...]
    plane: Plane
    profile: Profile
    evidence: Mapping[str, Evidence]
    distributions: tuple[Distribution, ...]

    def __post_init__(self) -> None:
        expected = (len(self.segments), len(self.profile.features))
        if self.profile.means.shape != expected:
            raise DataError(
                f"The profile's means have shape {self.profile.means.shape}, "
                f"{expected[0]} segments and {expected[1]} features want {expected}.",
                "Give a row a segment and a column a feature.",
            )


def distribution(view: str, feature: str, values: Floats, bins: int = BINS) -> Distribution:
    """The histogram of a feature.

    Args:
        view, feature: its names.
        values: shape (customers,); NaN and infinity count as no value.
        bins: how many at most; whole numbers get a bin each where that is enough.

    Returns:
        Equal bins between the quantiles that leave half a per cent at either end.
    """
    present = np.asarray(values, dtype=np.float64)
    present = present[np.isfinite(present)]
    nulls = 1.0 - len(present) / len(values) if len(values) else 1.0
    if not len(present):
        return Distribution(view, feature, (), (), nulls)
    low, high = (float(edge) for edge in np.quantile(present, (_TAIL, 1.0 - _TAIL), method="inverted_cdf"))
    if low == high:
        low, high = float(present.min()), float(present.max())
    if low == high:
        return Distribution(view, feature, (len(present),), (low, high), nulls)
    if high - low < bins and (present == np.rint(present)).all():
        bins = round(high - low) + 1
    counts, edges = np.histogram(np.clip(present, low, high), bins=bins, range=(low, high))
    return Distribution(view, feature, tuple(map(int, counts)), tuple(map(float, edges)), nulls)
