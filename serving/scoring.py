"""Scores: from what is known of N customers to their segments and probabilities. No Ray, no HTTP."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import numpy as np

from motherlode import names
from motherlode.api import Score, SegmentAnswer, Status
from motherlode.bundle import Bundle
from motherlode.packed import ViewRows
from motherlode.runtime import Runtime
from serving.features import Known, Plan, Standing

T = TypeVar("T")

_DIGITS: Final = 6
"""Of a probability; float32 holds no more."""
_NOT_FRESH: Final = "null, as no feature that they read is fresh: "


class UnknownCampaignError(ValueError):
    """The campaign type is none that the model was trained on.

    Attributes:
        known: those that it was.
    """

    def __init__(self, kind: str, known: Sequence[str]) -> None:
        self.kind = kind
        self.known = tuple(known)
        super().__init__(f"Campaign type {kind!r} is unknown.")


class Scorer:
    """One bundle's segments and probabilities.

    Args:
        bundle: the bundle.
        runtime: its models.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime) -> None:
        self._runtime = runtime
        self._plan = Plan(bundle.manifest.services, bundle.manifest.models)
        self._segments = {each.id: SegmentAnswer(each.id, each.name) for each in bundle.manifest.segments}
        self._labelled = tuple(name for name in bundle.manifest.models if name == names.SEGMENTS)
        self._probabilities = tuple(name for name in bundle.manifest.models if name != names.SEGMENTS)
        self._asking = {name for name in self._probabilities if self._plan.campaigns(name)}
        self._nothing: Mapping[str, float | None] = dict.fromkeys(self._probabilities)
        self.requests = self._plan.requests
        self.campaigns = tuple(dict.fromkeys(kind for name in self._asking for kind in self._plan.campaigns(name)))
        self._unasked = tuple(
            f"{name} needs a campaign: give campaign.type, one of {', '.join(self._plan.campaigns(name))}"
            for name in self._probabilities
            if name in self._asking
        )

    def check(self, campaign: str | None) -> None:
        """Refuse a campaign type that the models were not trained on.

        Raises:
            UnknownCampaignError: naming those they were.
        """
        if campaign is not None and campaign not in self.campaigns:
            raise UnknownCampaignError(campaign, self.campaigns)

    def score(
        self, ids: Sequence[int | str], rows: Mapping[str, ViewRows], campaign: str | None, at_us: int
    ) -> list[Score]:
        """N customers' scores, one run of each model.

        Args:
            ids: N outside ids.
            rows: N rows of every view of `requests`.
            campaign: the campaign type that passed `check`, or None.
            at_us: the time to judge ages by, microseconds since 1970 UTC.
        """
        if not ids:
            return []
        known = self._plan.know(rows, at_us)
        asked = [name for name in self._probabilities if campaign is not None or name not in self._asking]
        fresh = {name: self._plan.fresh(name, known) for name in (*self._labelled, *asked)}
        unasked = [None] * len(ids)
        columns = [
            self._probability(name, known, campaign, fresh[name]) if name in fresh else unasked
            for name in self._probabilities
        ]
        scores = zip(*columns, strict=True) if columns else [()] * len(ids)
        labels = self._labels(known, fresh)
        notes = () if campaign is not None else self._unasked
        unfounded = _unfounded(fresh, len(ids))
        return [
            Score(
                outside,
                standing.status,
                label,
                dict(zip(self._probabilities, answers, strict=True)),
                standing.age_s,
                [*standing.notes, *why, *notes],
            )
            if standing.status != "cold"
            else self._without(outside, standing)
            for outside, standing, label, answers, why in zip(
                ids, known.standings, labels, scores, unfounded, strict=True
            )
        ]

    def unavailable(self, ids: Sequence[int | str], reason: str) -> list[Score]:
        """What can be said of N customers when no feature could be read: that, and why."""
        standing = Standing("degraded", None, (f"features unavailable: {reason}",))
        return [self._without(outside, standing) for outside in ids]

    def withheld(self, outside: int | str, status: Status, note: str) -> Score:
        """What is told of a customer who is not answered personally."""
        return self._without(outside, Standing(status, None, (note,)))

    def segment(self, rows: Mapping[str, ViewRows], at_us: int) -> list[SegmentAnswer | None]:
        """N customers' segments; None where rows are missing, stale or damaged, or say nothing."""
        known = self._plan.know(rows, at_us)
        fresh = {name: self._plan.fresh(name, known) for name in self._labelled}
        return [
            label if standing.status == "ok" else None
            for standing, label in zip(known.standings, self._labels(known, fresh), strict=True)
        ]

    def _probability(
        self, name: str, known: Known, campaign: str | None, fresh: Sequence[bool]
    ) -> Sequence[float | None]:
        answer = self._runtime.run(name, self._plan.matrix(name, known, campaign))
        rounded: list[float] = np.round(answer.astype(np.float64), _DIGITS).tolist()
        return _where(fresh, rounded)

    def _labels(self, known: Known, fresh: Mapping[str, Sequence[bool]]) -> Sequence[SegmentAnswer | None]:
        if not self._labelled:
            return [None] * len(known.raw)
        labels = self._runtime.run(names.SEGMENTS, self._plan.matrix(names.SEGMENTS, known)).tolist()
        return _where(fresh[names.SEGMENTS], [self._segments.get(label) for label in labels])

    def _without(self, outside: int | str, standing: Standing) -> Score:
        return Score(outside, standing.status, None, self._nothing, standing.age_s, list(standing.notes))


def _where(fresh: Sequence[bool], answers: Sequence[T]) -> Sequence[T | None]:
    """The answers of whom a model's answer would be more than its defaults'."""
    return answers if all(fresh) else [each if ok else None for each, ok in zip(answers, fresh, strict=True)]


def _unfounded(fresh: Mapping[str, Sequence[bool]], n: int) -> Sequence[tuple[str, ...]]:
    """N customers' note of the answers that are null because nothing they rest on is fresh; none where none is.

    Args:
        fresh: by model, of whom it reads any feature.
        n: customers.
    """
    if all(map(all, fresh.values())):
        return [()] * n
    unfounded = [[name for name, ok in fresh.items() if not ok[i]] for i in range(n)]
    return [(_NOT_FRESH + ", ".join(each),) if each else () for each in unfounded]
