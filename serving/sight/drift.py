"""Drift: how far what is served has moved from what was trained on, by the population stability index.

A bundle tells of every feature which share of its values lay in which bin, and how many were null. Of answers, and in
older bundles of features, there are deciles. Where values are tied or whole numbers, deciles leave open how many lie at
one of them: then the index is the least that they allow, so that counts of 0, 1 and 2 do not look like drift.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from motherlode import names, stability
from motherlode.bundle import Bundle
from motherlode.manifest import CAMPAIGN, Input, Model

WINDOW: Final = 10_000
"""Customers after which one weighs 1/e."""
FEWEST: Final = 500
"""Customers below which an index of ten bins says nothing: its noise is about 10 / N."""
_SAMPLES: Final = 100
"""Answers of training below which their deciles say nothing."""

Name = tuple[str, str]
"""A view and a feature; or `SCORE` and a model."""
SCORE: Final = ""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """What training saw of one number.

    Attributes:
        edges: B bins' inner edges, ascending, shape (B - 1,); a value on an edge lies below it.
        low, high: between which the share of values up to each edge lay.
        nulls: their share; None where nobody knows.
        moved: the index of the training's newest rows against those before; None where nobody knows.
    """

    edges: Floats
    low: Floats
    high: Floats
    nulls: float | None = None
    moved: float | None = None

    @classmethod
    def told(cls, told: Input) -> "Profile":
        """What a bundle tells of a feature."""
        if not told.shares:
            return cls.of(told.edges)
        upto = np.cumsum(told.shares)[:-1]
        return cls(np.array(told.edges, dtype=np.float64), upto, upto, told.nulls, told.moved)

    @classmethod
    def of(cls, deciles: Sequence[float]) -> "Profile":
        """By ascending quantiles, evenly spaced."""
        given = np.asarray(deciles, dtype=np.float64)
        edges, counts = np.unique(given, return_counts=True)
        steps = len(given) + 1
        upto = np.cumsum(counts)
        # One at a time: between two whole numbers a decile may be a fraction.
        loose = (counts > 1) | (edges == np.round(edges))
        most = np.where(loose, upto + 1, upto)
        # A sharp edge at which a tie may have ended leaves a bin that may hold nothing: its few would look like much.
        kept = np.ones(len(edges), dtype=bool)
        kept[1:] = loose[1:] | (upto[1:] > most[:-1]) | ~loose[:-1]
        # Below a tie, too: else a constant that falls would be none.
        tied = counts > 1
        under, above = stability.around(edges[tied])[: tied.sum()], (upto - counts + 1)[tied]
        every = np.concatenate([edges[kept], under])
        low, high = np.concatenate([upto[kept], above - 1]), np.concatenate([most[kept], above])
        order = np.argsort(every)
        return cls(every[order], low[order] / steps, high[order] / steps)

    def counts(self, values: npt.NDArray[Any]) -> Floats:
        """How many of N values lie in each bin, and how many are null or not finite: shape (B + 1,)."""
        kept = values[np.isfinite(values)]
        return np.append(stability.counted(self.edges, kept), float(len(values) - len(kept)))

    def psi(self, counts: Floats) -> float:
        """The population stability index of what `counts` counted; below 0.1 nothing happened, above 0.25 much."""
        values, nulls = counts[:-1], counts[-1] / counts.sum()
        seen = np.cumsum(values)[:-1] / max(1.0, values.sum())
        expected, actual = _shares(np.clip(seen, self.low, self.high)), _shares(seen)
        if self.nulls is None:
            return stability.index(expected, actual)
        return stability.index((*expected * (1 - self.nulls), self.nulls), (*actual * (1 - nulls), nulls))

    def known(self, counts: Floats) -> float:
        """How many customers the index is of."""
        return float((counts[:-1] if self.nulls is None else counts).sum())


def _shares(upto: Floats) -> Floats:
    shares: Floats = np.diff(upto, prepend=0.0, append=1.0)
    return shares


def profiles(bundle: Bundle) -> dict[Name, Profile]:
    """What a bundle tells of its training: of features by the model that was trained on most customers, of answers.

    Models that see all customers come first: what a model of a few campaigns' customers saw is no measure for others.
    """
    models = bundle.manifest.models
    first = [models[name] for name in (names.SEGMENTS, names.INACTIVE_28D) if name in models]
    found: dict[Name, Profile] = {}
    for model in (*first, *models.values(), bundle.manifest.tower.model):
        for name, profile in _of_features(model).items():
            found.setdefault(name, profile)
    return found | _of_answers(bundle)


def _of_features(model: Model) -> dict[Name, Profile]:
    return {
        (each.view, each.name): Profile.told(each)
        for each in model.inputs
        if each.view != CAMPAIGN and (each.edges or each.shares)
    }


def _of_answers(bundle: Bundle) -> dict[Name, Profile]:
    found: dict[Name, Profile] = {}
    for name in bundle.manifest.models:
        if name == names.SEGMENTS:
            ordered = sorted(bundle.manifest.segments, key=lambda each: each.id)
            upto = np.cumsum([each.share for each in ordered], dtype=np.float64)[:-1]
            if len(upto):
                labels = np.array([each.id for each in ordered], dtype=np.float64)
                found[SCORE, name] = Profile(labels[:-1], upto, upto)
            continue
        answer = bundle.answers.get(f"{name}.answer", np.empty(0))
        if len(answer) >= _SAMPLES:
            found[SCORE, name] = Profile.of(np.quantile(answer.astype(np.float64), np.arange(1, 10) / 10).tolist())
    return found


class Window:
    """Counts by bin of about the last `WINDOW` customers.

    Args:
        bundle: whose training they are held against.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.version = bundle.manifest.version
        self.profiles = profiles(bundle)
        self.counts: dict[Name, Floats] = {}

    def add(self, name: Name, values: npt.NDArray[Any]) -> None:
        """Count N values of one name; nothing where it has no profile."""
        profile = self.profiles.get(name)
        if profile is None or not len(values):
            return
        new = profile.counts(values)
        before = self.counts.get(name)
        self.counts[name] = new if before is None else before * np.exp(-len(values) / WINDOW) + new

    def counts_so(self, name: Name, length: int) -> bool:
        """Whether that many counts are of this release's bins: a replica of another may count by others."""
        profile = self.profiles.get(name)
        return profile is not None and length == len(profile.edges) + 2

    def moved(self) -> dict[Name, float]:
        """How far features moved within the training, by name."""
        return {name: each.moved for name, each in self.profiles.items() if each.moved is not None}

    def nulls(self) -> dict[Name, float]:
        """Which share of the training's newest rows was null, by name."""
        return {name: each.nulls for name, each in self.profiles.items() if each.nulls is not None}

    def indices(self, counts: Mapping[Name, Floats]) -> dict[Name, float]:
        """The index by name, of those that enough customers are known of."""
        return {
            name: self.profiles[name].psi(found)
            for name, found in counts.items()
            if name in self.profiles and self.profiles[name].known(found) >= FEWEST
        }
