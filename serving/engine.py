"""One bundle's answers: features, scores and lists, put together. No Ray, no HTTP."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

import redis.asyncio

from motherlode.api import (
    SERVICE,
    FeaturesAnswer,
    FeaturesRequest,
    Portrait,
    RecommendAnswer,
    Recommendation,
    RecommendRequest,
    Score,
    ScoreAnswer,
    ScoreRequest,
    SegmentAnswer,
    SimilarAnswer,
    SimilarRequest,
)
from motherlode.bundle import Bundle
from motherlode.compute import Compute
from motherlode.online.keys import entity_text
from motherlode.online.reader import AsyncOnlineReader, Beside, ViewRequest, now_us
from motherlode.packed import ViewRows
from motherlode.runtime import Runtime
from motherlode.settings import Settings
from serving.batching import Batcher, bounds
from serving.breaker import Breaker
from serving.consent import Consents, Verdicts, hide
from serving.filters import Narrowed
from serving.lookup import Lookup
from serving.portrait import Painter
from serving.reading import UnavailableError, read
from serving.recommendation import Customer, Recommender
from serving.scoring import Scorer
from serving.sight import Sight
from serving.sight.metrics import MODELS, RANK, REDIS
from serving.similar import Similar
from serving.suppression import Suppression

_INLINE: Final = 1_000_000
"""Customers × items above which ranking leaves the event loop to other requests."""
_BATCH: Final = 64
"""Customers of requests that are answered together."""
_SCORE, _RECOMMEND, _FEATURES, _PORTRAIT = "score", "recommend", "features", "portrait"
"""What `serving.sight` calls the answers."""

Ids = Sequence[int | str]


class Engine:
    """Answers by one bundle; a request that holds an engine never mixes two bundles.

    Args:
        settings: bound to a Redis.
        bundle: a verified bundle.
        runtime: its models.
        client: the connections to read by.
        breaker: what guards them, where engines share them.
        sight: what counts the answers.
        suppression: the items that nobody is recommended, where engines share what they know of it.
    """

    def __init__(
        self,
        settings: Settings,
        bundle: Bundle,
        runtime: Runtime,
        client: redis.asyncio.Redis,
        breaker: Breaker | None = None,
        sight: Sight | None = None,
        suppression: Suppression | None = None,
    ) -> None:
        self.version = bundle.manifest.version
        self._runtime = runtime
        self.scorer = Scorer(bundle, runtime)
        self._budget_s = settings.redis_budget_s
        self._breaker = breaker or Breaker()
        self._identity = settings.identity
        self._recommender = Recommender(bundle, runtime)
        self._similar = Similar(bundle, self._recommender.filters)
        self._suppression = suppression or Suppression(client, settings.project, settings.redis_budget_s)
        self._painter = Painter(bundle, self.scorer)
        self._lookup = Lookup(bundle)
        self._consents = Consents(settings)
        self._items = len(bundle.items.ids)
        self._sight = (sight or Sight()).of(bundle)

        def reader(requests: Sequence[ViewRequest]) -> AsyncOnlineReader:
            return AsyncOnlineReader(client, settings.project, requests)

        self._scoring = reader(self.scorer.requests)
        self._recommending = {each: reader(self._recommender.plan(each).requests) for each in (False, True)}
        self._looking_up = {name: reader(requests) for name, requests in self._lookup.requests.items()}
        self._portraying = reader(self._painter.requests)
        self._scores = Batcher(self._score, _BATCH, self._sight.waited)
        self._features = Batcher(self._feature, _BATCH, self._sight.waited)

    @property
    def compute(self) -> Compute:
        """What answers now, and why: the CPU, where the GPU has failed."""
        return self._runtime.compute

    async def score(self, request: ScoreRequest) -> ScoreAnswer:
        """Every customer's scores.

        Raises:
            UnknownCampaignError: the campaign type is none of the bundle's.
            UnknownPurposeError: the purpose is none of the settings'.
        """
        campaign = None if request.campaign is None else request.campaign.type
        self.scorer.check(campaign)
        self._consents.check(request.purpose)
        results = await self._scores.ask((campaign, request.purpose), request.customer_ids)
        return ScoreAnswer(self.version, self.compute.kind, results)

    async def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        """Every customer's items: personal, else of the segment, else popular.

        Raises:
            UnknownPurposeError: the purpose is none of the settings'.
            FilterError: the bundle does not know what the filter asks for.
        """
        self._consents.check(request.purpose)
        filters = self._recommender.filters
        filters.check(request)
        ids, k, excluding, at_us = request.customer_ids, request.k, request.exclude_purchased, now_us()
        try:
            rows, verdicts = await self._suppression.beside(
                self._look(self._recommending[excluding], request.purpose, ids, at_us)
            )
        except UnavailableError as error:
            narrowed = filters.narrow(request, self._suppression.last)
            results = self._recommender.unavailable(ids, str(error), k, excluding, narrowed)
            self._sight.failed(_RECOMMEND, str(error), len(ids), "popular")
            return RecommendAnswer(self.version, self.compute.kind, results)
        if not ids:
            return RecommendAnswer(self.version, self.compute.kind, [])
        began = time.perf_counter()
        narrowed = filters.narrow(request, self._suppression.last)
        if len(ids) * self._items <= _INLINE:
            answers = self._recommender.personal(ids, rows, k, excluding, at_us, narrowed)
        else:
            answers = await asyncio.to_thread(self._recommender.personal, ids, rows, k, excluding, at_us, narrowed)
        self._sight.stage(RANK, began)
        told = [
            each if why is None else self._recommender.withheld(outside, why.status, why.note, k, narrowed)
            for outside, each, why in zip(ids, answers, verdicts, strict=True)
        ]
        results = await self._fill(told, k, narrowed, at_us)
        self._sight.answered(_RECOMMEND, results, self._recommending[excluding].requests, rows, at_us)
        return RecommendAnswer(self.version, self.compute.kind, results)

    async def similar_items(self, request: SimilarRequest) -> SimilarAnswer:
        """Every item's neighbours.

        Raises:
            FilterError: the bundle does not know what the filter asks for.
        """
        filters, ids = self._recommender.filters, request.item_ids
        filters.check(request)
        await self._suppression.refreshed()
        narrowed = filters.narrow(request, self._suppression.last)
        if len(ids) * self._items <= _INLINE:
            results = self._similar.neighbours(ids, request.k, narrowed)
        else:
            results = await asyncio.to_thread(self._similar.neighbours, ids, request.k, narrowed)
        return SimilarAnswer(self.version, self.compute.kind, results)

    async def features(self, request: FeaturesRequest) -> FeaturesAnswer:
        """Every customer's features.

        Raises:
            UnknownServiceError: the feature service is none of the bundle's.
            UnknownPurposeError: the purpose is none of the settings'.
        """
        self._lookup.check(request.service)
        self._consents.check(request.purpose)
        return await self._features.ask((request.service, request.purpose), request.customer_ids)

    async def portrait(self, customer_id: int | str, campaign: str | None, purpose: str = SERVICE) -> Portrait:
        """Everything known of one customer.

        Raises:
            UnknownCampaignError: the campaign type is none of the bundle's.
            UnknownPurposeError: the purpose is none of the settings'.
        """
        self.scorer.check(campaign)
        self._consents.check(purpose)
        at_us = now_us()
        try:
            rows, (why,) = await self._look(self._portraying, purpose, [customer_id], at_us)
        except UnavailableError as error:
            (score,) = self.scorer.unavailable([customer_id], str(error))
            self._sight.failed(_PORTRAIT, str(error), 1)
            return self._painter.paint(self.version, self.compute.kind, score, {}, at_us)
        if why is not None:
            score = self.scorer.withheld(customer_id, why.status, why.note)
            self._sight.answered(_PORTRAIT, [score], self.scorer.requests, rows, at_us)
            return self._painter.paint(self.version, self.compute.kind, score, {}, at_us)
        (score,) = self.scorer.score([customer_id], rows, campaign, at_us)
        self._sight.answered(_PORTRAIT, [score], self.scorer.requests, rows, at_us)
        return self._painter.paint(self.version, self.compute.kind, score, rows, at_us)

    async def _score(self, kind: tuple[str | None, str], asked: Sequence[Ids]) -> list[list[Score]]:
        """The scores of several requests' customers, by request: of one campaign and for one purpose."""
        campaign, purpose = kind
        ids, at_us = list(chain.from_iterable(asked)), now_us()
        try:
            rows, verdicts = await self._look(self._scoring, purpose, ids, at_us)
            began = time.perf_counter()
            results = [
                score if why is None else self.scorer.withheld(score.customer_id, why.status, why.note)
                for score, why in zip(self.scorer.score(ids, rows, campaign, at_us), verdicts, strict=True)
            ]
            self._sight.stage(MODELS, began)
            self._sight.answered(_SCORE, results, self.scorer.requests, rows, at_us)
        except UnavailableError as error:
            results = self.scorer.unavailable(ids, str(error))
            self._sight.failed(_SCORE, str(error), len(ids))
        return [results[a:b] for a, b in bounds(asked)]

    async def _feature(self, kind: tuple[str, str], asked: Sequence[Ids]) -> list[FeaturesAnswer]:
        """The features of several requests' customers, by request: of one service and for one purpose."""
        service, purpose = kind
        ids, at_us = list(chain.from_iterable(asked)), now_us()
        try:
            rows, verdicts = await self._look(self._looking_up[service], purpose, ids, at_us)
        except UnavailableError as error:
            self._sight.failed(_FEATURES, str(error), len(ids))
            return [self._lookup.nothing(each, str(error)) for each in asked]
        self._sight.looked_up(_FEATURES, len(ids), self._lookup.requests[service], rows, at_us)
        answers = self._lookup.answer(service, asked, rows, at_us)
        return [hide(answer, verdicts[a:b]) for answer, (a, b) in zip(answers, bounds(asked), strict=True)]

    async def _fill(
        self, answers: Sequence[Recommendation | Customer], k: int, narrowed: Narrowed, at_us: int
    ) -> list[Recommendation]:
        """The recommender's answers, and popular items for the customers that it has none for."""
        others = [each for each in answers if isinstance(each, Customer)]
        segments = await self._segments([each for each in others if each.standing.status != "cold"], at_us)
        return [
            self._recommender.popular(each, segments.get(each.outside), k, narrowed)
            if isinstance(each, Customer)
            else each
            for each in answers
        ]

    async def _segments(self, customers: Sequence[Customer], at_us: int) -> dict[int | str, SegmentAnswer | None]:
        """A second trip to Redis, for the few who are known but have no history."""
        if not customers:
            return {}
        ids = [each.outside for each in customers]
        try:
            rows = await self._read(self._scoring, ids, at_us)
        except UnavailableError:
            return {}
        return dict(zip(ids, self.scorer.segment(rows, at_us), strict=True))

    async def _look(
        self, reader: AsyncOnlineReader, purpose: str, ids: Sequence[int | str], at_us: int
    ) -> tuple[Mapping[str, ViewRows], Verdicts]:
        """The rows of N customers, and who of them is not answered personally: in one round trip.

        Raises:
            UnavailableError: there are no rows.
        """
        if self._consents.free(purpose) or not ids:
            return await self._read(reader, ids, at_us), [None] * len(ids)
        question = self._consents.question(purpose, ids)
        return await self._read(reader, ids, at_us, question.beside), self._consents.verdicts(question, at_us)

    async def _read(
        self, reader: AsyncOnlineReader, ids: Sequence[int | str], at_us: int, beside: Beside | None = None
    ) -> Mapping[str, ViewRows]:
        """The rows of customers by their outside ids, whichever of our keys they are known by."""
        keys = self._identity.every_join_key_of(ids)
        now, *before = ([entity_text((key,)) for key in each] for each in keys)
        began = time.perf_counter()
        try:
            with self._breaker.guard():
                return await read(reader, now, at_us, self._budget_s, before, beside)
        finally:
            self._sight.stage(REDIS, began)
