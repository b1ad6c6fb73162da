"""Scores: from what is known of N customers to their segments and probabilities. No Ray, no HTTP."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from motherlode import names
from motherlode.api import Score, SegmentAnswer
from motherlode.bundle import Bundle
from motherlode.packed import ViewRows
from motherlode.runtime import Runtime
from serving.features import Known, Plan, Standing

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
        answers = {name: self._probability(name, known, campaign) for name in asked}
        labels = self._labels(known)
        notes = () if campaign is not None else self._unasked
        unfounded = self._unfounded(known, (*self._labelled, *asked))
        return [
            Score(
                customer_id=outside,
                status=standing.status,
                segment=label,
                scores={name: answers[name][i] if name in answers else None for name in self._probabilities},
                features_age_s=standing.age_s,
                notes=standing.with_notes(*unfounded[i], *notes),
            )
            if standing.status != "cold"
            else self._without(outside, standing)
            for i, (outside, standing, label) in enumerate(zip(ids, known.standings, labels, strict=True))
        ]

    def unavailable(self, ids: Sequence[int | str], reason: str) -> list[Score]:
        """What can be said of N customers when no feature could be read: that, and why."""
        standing = Standing("degraded", None, (f"features unavailable: {reason}",))
        return [self._without(outside, standing) for outside in ids]

    def segment(self, rows: Mapping[str, ViewRows], at_us: int) -> list[SegmentAnswer | None]:
        """N customers' segments; None where rows are missing, stale or damaged, or say nothing."""
        known = self._plan.know(rows, at_us)
        return [
            label if standing.status == "ok" else None
            for standing, label in zip(known.standings, self._labels(known), strict=True)
        ]

    def _probability(self, name: str, known: Known, campaign: str | None) -> list[float | None]:
        answer = self._runtime.run(name, self._plan.matrix(name, known.raw, campaign))
        rounded = np.round(answer.astype(np.float64), _DIGITS).tolist()
        return [each if fresh else None for each, fresh in zip(rounded, self._fresh(name, known), strict=True)]

    def _labels(self, known: Known) -> list[SegmentAnswer | None]:
        if not self._labelled:
            return [None] * len(known.raw)
        labels = self._runtime.run(names.SEGMENTS, self._plan.matrix(names.SEGMENTS, known.raw)).tolist()
        return [
            self._segments.get(label) if fresh else None
            for label, fresh in zip(labels, self._fresh(names.SEGMENTS, known), strict=True)
        ]

    def _fresh(self, name: str, known: Known) -> list[bool]:
        """Of whom a model's answer would be more than its defaults'."""
        fresh: list[bool] = self._plan.fresh(name, known.raw).tolist()
        return fresh

    def _unfounded(self, known: Known, asked: Sequence[str]) -> list[tuple[str, ...]]:
        """N customers' note of the answers that are null because nothing they rest on is fresh; none where none is."""
        fresh = {name: self._fresh(name, known) for name in asked}
        unfounded = [[name for name in asked if not fresh[name][i]] for i in range(len(known.raw))]
        return [(_NOT_FRESH + ", ".join(each),) if each else () for each in unfounded]

    def _without(self, outside: int | str, standing: Standing) -> Score:
        return Score(outside, standing.status, None, self._nothing, standing.age_s, list(standing.notes))
