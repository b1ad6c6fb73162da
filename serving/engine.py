"""One bundle's answers: features, scores and lists, put together. No Ray, no HTTP."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Final, TypeVar

import redis.asyncio

from motherlode.api import (
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
)
from motherlode.bundle import Bundle
from motherlode.online.keys import entity_text
from motherlode.online.reader import AsyncOnlineReader, ViewRequest, now_us
from motherlode.packed import ViewRows
from motherlode.runtime import Runtime
from motherlode.settings import Settings
from serving.batching import Batcher
from serving.lookup import Lookup
from serving.portrait import Painter
from serving.reading import UnavailableError, read
from serving.recommendation import Customer, Recommender
from serving.scoring import Scorer

_INLINE: Final = 1_000_000
"""Customers × items above which ranking leaves the event loop to other requests."""
_BATCH: Final = 64
"""Customers of requests that are answered together."""

T = TypeVar("T")
Ids = Sequence[int | str]


class Engine:
    """Answers by one bundle; a request that holds an engine never mixes two bundles.

    Args:
        settings: bound to a Redis.
        bundle: a verified bundle.
        runtime: its models.
        client: the connections to read by.
    """

    def __init__(self, settings: Settings, bundle: Bundle, runtime: Runtime, client: redis.asyncio.Redis) -> None:
        self.version = bundle.manifest.version
        self.compute = runtime.compute
        self.scorer = Scorer(bundle, runtime)
        self._budget_s = settings.redis_budget_s
        self._identity = settings.identity
        self._recommender = Recommender(bundle, runtime)
        self._painter = Painter(bundle, self.scorer)
        self._lookup = Lookup(bundle)
        self._items = len(bundle.items.ids)

        def reader(requests: Sequence[ViewRequest]) -> AsyncOnlineReader:
            return AsyncOnlineReader(client, settings.project, requests)

        self._scoring = reader(self.scorer.requests)
        self._recommending = {each: reader(self._recommender.plan(each).requests) for each in (False, True)}
        self._looking_up = {name: reader(requests) for name, requests in self._lookup.requests.items()}
        self._portraying = reader(self._painter.requests)
        self._scores = Batcher(self._score, _BATCH)
        self._features = Batcher(self._feature, _BATCH)

    async def score(self, request: ScoreRequest) -> ScoreAnswer:
        """Every customer's scores.

        Raises:
            UnknownCampaignError: the campaign type is none of the bundle's.
        """
        campaign = None if request.campaign is None else request.campaign.type
        self.scorer.check(campaign)
        results = await self._scores.ask(campaign, request.customer_ids)
        return ScoreAnswer(self.version, self.compute.kind, results)

    async def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        """Every customer's items: personal, else of the segment, else popular."""
        ids, k, excluding, at_us = request.customer_ids, request.k, request.exclude_purchased, now_us()
        try:
            rows = await self._read(self._recommending[excluding], ids, at_us)
        except UnavailableError as error:
            results = self._recommender.unavailable(ids, str(error), k, excluding)
            return RecommendAnswer(self.version, self.compute.kind, results)
        if not ids:
            return RecommendAnswer(self.version, self.compute.kind, [])
        if len(ids) * self._items <= _INLINE:
            answers = self._recommender.personal(ids, rows, k, excluding, at_us)
        else:
            answers = await asyncio.to_thread(self._recommender.personal, ids, rows, k, excluding, at_us)
        return RecommendAnswer(self.version, self.compute.kind, await self._fill(answers, k, at_us))

    async def features(self, request: FeaturesRequest) -> FeaturesAnswer:
        """Every customer's features.

        Raises:
            UnknownServiceError: the feature service is none of the bundle's.
        """
        self._lookup.check(request.service)
        return await self._features.ask(request.service, request.customer_ids)

    async def portrait(self, customer_id: int | str, campaign: str | None) -> Portrait:
        """Everything known of one customer.

        Raises:
            UnknownCampaignError: the campaign type is none of the bundle's.
        """
        self.scorer.check(campaign)
        at_us = now_us()
        try:
            rows = await self._read(self._portraying, [customer_id], at_us)
        except UnavailableError as error:
            (score,) = self.scorer.unavailable([customer_id], str(error))
            return self._painter.paint(self.version, self.compute.kind, score, {}, at_us)
        (score,) = self.scorer.score([customer_id], rows, campaign, at_us)
        return self._painter.paint(self.version, self.compute.kind, score, rows, at_us)

    async def _score(self, campaign: str | None, asked: Sequence[Ids]) -> list[list[Score]]:
        """The scores of several requests' customers, by request."""
        ids, at_us = list(chain.from_iterable(asked)), now_us()
        try:
            rows = await self._read(self._scoring, ids, at_us)
            results = self.scorer.score(ids, rows, campaign, at_us)
        except UnavailableError as error:
            results = self.scorer.unavailable(ids, str(error))
        return [results[a:b] for a, b in _bounds(asked)]

    async def _feature(self, service: str, asked: Sequence[Ids]) -> list[FeaturesAnswer]:
        """The features of several requests' customers, by request."""
        ids, at_us = list(chain.from_iterable(asked)), now_us()
        try:
            rows = await self._read(self._looking_up[service], ids, at_us)
        except UnavailableError as error:
            return [self._lookup.nothing(each, str(error)) for each in asked]
        return self._lookup.answer(service, asked, rows, at_us)

    async def _fill(self, answers: Sequence[Recommendation | Customer], k: int, at_us: int) -> list[Recommendation]:
        """The recommender's answers, and popular items for the customers that it has none for."""
        others = [each for each in answers if isinstance(each, Customer)]
        segments = await self._segments([each for each in others if each.standing.status != "cold"], at_us)
        return [
            self._recommender.popular(each, segments.get(each.outside), k) if isinstance(each, Customer) else each
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

    async def _read(self, reader: AsyncOnlineReader, ids: Sequence[int | str], at_us: int) -> Mapping[str, ViewRows]:
        """The rows of customers by their outside ids, whichever of our keys they are known by."""
        keys = self._identity.every_join_key_of(ids)
        now, *before = ([entity_text((key,)) for key in each] for each in keys)
        return await read(reader, now, at_us, self._budget_s, before)


def _bounds(parts: Sequence[Sequence[T]]) -> Iterator[tuple[int, int]]:
    """Where each part begins and ends in all of them, one behind the other."""
    return pairwise(accumulate(map(len, parts), initial=0))
