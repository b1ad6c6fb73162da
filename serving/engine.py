"""One bundle's answers: features, scores and lists, put together. No Ray, no HTTP."""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Final, TypeVar

import redis.asyncio
from msgspec import structs

from motherlode.api import (
    SERVICE,
    FeaturesAnswer,
    FeaturesRequest,
    Neighbours,
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
from motherlode.online.keys import entity_texts
from motherlode.online.reader import AsyncOnlineReader, Beside, ViewRequest, now_us
from motherlode.packed import ViewRows
from motherlode.runtime import Runtime
from motherlode.settings import Settings
from motherlode.weak import weakly
from serving.batching import Batcher, bounds
from serving.breaker import Breaker
from serving.consent import Consents, Verdicts, hide
from serving.lookup import Lookup
from serving.portrait import Painter
from serving.ranking import NO_HURRY, THREADS, Deadline, OverdueError, Ranking, Tempo
from serving.reading import UnavailableError, read
from serving.recommendation import Customer, Recommender, Wanted
from serving.scoring import Scorer
from serving.sight import Sight
from serving.sight.metrics import LOOKUP, MODELS, RANK, REDIS
from serving.similar import open_similar
from serving.suppression import Suppression

_INLINE: Final = 1_000_000
"""Customers × items above which ranking leaves the event loop to other requests."""
_BATCH: Final = 64
"""Customers of requests that are answered together."""
_LISTS: Final = 16
"""The same of recommendations at the most, which take ten times as long: others wait while they are ranked for."""
_SCORE, _RECOMMEND, _SIMILAR, _FEATURES, _PORTRAIT = "score", "recommend", "similar", "features", "portrait"
"""What `serving.sight` calls the answers."""

_UNREAD: Final = ("cold", "withheld", "capped")
"""Statuses of customers whose segment is not asked for: there is none, or it is not to be used."""
_CPU: Final = "cpu"

Ids = Sequence[int | str]
T = TypeVar("T")


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
        self._recommender = Recommender(bundle, runtime, strict=settings.device == "gpu")
        self._similar = open_similar(bundle, self._recommender.filters)
        self._ranking = Ranking(settings.rank_budget_s)
        self._tempo = Tempo(settings.rank_budget_s, _LISTS)
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
        self._scores = Batcher(weakly(self._score), _BATCH, self._sight.waited)
        self._features = Batcher(weakly(self._feature), _BATCH, self._sight.waited)
        self._recommendations = Batcher(
            weakly(self._recommend), self._tempo.fitting, self._sight.waited, at_once=THREADS
        )

    @property
    def compute(self) -> Compute:
        """What answers now, and why: the CPU, where the GPU has failed, be it at the models or at the search."""
        found, lost = self._runtime.compute, self._recommender.catalogue.lost
        if lost is None or found.kind == _CPU:
            return found
        return Compute(_CPU, f"{found.reason} But it failed at the search of the catalogue: {lost}")

    @property
    def search(self) -> str:
        """How the catalogue is searched, and why not better."""
        return self._recommender.catalogue.how

    def warm(self) -> None:
        """Rank once by every way that there is, before anybody waits for it.

        Raises:
            Exception: whatever the models or the search raise, which every request would.
        """
        self._recommender.warm()
        self._similar.warm()

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
        return ScoreAnswer(self.version, self._runtime.compute.kind, results)

    async def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        """Every customer's items: personal, else of the segment, else popular.

        Raises:
            UnknownPurposeError: the purpose is none of the settings'.
            FilterError: the bundle does not know what the filter asks for.
        """
        self._consents.check(request.purpose)
        self._recommender.filters.check(request)
        # Requests that ask the same of other customers are answered together; a list of another length is another.
        kind = structs.replace(request, customer_ids=())
        results = await self._recommendations.ask(kind, request.customer_ids)
        return RecommendAnswer(self.version, self.compute.kind, results)

    async def similar_items(self, request: SimilarRequest) -> SimilarAnswer:
        """Every item's neighbours.

        Raises:
            FilterError: the bundle does not know what the filter asks for.
        """
        filters, ids = self._recommender.filters, request.item_ids
        filters.check(request)
        await self._suppression.refreshed()
        began, held_back = time.perf_counter(), self._suppression.last

        def work(deadline: Deadline) -> list[Neighbours]:
            return self._similar.neighbours(ids, request.k, filters.narrow(request, held_back), deadline)

        results = await self._in_time(len(ids), work)
        self._sight.stage(RANK, began)
        self._sight.found(_SIMILAR, results)
        return SimilarAnswer(self.version, _CPU, results)

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
            return self._painter.paint(self.version, self._runtime.compute.kind, score, {}, at_us)
        if why is not None:
            score = self.scorer.withheld(customer_id, why.status, why.note)
            self._sight.answered(_PORTRAIT, [score], self.scorer.requests, rows, at_us)
            return self._painter.paint(self.version, self._runtime.compute.kind, score, {}, at_us)
        began = time.perf_counter()
        (score,) = self.scorer.score([customer_id], rows, campaign, at_us)
        self._sight.stage(MODELS, began)
        self._sight.answered(_PORTRAIT, [score], self.scorer.requests, rows, at_us)
        return self._painter.paint(self.version, self._runtime.compute.kind, score, rows, at_us)

    async def _score(self, kind: tuple[str | None, str], asked: Sequence[Ids], _: float) -> list[list[Score]]:
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

    async def _feature(self, kind: tuple[str, str], asked: Sequence[Ids], _: float) -> list[FeaturesAnswer]:
        """The features of several requests' customers, by request: of one service and for one purpose."""
        service, purpose = kind
        ids, at_us = list(chain.from_iterable(asked)), now_us()
        try:
            rows, verdicts = await self._look(self._looking_up[service], purpose, ids, at_us)
        except UnavailableError as error:
            self._sight.failed(_FEATURES, str(error), len(ids))
            return [self._lookup.nothing(each, str(error)) for each in asked]
        began = time.perf_counter()
        found = self._lookup.answer(service, asked, rows, at_us)
        answers = [hide(answer, verdicts[a:b]) for answer, (a, b) in zip(found, bounds(asked), strict=True)]
        self._sight.stage(LOOKUP, began)
        hidden = [None if each is None else each.status for each in verdicts] if any(verdicts) else ()
        self._sight.looked_up(_FEATURES, len(ids), self._lookup.requests[service], rows, at_us, hidden)
        return answers

    async def _recommend(
        self, kind: RecommendRequest, asked: Sequence[Ids], since: float
    ) -> list[list[Recommendation]]:
        """The lists of several requests' customers, by request; all of it but the customers is `kind`'s."""
        parts = list(bounds(asked))
        results = await self._lists(kind, list(chain.from_iterable(asked)), parts, now_us(), since)
        return [results[a:b] for a, b in parts]

    async def _lists(
        self, kind: RecommendRequest, ids: Ids, parts: Sequence[tuple[int, int]], at_us: int, since: float
    ) -> list[Recommendation]:
        filters, reader = self._recommender.filters, self._recommending[kind.exclude_purchased]
        try:
            rows, verdicts = await self._suppression.beside(self._look(reader, kind.purpose, ids, at_us))
        except UnavailableError as error:
            wanted = Wanted(kind.k, kind.exclude_purchased, filters.narrow(kind, self._suppression.last))
            self._sight.failed(_RECOMMEND, str(error), len(ids), "popular")
            return self._recommender.unavailable(ids, str(error), wanted)
        if not ids:
            return []
        began, held_back = time.perf_counter(), self._suppression.last

        def work(deadline: Deadline) -> tuple[Wanted, list[Recommendation | Customer]]:
            wanted = Wanted(kind.k, kind.exclude_purchased, filters.narrow(kind, held_back))
            ranks, started = not deadline.over, time.perf_counter()
            found = self._recommender.personal(ids, rows, wanted, at_us, verdicts, deadline, parts)
            if ranks:
                self._tempo.done(len(ids), time.perf_counter() - started, late=deadline.over)
            return wanted, found

        wanted, answers = await self._in_time(len(ids), work, since)
        self._sight.stage(RANK, began)
        results = await self._fill(answers, wanted, at_us)
        self._sight.answered(_RECOMMEND, results, reader.requests, rows, at_us)
        return results

    async def _in_time(self, n: int, work: Callable[[Deadline], T], since: float | None = None) -> T:
        """Ranking for N customers or items: at once where it is short, else beside the event loop, within the budget.

        Args:
            n: how many.
            work: it answers whose turn comes after its deadline without ranking, and soon.
            since: see `Ranking.run`.
        """
        if n * self._items <= _INLINE:
            return work(NO_HURRY)
        try:
            return await self._ranking.run(n, work, since)
        except OverdueError as error:
            return work(error.deadline)

    async def _fill(
        self, answers: Sequence[Recommendation | Customer], wanted: Wanted, at_us: int
    ) -> list[Recommendation]:
        """The recommender's answers, and popular items for the customers that it has none for."""
        others = [each for each in answers if isinstance(each, Customer)]
        if late := sum(each.late for each in others):
            self._sight.late(late)
        segments = await self._segments([each for each in others if each.standing.status not in _UNREAD], at_us)
        return [
            self._recommender.popular(each, segments.get(each.outside), wanted) if isinstance(each, Customer) else each
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
        began = time.perf_counter()
        keys = self._identity.every_join_key_of(ids)
        now, *before = map(entity_texts, keys)
        try:
            with self._breaker.guard():
                return await read(reader, now, at_us, self._budget_s, before, beside)
        finally:
            self._sight.stage(REDIS, began)
