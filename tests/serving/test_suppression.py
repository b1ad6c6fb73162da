"""Items that nobody is recommended count within a second, and go on counting while Redis is away."""

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from motherlode.online.keys import suppressed_key
from serving import suppression
from serving.reading import connect
from serving.suppression import Suppression

if TYPE_CHECKING:
    from tests.serving.conftest import Company


async def nothing() -> str:
    return "done"


def test_a_change_counts_within_a_second(company: "Company") -> None:
    key = suppressed_key(company.settings.project)

    async def run() -> None:
        client = connect(company.settings)
        some = Suppression(client, company.settings.project, 0.25)
        assert await some.beside(nothing()) == "done"
        assert some.last == frozenset()
        company.client.sadd(key, "1003", 1004)
        changed = time.monotonic()
        while some.last != {"1003", "1004"}:
            assert time.monotonic() - changed < 1
            await some.beside(asyncio.sleep(0.01))
        company.client.srem(key, "1003")
        await asyncio.sleep(suppression.FRESH_S + 0.05)
        await some.beside(nothing())
        assert some.last == {"1004"}
        await client.aclose()

    asyncio.run(run())


def test_many_requests_read_it_once(company: "Company") -> None:
    async def run() -> None:
        client = connect(company.settings)
        some = Suppression(client, company.settings.project, 0.25)
        before = calls(company)
        await asyncio.gather(*(some.beside(nothing()) for _ in range(50)))
        assert calls(company) - before == 1
        await client.aclose()

    asyncio.run(run())


def calls(company: "Company") -> int:
    info: dict[str, dict[str, int]] = company.client.info("commandstats")  # type: ignore[assignment]
    return info.get("cmdstat_smembers", {"calls": 0})["calls"]


def test_while_redis_hangs_what_was_known_counts_and_a_request_that_fails_does_not_wait(company: "Company") -> None:
    company.client.sadd(suppressed_key(company.settings.project), "1003")

    async def fails() -> None:
        raise LookupError

    async def run() -> None:
        client = connect(company.settings)
        some = Suppression(client, company.settings.project, 0.25)
        await some.beside(nothing())
        with company.hanging():
            await asyncio.sleep(suppression.FRESH_S + 0.05)
            began = time.monotonic()
            with pytest.raises(LookupError):
                await some.beside(fails())
            assert time.monotonic() - began < 0.2
            assert await some.beside(nothing()) == "done"
            assert time.monotonic() - began < 0.6
            assert some.last == {"1003"}
        await client.aclose()

    asyncio.run(run())
