"""Whether a new bundle may serve: its answers beside the old one's, by the same customers or one after the other.

What a bundle answers is kept as a sample: probabilities by model, how many were null, how many lists were personal,
how long it took. Two samples are compared with bounds that a retrained model keeps within and a broken one does not.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt

from motherlode import stability
from motherlode.api import Neighbours, Recommendation, Score

_BINS: Final = 10


@dataclass(frozen=True)
class Bounds:
    """What a new bundle is held to.

    Attributes:
        nulls: how much greater the share of null scores may be, and how much smaller that of personal lists.
        psi: population stability index of a model's probabilities; above .25 practitioners speak of another population.
        slower: times the old one's median time, and `slower_s` more, seconds.
        few: answers of each, below which nothing is said of nulls or times; for the index there must be ten times more.
    """

    nulls: float = 0.05
    psi: float = 0.25
    slower: float = 2.0
    slower_s: float = 0.005
    few: int = 30

    @property
    def few_scored(self) -> int:
        """Answers of a model below which nothing is said of their index."""
        return 10 * self.few


def _recent() -> deque[float]:
    return deque(maxlen=2000)


@dataclass
class Sample:
    """What a bundle answered lately.

    Attributes:
        scores: by model, probabilities; NaN where there was none though the features were all right.
        personal: of lists, 1 where it was the recommender's; of customers whose features were all right.
        seconds: of requests.
        whole: of customers, 1 where their features were all right.
        alike: of items, 1 where others like it were found.
        failures: requests that another bundle answered, and this one could not.
    """

    scores: dict[str, deque[float]] = field(default_factory=dict)
    personal: deque[float] = field(default_factory=_recent)
    seconds: deque[float] = field(default_factory=_recent)
    whole: deque[float] = field(default_factory=_recent)
    alike: deque[float] = field(default_factory=_recent)
    failures: int = 0

    @property
    def scored(self) -> int:
        """Answers of the model that has fewest."""
        return min((len(each) for each in self.scores.values()), default=0)

    def add(self, results: Sequence[Score | Recommendation | Neighbours], seconds: float) -> None:
        """Take in an answer, and how long it took; of customers with all their features, for theirs is the bundle's."""
        self.seconds.append(seconds)
        for each in results:
            if isinstance(each, Neighbours):
                self.alike.append(float(len(each.items) > 0))
                continue
            self.whole.append(float(each.status == "ok"))
            if each.status != "ok":
                continue
            if isinstance(each, Recommendation):
                self.personal.append(float(each.source == "personal"))
            else:
                for name, score in each.scores.items():
                    self.scores.setdefault(name, _recent()).append(np.nan if score is None else score)


def objections(old: Sample, new: Sample, bounds: Bounds, *, alike: bool = False) -> list[str]:
    """Why a new bundle should not serve; empty where nothing speaks against it.

    Args:
        old, new: what the two answered.
        bounds: what the new one is held to.
        alike: they answered the same requests at one time: features that the new one alone lacks are its fault.
    """
    found = [f"{new.failures} requests failed"] if new.failures else []
    if alike and min(len(old.whole), len(new.whole)) >= bounds.few:
        whole = float(np.mean(new.whole)), float(np.mean(old.whole))
        if whole[0] < whole[1] - bounds.nulls:
            found.append(f"{whole[0]:.0%} of the customers have all the features that it reads, {whole[1]:.0%} had")
    for name, known in old.scores.items():
        before, after = np.array(known), np.array(new.scores.get(name, ()))
        if min(len(before), len(after)) < bounds.few:
            continue
        nulls = float(np.isnan(after).mean()), float(np.isnan(before).mean())
        if nulls[0] > nulls[1] + bounds.nulls:
            found.append(f"{nulls[0]:.0%} of the answers of {name} are null, {nulls[1]:.0%} were")
            continue
        before, after = before[~np.isnan(before)], after[~np.isnan(after)]
        if min(len(before), len(after)) >= bounds.few_scored and (index := psi(before, after)) > bounds.psi:
            found.append(f"the answers of {name} are shifted: PSI {index:.2f}, {bounds.psi:g} is allowed")
    if min(len(old.personal), len(new.personal)) >= bounds.few:
        personal = float(np.mean(new.personal)), float(np.mean(old.personal))
        if personal[0] < personal[1] - bounds.nulls:
            found.append(f"{personal[0]:.0%} of the lists are personal, {personal[1]:.0%} were")
    if min(len(old.alike), len(new.alike)) >= bounds.few:
        near = float(np.mean(new.alike)), float(np.mean(old.alike))
        if near[0] < near[1] - bounds.nulls:
            found.append(f"of {near[0]:.0%} of the items others like them are found, of {near[1]:.0%} they were")
    if min(len(old.seconds), len(new.seconds)) >= bounds.few:
        times = median(new.seconds), median(old.seconds)
        if times[0] > times[1] * bounds.slower + bounds.slower_s:
            found.append(f"a request takes {times[0] * 1e3:.1f} ms, {times[1] * 1e3:.1f} ms before")
    return found


def psi(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> float:
    """The population stability index over ten parts, equally full before."""
    edges = np.unique(np.quantile(before, np.linspace(0, 1, _BINS + 1)[1:-1]))
    shares = [
        np.bincount(np.searchsorted(edges, each), minlength=len(edges) + 1) / len(each) for each in (before, after)
    ]
    return stability.index(*shares)
