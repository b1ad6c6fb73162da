"""One bundle's answers put together: outside ids alone cross it, and a large batch leaves the loop free."""

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from motherlode import bundle, bundles
from motherlode.api import Campaign, RecommendRequest, ScoreRequest
from motherlode.identity import Identity
from motherlode.runtime import Runtime
from serving import engine as module
from serving.engine import Engine
from serving.reading import connect

if TYPE_CHECKING:
    from tests.serving.conftest import Company

SECRET = "a secret of sixteen bytes"


def test_with_a_pseudonym_key_outside_ids_go_in_and_out(company: "Company") -> None:
    company.put_customer(Identity(SECRET).join_key(4711))
    settings = replace(company.settings, pseudonym_key=SECRET)
    loaded = bundle.load(bundles.current(settings.models))

    async def run() -> None:
        client = connect(settings)
        asked = Engine(settings, loaded, Runtime(loaded), client)
        known, plain = (await asked.score(ScoreRequest((4711, 1), Campaign("Type A")))).results
        assert (known.customer_id, known.status) == (4711, "ok")
        assert plain.status == "cold", "a row under the plain id is nobody's"
        assert (await asked.portrait(4711, None)).customer_id == 4711
        await client.aclose()

    asyncio.run(run())


def test_while_a_key_is_replaced_customers_are_found_by_either(company: "Company") -> None:
    old, new = Identity(SECRET), Identity("the key that comes after")
    company.put_customer(old.join_key("not yet"))
    company.put_customer(new.join_key("done"))
    company.put("rfm", new.join_key("half"), recency_days=4.0, recency_score=5)
    company.put_customer(old.join_key("half"))
    company.put_customer(old.join_key("both"), age_s=100 * 86_400)
    company.put_customer(new.join_key("both"))
    company.put_customer(new.join_key("erased before"))
    for identity in (old, new):
        company.writer.erase(identity.join_key("erased before"), 1)
    settings = replace(
        company.settings, pseudonym_key="the key that comes after", previous_pseudonym_keys=(SECRET, "none")
    )
    loaded = bundle.load(bundles.current(settings.models))
    ids = ("not yet", "done", "half", "both", "abc", "erased before", "nobody")

    async def run() -> None:
        client = connect(settings)
        asked = Engine(settings, loaded, Runtime(loaded), client)
        scores = (await asked.score(ScoreRequest(ids, Campaign("Type A")))).results
        assert [each.customer_id for each in scores] == list(ids)
        assert [each.status for each in scores] == ["ok"] * 5 + ["cold"] * 2
        items = (await asked.recommend(RecommendRequest(ids, 3))).results
        assert [each.source for each in items] == ["personal"] * 5 + ["popular"] * 2
        assert (await asked.portrait("not yet", None)).status == "ok"
        await client.aclose()

    asyncio.run(run())


def test_an_erased_customer_is_answered_as_if_never_known(company: "Company") -> None:
    company.writer.erase("1", 1)
    loaded = bundle.load(bundles.current(company.settings.models))

    async def run() -> None:
        client = connect(company.settings)
        asked = Engine(company.settings, loaded, Runtime(loaded), client)
        (score,) = (await asked.score(ScoreRequest((1,)))).results
        (never,) = (await asked.score(ScoreRequest(("nobody",)))).results
        assert replace_id(score, never)
        (items,) = (await asked.recommend(RecommendRequest((1,), 2, True))).results
        assert (items.status, items.source) == ("cold", "popular")
        portrait = await asked.portrait(1, None)
        assert {each.status for each in portrait.features.values()} == {"unknown"}
        await client.aclose()

    def replace_id(one: object, other: object) -> bool:
        return str(one).replace("customer_id=1", "") == str(other).replace("customer_id='nobody'", "")

    asyncio.run(run())


def test_a_large_ranking_leaves_the_event_loop_to_others(company: "Company", monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = bundle.load(bundles.current(company.settings.models))
    monkeypatch.setattr(module, "_INLINE", 0)

    async def run() -> None:
        client = connect(company.settings)
        asked = Engine(company.settings, loaded, Runtime(loaded), client)
        ranking = asyncio.create_task(asked.recommend(RecommendRequest((1,) * 1000, 5)))
        longest, last = 0.0, time.monotonic()
        while not ranking.done():
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        results = ranking.result().results
        assert len(results) == 1000
        assert all(each.items == results[0].items for each in results)
        assert longest < 0.5
        await client.aclose()

    asyncio.run(run())
