"""The change of bundles: a good one takes over between two requests, a bad one never serves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from motherlode import audit, bundle
from motherlode.api import Campaign, ScoreRequest
from motherlode.errors import BundleError
from serving.live import REFUSED, Live, Pace
from serving.reading import connect
from serving.trial import Bounds
from training import publish

if TYPE_CHECKING:
    from tests.serving.conftest import Company

ASKED = ScoreRequest((1, 2, "abc"), Campaign("Type A"))


@asynccontextmanager
async def live(company: "Company") -> AsyncIterator[Live]:
    client = connect(company.settings)
    try:
        yield Live(company.settings, client)
    finally:
        await client.aclose()


def test_another_current_bundle_takes_over(company: "Company") -> None:
    async def run() -> None:
        async with live(company) as served:
            before = served.engine
            await served.refresh()
            assert served.engine is before, "nothing changed"
            company.publish("v2")
            await served.refresh()
            assert (await served.engine.score(ASKED)).bundle == "v2"
            assert (await before.score(ASKED)).bundle == "v1", "who holds the old engine ends with it"
            bundle.flip(company.settings.models, "v1")
            await served.refresh()
            assert served.engine.version == "v1"

    asyncio.run(run())


def test_a_server_with_another_pseudonym_key_does_not_start(company: "Company") -> None:
    """It would know none of the customers, and call every one of them cold."""
    settings = replace(company.settings, pseudonym_key="another secret key")
    with pytest.raises(BundleError, match="no pseudonym key, here is the pseudonym key"):
        Live(settings, connect(settings))


def test_going_back_to_what_serves_takes_the_refusal_back(company: "Company") -> None:
    async def run() -> None:
        async with live(company) as served:
            company.publish("bad", response__answer=NAN)
            await served.refresh()
            assert served.refused
            bundle.flip(company.settings.models, "v1")
            await served.refresh()
            refused: str | None = served.refused
            assert (served.engine.version, refused) == ("v1", None)
            bundle.flip(company.settings.models, "bad")
            await served.refresh()
            assert served.refused, "it is looked at again, as the pointer changed"

    asyncio.run(run())


def test_a_folder_with_another_versions_manifest_is_refused_once(
    company: "Company", caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with live(company) as served:
            models = company.settings.models
            company.publish("v2").rename(models / "v3")
            bundle.flip(models, "v3")
            before = served.engine
            for _ in range(3):
                await served.refresh()
            assert served.engine is before
            assert served.refused is not None
            assert "v2" in served.refused

    asyncio.run(run())
    assert [each.levelname for each in caplog.records] == ["ERROR"]


NAN = np.full(16, np.nan, np.float32)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"response__answer": NAN}, "response answers differ"),
        ({"response__answer": np.full(16, 0.5, np.float32)}, "response answers differ"),
        ({"segments__answer": np.full(16, 7)}, "which are no segments"),
        ({"user_tower__answer": np.zeros((16, 3), np.float32)}, "user_tower answers with shape"),
        ({"inactive_28d__features": np.empty((0, 2), np.float32)}, "no sample answers"),
        ({"inactive_28d__features": np.full((16, 2), np.nan, np.float32)}, "NaN"),
    ],
)
def test_a_bundle_that_does_not_answer_as_trained_is_refused_once_and_the_old_one_serves(
    company: "Company", changes: dict[str, Any], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with live(company) as served:
            company.publish("bad", **changes)
            await served.refresh()
            await served.refresh()
            assert served.engine.version == "v1"
            assert served.refused is not None
            assert problem in served.refused
            company.publish("v3")
            await served.refresh()
            assert served.engine.version == "v3"
            assert served.refused is None

    asyncio.run(run())
    assert [each.levelname for each in caplog.records if "is refused" in each.message] == ["ERROR"]


@pytest.mark.parametrize("name", ["response.onnx", "items.npy", "answers.npz", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_a_damaged_bundle_is_refused(company: "Company", name: str, damage: str) -> None:
    async def run() -> None:
        async with live(company) as served:
            file = company.publish("v2") / name
            content = file.read_bytes()
            if damage == "flip":
                file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
            elif damage == "truncate":
                file.write_bytes(content[: len(content) // 2])
            else:
                file.unlink()
            await served.refresh()
            assert served.engine.version == "v1"
            assert served.refused

    asyncio.run(run())


def test_a_pointer_that_is_gone_or_unreadable_leaves_the_bundle_serving(company: "Company") -> None:
    async def run() -> None:
        async with live(company) as served:
            pointer = company.settings.models / bundle.CURRENT
            pointer.write_bytes(b"\xff\xfe")
            await served.refresh()
            pointer.unlink()
            await served.refresh()
            assert (await served.engine.score(ASKED)).bundle == "v1"

    asyncio.run(run())


def test_twenty_changes_under_load_fail_no_request_and_mix_no_bundles(company: "Company") -> None:
    """The two bundles have other probabilities, so an answer of both would show.

    Redis has longer to answer than it ever needs: on a machine that is busy elsewhere a late one is answered
    `degraded`, which is no failure and no mixture, and not what is asked here.
    """
    company = replace(company, settings=replace(company.settings, redis_budget_s=30.0))
    company.publish("v2", shift=0.1)
    right: dict[str, Any] = {}
    seen: list[str] = []

    async def ask(served: Live, stop: asyncio.Event) -> None:
        while not stop.is_set():
            answer = await served.engine.score(ASKED)
            scores = [(each.status, dict(each.scores)) for each in answer.results]
            assert scores == right[answer.bundle]
            seen.append(answer.bundle)

    async def run() -> None:
        async with live(company) as served:
            for version in ("v2", "v1"):
                bundle.flip(company.settings.models, version)
                await served.refresh()
                results = (await served.engine.score(ASKED)).results
                right[version] = [(each.status, dict(each.scores)) for each in results]
            assert right["v1"] != right["v2"]
            stop = asyncio.Event()
            askers = [asyncio.create_task(ask(served, stop)) for _ in range(4)]
            for i in range(20):
                bundle.flip(company.settings.models, "v1" if i % 2 else "v2")
                await served.refresh()
            stop.set()
            await asyncio.gather(*askers)

    asyncio.run(run())
    assert set(seen) == {"v1", "v2"}


def test_without_a_bundle_nothing_starts(company: "Company") -> None:
    (company.settings.models / bundle.CURRENT).unlink()
    client = connect(company.settings)
    with pytest.raises(BundleError, match="No bundle is published"):
        Live(company.settings, client)


def test_a_bundle_bound_to_a_new_key_takes_over_from_the_same_bundle_under_the_old_one(company: "Company") -> None:
    settings = replace(company.settings, pseudonym_key="the key that comes after", previous_pseudonym_keys=("none",))

    async def run() -> None:
        client = connect(settings)
        served = Live(settings, client)
        assert served.engine.version == "v1", "a bundle of a listed key serves"
        before = await served.engine.score(ASKED)
        version = publish.rebind(settings)
        assert version is not None
        await served.refresh()
        after = await served.engine.score(ASKED)
        assert after.bundle == version
        assert [(each.status, each.scores) for each in after.results] == [
            (each.status, each.scores) for each in before.results
        ]
        await client.aclose()

    asyncio.run(run())
    alone = replace(settings, previous_pseudonym_keys=())
    bound = bundle.load(bundle.current(settings.models))
    old = bundle.load(settings.models / "v1")
    bundle.require_identity(bound.manifest, alone.identity)
    assert bound.manifest.files == old.manifest.files
    assert publish.rebind(alone) is None, "it is bound already"
    assert [(each.action, each.subject) for each in audit.read(alone)] == [("publish", bound.manifest.version)]


def test_a_bundle_of_a_key_that_is_not_listed_is_not_bound_anew(company: "Company") -> None:
    settings = replace(company.settings, pseudonym_key="the key that comes after")
    with pytest.raises(BundleError, match="no pseudonym key, here is the pseudonym key"):
        publish.rebind(settings)
    assert bundle.current(settings.models).name == "v1"
    assert publish.rebind(replace(settings, home=settings.home / "nothing here")) is None


CUSTOMERS = tuple(range(100, 140))
QUICK = Pace(between=0.0, shadow=0.6, canary=0.3, watch=60.0)
FEW = Bounds(few=4, slower=50.0)
ANY = Bounds(few=10**9)
"""The customers of the two shares are too few to be alike."""


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


@asynccontextmanager
async def shopping(company: "Company", canary: float = 0.0) -> AsyncIterator[Shop]:
    """A live bundle that is asked all the time."""
    for customer in CUSTOMERS:
        company.put("rfm", str(customer), recency_days=float(customer % 9), recency_score=customer % 5 + 1)
        company.put("spending", str(customer), basket_value_mean=float(customer), trend_4w_12w=0.5)
    settings = replace(company.settings, canary=canary)
    client = connect(settings)
    shop = Shop(Live(settings, client, pace=QUICK, bounds=ANY if canary else FEW))
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
            shop.served.judge()
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
        async with shopping(company, canary=0.5) as shop:
            company.publish("v2")
            refreshing = asyncio.create_task(shop.served.refresh())
            while "v2" not in {version for _, version in shop.answers}:
                await asyncio.sleep(0.01)
            first = len(shop.answers)
            await asyncio.sleep(0.15)
            both = {customer: {v for c, v in shop.answers[first:] if c == customer} for customer in CUSTOMERS}
            assert not refreshing.done()
            assert all(len(versions) <= 1 for versions in both.values())
            share = sum(versions == {"v2"} for versions in both.values()) / len(CUSTOMERS)
            assert 0.25 < share < 0.75
            await refreshing
            assert shop.served.engine.version == "v2"

    asyncio.run(run())


def test_what_took_over_unseen_is_rolled_back_when_its_answers_turn_out_to_be_shifted(company: "Company") -> None:
    async def run() -> None:
        async with shopping(company) as shop:
            shop.open = False
            await asyncio.sleep(QUICK.shadow + 0.1)
            company.publish("v2", shift=3.0)
            await shop.served.refresh()
            assert shop.served.engine.version == "v2", "nobody asked, so there was nothing to compare"
            shop.open = True
            task = asyncio.create_task(shop.run())
            await asyncio.sleep(0.3)
            shop.served.judge()
            assert shop.served.engine.version == "v1"
            assert "shifted" in (shop.served.refused or "")
            await shop.served.refresh()
            assert shop.served.engine.version == "v1", "though it is still the current one"
            shop.open = False
            await task

    asyncio.run(run())
