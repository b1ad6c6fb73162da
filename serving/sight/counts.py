"""Counters and histograms in plain Python: one event loop writes them, so that an increment is an increment.

An observation costs a tenth of `prometheus_client`'s, which takes a lock and looks its labels up (decision 0037).
"""

from bisect import bisect_left
from collections.abc import Sequence, Set

import msgspec

from serving.sight.metrics import Metric

Labels = tuple[str, ...]


class Series(msgspec.Struct, array_like=True):
    """One metric with one set of label values.

    Attributes:
        labels: in the order of the metric's.
        value: a counter's, a gauge's, or the sum of what a histogram observed.
        counts: a histogram's, by bucket, the last one beyond all bounds; else empty.
    """

    labels: Labels
    value: float
    counts: list[int] = []

    def copy(self) -> "Series":
        """The same, as it is now."""
        return Series(self.labels, self.value, self.counts[:])


class Histogram:
    """Observations of one kind.

    Args:
        series: where they are counted.
        bounds: the buckets' upper ones, ascending.
    """

    __slots__ = ("_bounds", "_counts", "series")

    def __init__(self, series: Series, bounds: Sequence[float]) -> None:
        self.series = series
        self._bounds = bounds
        self._counts = series.counts

    def observe(self, value: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.series.value += value


class Family:
    """All series of one metric, made as they are met.

    Args:
        metric: which.
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._series: dict[Labels, Series] = {}
        self._histograms: dict[Labels, Histogram] = {}

    def of(self, *labels: str) -> Series:
        """A counter or a gauge, to add to or to set."""
        found = self._series.get(labels)
        if found is None:
            found = self._series[labels] = Series(labels, 0.0)
        return found

    def histogram(self, *labels: str) -> Histogram:
        """A histogram, to observe with."""
        found = self._histograms.get(labels)
        if found is None:
            series = self._series[labels] = Series(labels, 0.0, [0] * (len(self.metric.buckets) + 1))
            found = self._histograms[labels] = Histogram(series, self.metric.buckets)
        return found

    def clear(self) -> None:
        """Forget all series: of a gauge whose labels change."""
        self._series.clear()

    def drop(self, label: str, values: Set[str]) -> None:
        """Forget the series in which a label has one of these values: what never comes again would be told for ever."""
        at = self.metric.labels.index(label)
        for labels in [each for each in self._series if each[at] in values]:
            del self._series[labels]
            self._histograms.pop(labels, None)

    def values(self, label: str) -> set[str]:
        """What a label has been."""
        at = self.metric.labels.index(label)
        return {each[at] for each in self._series}

    def now(self) -> list[Series]:
        """Every series as it is now."""
        return [each.copy() for each in self._series.values()]
