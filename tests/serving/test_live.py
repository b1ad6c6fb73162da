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
from serving.live import Live
from serving.reading import connect
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
