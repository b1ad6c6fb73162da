"""Redis gone, hanging or back: an answer within its time, flagged, and features again at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from motherlode import bundle, bundles
from motherlode.api import RecommendRequest, ScoreRequest
from motherlode.errors import StoreError
from motherlode.online.keys import schema_key
from motherlode.redis_server import connect as connect_sync
from motherlode.redis_server import running
from motherlode.runtime import Runtime
from motherlode.settings import Settings
from serving.breaker import FAILURES, RETRY_S
from serving.engine import Engine
from serving.reading import connect, ping

if TYPE_CHECKING:
    from tests.serving.conftest import Company

ONE = ScoreRequest((1,))


@asynccontextmanager
async def engine(company: "Company", settings: Settings | None = None) -> AsyncIterator[Engine]:
    settings = settings or company.settings
    loaded = bundle.load(bundles.current(company.settings.models))
    client = connect(settings)
    try:
        yield Engine(settings, loaded, Runtime(loaded), client)
    finally:
        await client.aclose()


def test_a_redis_that_was_never_there_degrades_every_answer(company: "Company") -> None:
    async def run() -> None:
        nowhere = replace(company.settings, redis_url="redis://127.0.0.1:1/0")
        async with engine(company, nowhere) as asked:
            (score,) = (await asked.score(ONE)).results
            assert (score.status, score.segment, score.features_age_s) == ("degraded", None, None)
            assert score.scores == {"response": None, "inactive_28d": None}
            assert score.notes == ["features unavailable: redis connection failed"]
            (items,) = (await asked.recommend(RecommendRequest((1,), 3, True))).results
            assert (items.status, items.source) == ("degraded", "popular")
            assert [item.item_id for item in items.items] == [1000, 1001, 1002]
            assert "purchases are unknown, nothing was left out" in items.notes
            portrait = await asked.portrait(1, None)
            assert (portrait.status, portrait.features) == ("degraded", {})

    asyncio.run(run())


def test_a_hanging_redis_costs_the_budget_and_no_more_and_its_return_is_seen_at_once(company: "Company") -> None:
    budget = company.settings.redis_budget_s

    async def run() -> None:
        async with engine(company) as asked:
            assert (await asked.score(ONE)).results[0].status == "ok"
            with company.hanging():
                started = time.monotonic()
                answers = await asyncio.gather(*(asked.score(ONE) for _ in range(20)))
                assert time.monotonic() - started < budget + 0.35
                assert {each.results[0].status for each in answers} == {"degraded"}
                assert {note for each in answers for note in each.results[0].notes} == {
                    f"features unavailable: redis timeout after {budget:g} s"
                }
            back = time.monotonic()
            while (await asked.score(ONE)).results[0].status != "ok":
                assert time.monotonic() - back < 1.0
                await asyncio.sleep(0.02)

    asyncio.run(run())


def test_a_redis_that_hangs_on_is_not_waited_for_and_its_return_is_seen_within_a_second(company: "Company") -> None:
    async def run() -> None:
        async with engine(company) as asked:
            with company.hanging():
                for _ in range(FAILURES):
                    await asked.score(ONE)
                started, took = time.monotonic(), []
                while time.monotonic() - started < 2 * RETRY_S:
                    began = time.monotonic()
                    (score,) = (await asked.score(ONE)).results
                    took.append(time.monotonic() - began)
                    assert (score.status, len(score.notes)) == ("degraded", 1)
                    await asyncio.sleep(0.01)
                # One in half a second tries, and waits its budget.
                assert sum(each > company.settings.redis_budget_s / 2 for each in took) <= 3
                assert "times in a row" in score.notes[0] or "timeout" in score.notes[0]
            back = time.monotonic()
            while (await asked.score(ONE)).results[0].status != "ok":
                assert time.monotonic() - back < 1.0
                await asyncio.sleep(0.02)

    asyncio.run(run())


def test_a_restarted_redis_is_used_again_within_a_second(company: "Company", tmp_path: Path) -> None:
    settings = replace(company.settings, home=tmp_path / "own", redis_url=None)

    async def run() -> None:
        with running(settings) as first:
            async with engine(company, first) as asked:
                assert (await asked.score(ONE)).results[0].status == "cold"
                with connect_sync(first) as client:
                    client.shutdown(nosave=True)
                (score,) = (await asked.score(ONE)).results
                assert score.notes == ["features unavailable: redis connection failed"]
                with running(settings) as second:
                    assert second.redis_url == first.redis_url
                    back = time.monotonic()
                    while (await asked.score(ONE)).results[0].status != "cold":
                        assert time.monotonic() - back < 1.0
                        await asyncio.sleep(0.02)

    asyncio.run(run())


def test_a_redis_that_refuses_is_named_by_kind_without_its_message(company: "Company") -> None:
    async def run() -> None:
        settings = replace(company.settings, redis_url=f"{company.settings.redis_url}?username=nobody&password=secret")
        async with engine(company, settings) as asked:
            (score,) = (await asked.score(ONE)).results
            assert score.status == "degraded"
            assert "secret" not in str(score.notes)
            assert "AuthenticationError" in score.notes[0] or "connection failed" in score.notes[0]

    asyncio.run(run())


def test_rows_of_an_unknown_or_unreadable_schema_are_flagged(company: "Company") -> None:
    for key in company.client.scan_iter(f"{company.settings.project}/@schema/*"):
        company.client.set(key, b"{no json")

    async def run() -> None:
        async with engine(company) as asked:
            (score,) = (await asked.score(ONE)).results
            assert score.status == "degraded"
            assert "rfm is damaged and was not read" in score.notes

    asyncio.run(run())
    assert schema_key("p", 1) == "p/@schema/00000001"


def test_ping_says_why(company: "Company") -> None:
    async def run() -> None:
        client = connect(company.settings)
        assert await ping(client, 0.25) == "ok"
        with company.hanging():
            assert await ping(client, 0.25) == "timeout after 0.25 s"
        await client.aclose()
        nowhere = connect(replace(company.settings, redis_url="redis://127.0.0.1:1/0"))
        assert await ping(nowhere, 0.25) == "connection failed"
        await nowhere.aclose()

    asyncio.run(run())


def test_settings_without_a_redis_are_refused(company: "Company") -> None:
    with pytest.raises(StoreError, match="No Redis"):
        connect(replace(company.settings, redis_url=None))
