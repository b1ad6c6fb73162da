"""How lists are asked for: together where requests queue, and within a budget, whatever the size of the catalogue."""

import asyncio
import re
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from motherlode import bundle, bundles, names
from motherlode.api import RecommendAnswer, Recommendation, RecommendRequest
from motherlode.online.reader import OnlineReader, now_us
from motherlode.runtime import Runtime
from serving import engine as engine_module
from serving.catalogue import Catalogue
from serving.engine import Engine
from serving.filters import FilterError
from serving.live import Live
from serving.ranking import Deadline
from serving.reading import connect
from serving.recommendation import Customer, Recommender, Wanted
from serving.sight import Health, Sight
from serving.similar import Similar

if TYPE_CHECKING:
    from tests.serving.conftest import Company


def without_age(answer: RecommendAnswer) -> list[Recommendation]:
    return [msgspec.structs.replace(each, features_age_s=None) for each in answer.results]


def some_request(draw: np.random.Generator, kinds: int) -> RecommendRequest:
    """One of a few kinds of request for a few customers, some of them unknown, withheld or without a history."""
    ids: Any = draw.choice(np.array([1, 2, "abc", "new", "nobody", 4711], dtype=object), draw.integers(0, 4)).tolist()
    kind: list[dict[str, Any]] = [
        {"k": 3},
        {"k": 40},
        {"k": 3, "exclude_purchased": True},
        {"k": 5, "categories": ("c",), "exclude_items": (1003, 1007)},
        {"k": 5, "exclude_purchased": True, "purpose": "profiling"},
    ]
    return RecommendRequest(tuple(ids), **kind[draw.integers(0, kinds)])


@pytest.mark.parametrize("kinds", [1, 5])
def test_requests_that_queue_are_answered_together_and_no_answer_changes(company: "Company", kinds: int) -> None:
    company.put(names.HISTORY, "2", latest_items=["1009"], top_items=["1009"], top_weights=np.ones(1, "f4"))
    company.put("rfm", "new", recency_days=4.0, recency_score=5)
    company.put("spending", "new", basket_value_mean=1.0, trend_4w_12w=1.0)
    loaded = bundle.load(bundles.current(company.settings.models))

    settings = replace(company.settings, redis_budget_s=30.0)
    runtime = Runtime(loaded)
    user = runtime.user

    def rounded(history: Any, features: Any) -> Any:
        """As the tower does, which rounds by how many are asked for at once; here so that it is seen."""
        return user(history, features) * np.float32(1 + len(history) / 100)

    def reads() -> int:
        info: Any = company.client.info("commandstats")
        return int(info["cmdstat_mget"]["calls"])

    async def run() -> None:
        client = connect(settings)
        engine = Engine(settings, loaded, runtime, client)
        runtime.user = rounded  # type: ignore[method-assign]
        for seed in range(25):
            draw = np.random.default_rng(seed)
            requests = [some_request(draw, kinds) for _ in range(30)]
            alone = [without_age(await engine.recommend(each)) for each in requests]
            before = reads()
            together = await asyncio.gather(*map(engine.recommend, requests))
            customers = sum(len(each.customer_ids) for each in requests)
            most = 2 * kinds + -(-customers // 12)  # a batch may end a little early
            assert reads() - before <= 2 * most, "two of a kind at once, the others together; as many for segments"
            assert [without_age(each) for each in together] == alone
            assert [[each.customer_id for each in answer] for answer in alone] == [
                list(each.customer_ids) for each in requests
            ]
        await client.aclose()

    asyncio.run(run())


def test_a_request_alone_waits_for_nobody_and_a_filter_that_is_refused_harms_no_other(company: "Company") -> None:
    loaded = bundle.load(bundles.current(company.settings.models))

    async def run() -> None:
        client = connect(company.settings)
        engine = Engine(company.settings, loaded, Runtime(loaded), client)
        wrong = RecommendRequest((1,), min_price=9.0)
        asked = [RecommendRequest((1,)), wrong] * 5
        found = await asyncio.gather(*map(engine.recommend, asked), return_exceptions=True)
        assert [isinstance(each, FilterError) for each in found] == [False, True] * 5
        await client.aclose()

    asyncio.run(run())


class OneAtATime(Catalogue):
    """One that is so large that a step of its search is one customer."""

    @property
    def at_once(self) -> int:
        """See `Catalogue`."""
        return 1


class Slow:
    """A catalogue whose search waits, as a huge one would, from when `stuck` is set."""

    def __init__(self, engine: Engine) -> None:
        self.stuck = threading.Event()
        self.free = threading.Event()
        self.calls = 0
        self._search = engine._recommender.catalogue.search
        engine._recommender.catalogue.search = self.search  # type: ignore[method-assign, assignment]

    def search(self, *asked: Any) -> Any:
        self.calls += 1
        if self.stuck.is_set():
            assert self.free.wait(20)
        return self._search(*asked)


def test_whoever_is_not_ranked_in_time_gets_the_segment_s_items_and_is_told(
    company: "Company", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_INLINE", 0)
    settings = replace(company.settings, rank_budget_s=0.2)
    loaded, sight = bundle.load(bundles.current(settings.models)), Sight()

    async def run() -> None:
        client = connect(settings)
        engine = Engine(settings, loaded, Runtime(loaded), client, sight=sight)
        slow = Slow(engine)
        slow.stuck.set()
        began = time.monotonic()
        answer = await engine.recommend(RecommendRequest((1, "nobody"), k=2))
        assert time.monotonic() - began < 5
        known, nobody = answer.results
        assert (known.status, known.source) == ("degraded", "segment")
        assert [item.item_id for item in known.items] == [1005, 1006]
        assert known.notes == ["not personal: ranking took longer than 0.2 s", "popular in the segment 'Loyal'"]
        assert known.features_age_s is not None
        assert (nobody.status, nobody.source) == ("cold", "popular"), "nobody had to rank for it"
        (bought,) = (await engine.recommend(RecommendRequest((1,), k=30, exclude_purchased=True))).results
        assert {item.item_id for item in bought.items}.isdisjoint({1000, 1003, 1004})

        calls, began = slow.calls, time.monotonic()
        for _ in range(20):
            (behind,) = (await engine.recommend(RecommendRequest((1,), k=2))).results
            assert behind.notes[0].startswith("not personal: ranking is behind: 2 requests")
        assert slow.calls == calls, "no more is begun"
        assert time.monotonic() - began < 20 * 0.2, "and nobody waits for it"

        slow.stuck.clear()
        slow.free.set()
        end = time.monotonic() + 5
        while True:
            (well,) = (await engine.recommend(RecommendRequest((1,), k=2))).results
            if well.status == "ok":
                break
            assert time.monotonic() < end
        assert well.source == "personal"
        text = await sight.text(Health("v1", "cpu", None, True))
        told = re.search(r'^motherlode_degraded_total{reason="rank_timeout"} (\d+)', text, re.MULTILINE)
        assert told is not None
        assert int(told[1]) >= 22
        await client.aclose()

    asyncio.run(run())


def test_those_who_were_ranked_in_time_keep_their_lists(company: "Company") -> None:
    """The deadline comes between two steps of a large batch."""
    loaded = bundle.load(bundles.current(company.settings.models))
    recommender = Recommender(loaded, Runtime(loaded))
    everything = Wanted(3, False, recommender.filters.everything)
    requests = recommender.plan(False).requests
    at_us, ids = now_us(), (1, 2, "nobody", "abc")
    rows = OnlineReader(company.client, company.settings.project, requests).read([str(each) for each in ids], at_us)
    whole = recommender.personal(ids, rows, everything, at_us)
    assert [isinstance(each, Recommendation) for each in whole] == [True, True, False, True]

    class Ticking(Deadline):
        """Over at its fourth look."""

        @property
        def over(self) -> bool:
            looks.append(True)
            return len(looks) > 3

    looks: list[bool] = []
    recommender.catalogue = OneAtATime(loaded.vectors)
    some = recommender.personal(ids, rows, everything, at_us, None, Ticking(0.0, "the bell rang"))
    assert some[:2] == whole[:2]
    assert [each.late for each in some[2:] if isinstance(each, Customer)] == [False, True]
    last = some[3]
    assert isinstance(last, Customer)
    assert (last.standing.status, last.standing.notes) == ("degraded", ("not personal: the bell rang",))


def test_every_way_of_ranking_is_gone_before_anybody_asks(company: "Company", monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = bundle.load(bundles.current(company.settings.models))
    ways = {"user": 0, "search": 0, "exactly": 0, "neighbours": 0}

    def counted(kind: type, method: str, name: str) -> None:
        told = getattr(kind, method)

        def asked(*question: Any) -> Any:
            ways[name] += 1
            return told(*question)

        monkeypatch.setattr(kind, method, asked)

    counted(Runtime, "user", "user")
    counted(Catalogue, "search", "search")
    counted(Catalogue, "_exactly", "exactly")
    counted(Similar, "_exactly", "neighbours")
    live = Live(company.settings, connect(company.settings))
    assert live.engine.version == loaded.manifest.version
    assert all(ways.values()), ways


def test_a_bundle_whose_search_fails_is_refused_before_it_serves(
    company: "Company", monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        client = connect(company.settings)
        live = Live(company.settings, client)
        company.publish("v2")

        def broken(*_: Any) -> Any:
            raise ValueError("no such matrix")

        monkeypatch.setattr(Catalogue, "search", broken)
        await live.refresh()
        assert live.engine.version == "v1"
        assert "cannot be loaded here" in (live.refused or "")
        assert "no such matrix" in (live.refused or "")
        await client.aclose()

    asyncio.run(run())


def slowed(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Ranking takes so long for each customer, and looks at its deadline between two of them."""
    search = Catalogue.search

    def slow(self: Catalogue, users: Any, *others: Any) -> Any:
        time.sleep(seconds * len(users))
        return search(self, users, *others)

    monkeypatch.setattr(engine_module, "_INLINE", 0)
    monkeypatch.setattr(Catalogue, "search", slow)
    monkeypatch.setattr(Catalogue, "at_once", property(lambda _: 1))


async def at_once(engine: Engine, requests: int) -> list[tuple[str, float]]:
    """Each one's status, and how long it waited."""

    async def one() -> tuple[str, float]:
        began = time.monotonic()
        (found,) = (await engine.recommend(RecommendRequest((1,), k=2))).results
        return found.status, time.monotonic() - began

    return await asyncio.gather(*(one() for _ in range(requests)))


def test_however_many_ask_at_once_none_waits_longer_for_its_ranking_than_the_budget(
    company: "Company", monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a batch began when the batch did: the last of 300 waited for 3 s."""
    settings = replace(company.settings, rank_budget_s=0.4)
    loaded = bundle.load(bundles.current(settings.models))

    async def run() -> None:
        client = connect(settings)
        engine = Engine(settings, loaded, Runtime(loaded), client)
        slowed(monkeypatch, 0.02)
        answers = await at_once(engine, 300)
        assert {status for status, _ in answers} == {"ok", "degraded"}
        assert max(waited for _, waited in answers) < 1.5
        assert await at_once(engine, 1) != [], "and it goes on"
        await client.aclose()

    asyncio.run(run())


def test_as_many_are_ranked_for_together_as_there_is_time_for(
    company: "Company", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who alone has an answer within the budget has one, too, when some others ask at the same time."""
    settings = replace(company.settings, rank_budget_s=1.0)
    loaded = bundle.load(bundles.current(settings.models))

    async def run() -> None:
        client = connect(settings)
        engine = Engine(settings, loaded, Runtime(loaded), client)
        slowed(monkeypatch, 0.1)
        assert [status for status, _ in await at_once(engine, 10)] == ["ok"] * 10
        await client.aclose()

    asyncio.run(run())
