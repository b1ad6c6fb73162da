"""The change of bundles: a good one takes over between two requests, a bad one never serves."""

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from motherlode import audit, bundle, bundles
from motherlode.api import Campaign, RecommendRequest, ScoreRequest
from motherlode.errors import BundleError
from serving.live import Live, Pace
from serving.reading import connect
from serving.trial import Bounds
from training import publish

if TYPE_CHECKING:
    from tests.serving.conftest import Company

ASKED = ScoreRequest((1, 2, "abc"), Campaign("Type A"))


@asynccontextmanager
async def live(company: "Company", pace: Pace = Pace(), bounds: Bounds = Bounds()) -> AsyncIterator[Live]:  # noqa: B008
    client = connect(company.settings)
    try:
        yield Live(company.settings, client, pace=pace, bounds=bounds)
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
            bundles.flip(company.settings.models, "v1")
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
            bundles.flip(company.settings.models, "v1")
            await served.refresh()
            refused: str | None = served.refused
            assert (served.engine.version, refused) == ("v1", None)
            bundles.flip(company.settings.models, "bad")
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
            bundles.flip(models, "v3")
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
            pointer = company.settings.models / bundles.CURRENT
            pointer.write_bytes(b"\xff\xfe")
            await served.refresh()
            pointer.unlink()
            await served.refresh()
            assert (await served.engine.score(ASKED)).bundle == "v1"

    asyncio.run(run())


def test_twenty_changes_under_load_fail_no_request_and_mix_no_bundles(company: "Company") -> None:
    """The two bundles have other probabilities, so an answer of both would show. Each is verified, and shadows.

    Redis has longer to answer than it ever needs: on a machine that is busy elsewhere a late one is answered
    `degraded`, which is no failure and no mixture, and not what is asked here.
    """
    company = replace(company, settings=replace(company.settings, redis_budget_s=30.0))
    company.publish("v2", shift=0.1)
    right: dict[str, Any] = {}
    seen: list[str] = []
    listed = RecommendRequest((1, 2, "abc"), 3)

    async def answer(served: Live) -> tuple[str, Any]:
        scored, items = await served.score(ASKED), await served.recommend(listed)
        assert [each.source for each in items.results] == ["personal"] * 3
        return scored.bundle, [(each.status, dict(each.scores)) for each in scored.results]

    async def ask(served: Live, stop: asyncio.Event) -> None:
        while not stop.is_set():
            version, scores = await answer(served)
            assert scores == right[version]
            seen.append(version)
            await asyncio.sleep(0.001)

    async def run() -> None:
        pace = Pace(between=0.0, shadow=0.05)
        # Two bundles that are to be told apart are shifted, and the first requests after a change are few.
        async with live(company, pace, Bounds(psi=1e9, slower_s=30.0, few=1)) as served:
            for version in ("v1", "v2"):
                bundles.flip(company.settings.models, version)
                await served.refresh()
                assert served.engine.version == version
                _, right[version] = await answer(served)
            assert right["v1"] != right["v2"]
            stop = asyncio.Event()
            askers = [asyncio.create_task(ask(served, stop)) for _ in range(4)]
            for i in range(20):
                version = "v2" if i % 2 else "v1"
                bundles.flip(company.settings.models, version)
                await served.refresh()
                assert (served.engine.version, served.refused) == (version, None)
                await served.judge()
            stop.set()
            await asyncio.gather(*askers)

    asyncio.run(run())
    changes = sum(one != other for one, other in itertools.pairwise(seen))
    assert changes >= 19, "answers of every one of them"


def test_the_memory_of_a_bundle_that_serves_no_longer_is_given_back_at_once(company: "Company") -> None:
    """And not when the collector next looks at the oldest objects: that may be bundles later."""

    async def run() -> None:
        async with live(company, Pace(shadow=0.05, watch=0.0)) as served:
            await served.score(ASKED)
            old = weakref.ref(served.engine)
            company.publish("v2")
            await served.refresh()
            assert old() is not None, "it may be gone back to"
            await served.judge()
            assert old() is None

    gc.disable()
    try:
        asyncio.run(run())
    finally:
        gc.enable()


def test_without_a_bundle_nothing_starts(company: "Company") -> None:
    (company.settings.models / bundles.CURRENT).unlink()
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
    bound = bundle.load(bundles.current(settings.models))
    old = bundle.load(settings.models / "v1")
    bundle.require_identity(bound.manifest, alone.identity)
    assert bound.manifest.files == old.manifest.files
    assert publish.rebind(alone) is None, "it is bound already"
    assert [(each.action, each.subject) for each in audit.read(alone)] == [("publish", bound.manifest.version)]


def test_a_bundle_of_a_key_that_is_not_listed_is_not_bound_anew(company: "Company") -> None:
    settings = replace(company.settings, pseudonym_key="the key that comes after")
    with pytest.raises(BundleError, match="no pseudonym key, here is the pseudonym key"):
        publish.rebind(settings)
    assert bundles.current(settings.models).name == "v1"
    assert publish.rebind(replace(settings, home=settings.home / "nothing here")) is None


def test_what_nobody_has_asked_for_yet_is_held_to_its_own_samples_and_the_log_says_so(
    company: "Company", caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with live(company) as served:
            company.publish("v2", shift=3.0)
            with caplog.at_level("INFO", "serving.live"):
                await served.refresh()
            assert served.engine.version == "v2"

    asyncio.run(run())
    assert any("held to its own samples alone" in each.message for each in caplog.records)
