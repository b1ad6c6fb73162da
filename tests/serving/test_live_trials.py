"""A new bundle on trial: asked beside the old one, by nobody or by some of the customers; and gone back from."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from motherlode import audit, bundles
from motherlode.api import Campaign, ScoreRequest
from serving.live import REFUSED, Live, Pace
from serving.reading import connect
from serving.served import share_of
from serving.trial import Bounds

if TYPE_CHECKING:
    from tests.serving.conftest import Company

CUSTOMERS = tuple(range(100, 140))
QUICK = Pace(between=0.0, shadow=0.6, canary=0.3, watch=60.0)
FEW = Bounds(few=4, slower=50.0)
ANY = Bounds(nulls=1.0, psi=1e9, slower=1e9, few=1)
"""The customers of the two shares are too few to be alike."""


ZERO = {"recency_days": 0.0, "recency_score": 0}


class Shop:
    """Asks for customers' scores all the time, and keeps which bundle answered whom."""

    def __init__(self, served: Live) -> None:
        self.served = served
        self.answers: list[tuple[int, str]] = []
        self.open = True

    async def run(self) -> None:
        while self.open:
            for customer in CUSTOMERS:
                answer = await self.served.score(ScoreRequest((customer,), Campaign("Type A")))
                assert answer.results[0].status == "ok"
                self.answers.append((customer, answer.bundle))
                await asyncio.sleep(0)


def put_customers(company: "Company", recency: int) -> None:
    for customer in CUSTOMERS:
        rfm = {"recency_days": float(customer % recency), "recency_score": customer % 5 + 1} if recency else ZERO
        company.put("rfm", str(customer), **rfm)
        company.put("spending", str(customer), basket_value_mean=float(customer), trend_4w_12w=0.5)


@asynccontextmanager
async def shopping(
    company: "Company", canary: float = 0.0, recency: int = 9, pace: Pace = QUICK
) -> AsyncIterator[Shop]:
    """A live bundle that is asked all the time, by customers whose days and scores are 0 where `recency` is."""
    put_customers(company, recency)
    # On a machine that is busy elsewhere Redis may answer late, which is not what is asked here.
    settings = replace(company.settings, canary=canary, redis_budget_s=30.0)
    client = connect(settings)
    shop = Shop(Live(settings, client, pace=pace, bounds=ANY if canary else FEW))
    task = asyncio.create_task(shop.run())
    try:
        await asyncio.sleep(0.2)
        yield shop
    finally:
        shop.open = False
        await task
        await client.aclose()


def test_a_bundle_that_answers_alike_takes_over_under_load_and_no_customer_goes_back(company: "Company") -> None:
    async def run() -> None:
        async with shopping(company) as shop:
            company.publish("v2")
            await shop.served.refresh()
            assert shop.served.refused is None
            await asyncio.sleep(0.05)
            bundles = [version for _, version in shop.answers]
            assert set(bundles) == {"v1", "v2"}
            assert bundles == sorted(bundles), "never the old one after the new one"
            await shop.served.judge()
            assert shop.served.engine.version == "v2"

    asyncio.run(run())


def test_a_bundle_whose_answers_are_shifted_never_serves(company: "Company") -> None:
    async def run() -> None:
        async with shopping(company) as shop:
            company.publish("v2", shift=3.0)
            await shop.served.refresh()
            assert shop.served.refused is not None
            assert "shifted: PSI" in shop.served.refused
            assert {version for _, version in shop.answers} == {"v1"}
            await shop.served.refresh()
            assert shop.served.engine.version == "v1", "it is not tried again"
            await asyncio.sleep(0.2)
            (told,) = [each for each in audit.read(company.settings) if each.action == REFUSED]
            assert (told.subject, told.details["serving"]) == ("v2", "v1")
            assert "shifted" in str(told.details["reason"])

    asyncio.run(run())


def test_a_share_of_the_customers_gets_the_new_bundle_first_and_each_of_them_one(company: "Company") -> None:
    async def run() -> None:
        async with shopping(company, canary=0.5, pace=replace(QUICK, canary=1.5)) as shop:
            company.publish("v2")
            refreshing = asyncio.create_task(shop.served.refresh())
            while "v2" not in {version for _, version in shop.answers}:
                await asyncio.sleep(0.01)
            first = len(shop.answers)
            while len(shop.answers) < first + len(CUSTOMERS):
                await asyncio.sleep(0.01)
            assert not refreshing.done()
            meanwhile = shop.answers[first:]
            assert all(version == ("v2" if share_of(customer) < 0.5 else "v1") for customer, version in meanwhile)
            await refreshing
            assert shop.served.engine.version == "v2"

    asyncio.run(run())


def test_a_call_of_many_customers_is_answered_by_the_bundle_of_its_first(company: "Company") -> None:
    async def run() -> None:
        async with shopping(company, canary=0.5, pace=replace(QUICK, canary=600.0)) as shop:
            company.publish("v2")
            refreshing = asyncio.create_task(shop.served.refresh())
            while "v2" not in {version for _, version in shop.answers}:
                await asyncio.sleep(0.01)
            ordered = sorted(CUSTOMERS, key=share_of)
            for ids, version in ((ordered, "v2"), (ordered[::-1], "v1")):
                answer = await shop.served.score(ScoreRequest(tuple(map(str, ids))))
                assert answer.bundle == version
            assert not refreshing.done()
            refreshing.cancel()

    asyncio.run(run())


def test_where_nobody_asks_any_more_requests_of_earlier_are_asked_again(company: "Company") -> None:
    async def run() -> None:
        async with shopping(company) as shop:
            shop.open = False
            await asyncio.sleep(QUICK.shadow + 0.1)
            company.publish("v2", shift=3.0)
            await shop.served.refresh()
            assert shop.served.engine.version == "v1"
            assert "shifted" in (shop.served.refused or "")
            company.publish("v3")
            await shop.served.refresh()
            assert shop.served.engine.version == "v3"

    asyncio.run(run())


def test_what_took_over_is_rolled_back_when_its_answers_turn_out_to_be_shifted(company: "Company") -> None:
    """While it was tried the customers had nothing that it takes for more than the old one does."""

    async def run() -> None:
        async with shopping(company, recency=0) as shop:
            company.publish("v2", shift=3.0)
            await shop.served.refresh()
            assert shop.served.engine.version == "v2"
            put_customers(company, 9)
            await asyncio.sleep(0.5)
            await shop.served.judge()
            assert shop.served.engine.version == "v1"
            assert "shifted" in (shop.served.refused or "")
            await shop.served.refresh()
            assert shop.served.engine.version == "v1", "though it is still the current one"
            await asyncio.sleep(0.2)
            bundles.flip(company.settings.models, "v2")
            await shop.served.refresh()
            assert shop.served.engine.version == "v1"
            refusals = [each for each in audit.read(company.settings) if each.action == REFUSED]
            assert len(refusals) == 2, "published again it is tried again"

    asyncio.run(run())


def test_what_changes_for_the_bundle_before_as_well_is_not_the_new_ones_fault(company: "Company") -> None:
    """A night's features, or other work on the machine, a moment after the change."""

    async def run() -> None:
        async with shopping(company, recency=0) as shop:
            company.publish("v2")
            await shop.served.refresh()
            assert shop.served.engine.version == "v2"
            put_customers(company, 9)
            await asyncio.sleep(0.5)
            for _ in range(2):
                await shop.served.judge()
                assert (shop.served.engine.version, shop.served.refused) == ("v2", None)

    asyncio.run(run())


def test_a_trial_ends_when_another_bundle_is_made_current(company: "Company") -> None:
    async def run() -> None:
        async with shopping(company, canary=0.5, pace=replace(QUICK, canary=600.0)) as shop:
            company.publish("v2")
            refreshing = asyncio.create_task(shop.served.refresh())
            while "v2" not in {version for _, version in shop.answers}:
                await asyncio.sleep(0.01)
            bundles.flip(company.settings.models, "v1")
            await asyncio.wait_for(refreshing, 5)
            assert (shop.served.engine.version, shop.served.refused) == ("v1", None)

    asyncio.run(run())
