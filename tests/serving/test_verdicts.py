"""What one replica refuses none serves: not those that run, not those that start, not on another machine."""

import asyncio
import shutil
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from motherlode import audit, bundles, refusal
from motherlode.online.keys import refused_key
from motherlode.refusal import Refusal
from motherlode.settings import Settings
from serving.live import REFUSED, Live, Pace
from serving.reading import connect
from serving.verdicts import Verdicts
from training import publish

if TYPE_CHECKING:
    from tests.serving.conftest import Company

NAN = np.full(16, np.nan, np.float32)
QUICK = Pace(between=0.0, shadow=0.3, canary=0.3)


@asynccontextmanager
async def replicas(*settings: Settings, pace: Pace = QUICK) -> AsyncIterator[list[Live]]:
    """A replica each."""
    async with AsyncExitStack() as stack:
        made = []
        for each in settings:
            client = connect(each)
            stack.push_async_callback(client.aclose)
            made.append(Live(each, client, pace=pace))
        yield made


def told(settings: Settings, version: str = "v2", serving: str = "v1") -> Refusal:
    """As a replica says it that finds the bundle's answers shifted: another one may find nothing."""
    pointer = bundles.pointer(settings.models)
    return Refusal(pointer.written_ns, time.time(), version, serving, "its answers are shifted")


async def refuse(settings: Settings, what: Refusal) -> None:
    """What a replica does that refuses a bundle."""
    client = connect(settings)
    await Verdicts(settings, client).tell(what)
    await client.aclose()


def another_machine(company: "Company", home: Path) -> Settings:
    """Whose disk has the same bundles, and nobody else's."""
    shutil.copytree(company.settings.models, home / "models")
    (home / "models" / refusal.FILE).unlink(missing_ok=True)
    return replace(company.settings, home=home)


def nowhere() -> str:
    """The URL of a Redis that is not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{free.getsockname()[1]}/0"


def test_a_replica_that_took_a_bundle_over_gives_it_up_when_another_refuses_it(company: "Company") -> None:
    async def run() -> None:
        async with replicas(company.settings) as (served,):
            company.publish("v2")
            await served.refresh()
            assert served.engine.version == "v2"
            await refuse(company.settings, told(company.settings))
            await served.refresh()
            assert (served.engine.version, served.refused) == ("v1", "its answers are shifted")
            await served.refresh()
            assert served.engine.version == "v1"

    asyncio.run(run())
    assert [each.action for each in audit.read(company.settings)] == [], "it is the other's to write down"


def test_a_replica_that_tries_a_bundle_stops_when_another_refuses_it(company: "Company") -> None:
    async def run() -> None:
        async with replicas(replace(company.settings, canary=0.5), pace=Pace(canary=600.0)) as (served,):
            company.publish("v2")
            trying = asyncio.create_task(served.refresh())
            await asyncio.sleep(0.3)
            await refuse(company.settings, told(company.settings))
            await asyncio.wait_for(trying, 10)
            await served.refresh()
            assert (served.engine.version, served.refused) == ("v1", "its answers are shifted")

    asyncio.run(run())


def test_a_replica_that_starts_takes_what_serves_in_place_of_a_refused_bundle(company: "Company") -> None:
    """Not what is current: two bundles would answer for good."""

    async def run() -> None:
        async with replicas(company.settings) as (first,):
            company.publish("v2", response__answer=NAN)
            await first.refresh()
            assert first.refused
            async with replicas(company.settings) as (second,):
                assert (second.engine.version, second.refused) == ("v1", first.refused)
                assert refusal.holding(company.settings.models) is not None
                await second.refresh()
                assert second.engine.version == "v1"

    asyncio.run(run())
    assert [each.action for each in audit.read(company.settings)] == [REFUSED]


def test_replicas_of_two_machines_hear_of_it_through_redis(company: "Company", tmp_path: Path) -> None:
    company.publish("v2")
    other = another_machine(company, tmp_path / "another home")

    async def run() -> None:
        async with replicas(other) as (running,):
            assert running.engine.version == "v2"
            await refuse(company.settings, told(company.settings))
            await running.refresh()
            assert running.engine.version == "v1"
            async with replicas(other) as (started,):
                assert started.engine.version == "v1"

    asyncio.run(run())
    assert refusal.holding(other.models) is not None, "it is kept there too, should Redis lose it"


def test_replicas_of_one_machine_hear_of_it_through_the_disk_while_redis_is_down(company: "Company") -> None:
    alone = replace(company.settings, redis_url=nowhere())

    async def run() -> None:
        company.publish("v2")
        async with replicas(alone) as (running,):
            assert running.engine.version == "v2"
            await refuse(alone, told(alone))
            await running.refresh()
            assert running.engine.version == "v1"
            async with replicas(alone) as (started,):
                assert started.engine.version == "v1"

    asyncio.run(run())


def test_redis_is_told_as_soon_as_it_is_back_and_again_when_it_lost_its_keys(company: "Company") -> None:
    company.publish("v2")
    key = refused_key(company.settings.project)

    async def run() -> None:
        down = replace(company.settings, redis_url=nowhere())
        await refuse(down, told(down))
        assert not company.client.exists(key)
        async with replicas(company.settings) as (served,):
            for _ in range(2):
                await served.refresh()
                assert company.client.exists(key)
                company.client.flushall()

    asyncio.run(run())


def test_where_the_disk_cannot_be_written_redis_alone_is_told_and_the_log_says_so_once(
    company: "Company", caplog: pytest.LogCaptureFixture
) -> None:
    company.publish("v2")
    (company.settings.models / refusal.FILE).mkdir()

    async def run() -> None:
        async with replicas(company.settings) as (served,):
            await refuse(company.settings, told(company.settings))
            caplog.clear()
            for _ in range(3):
                await served.refresh()
            assert served.engine.version == "v1"

    asyncio.run(run())
    assert len([each for each in caplog.records if "told by Redis alone" in each.message]) == 1


@pytest.mark.parametrize("again", ["v2", "v3"])
def test_whoever_publishes_the_same_bundle_again_or_another_lifts_it(company: "Company", again: str) -> None:
    async def run() -> None:
        async with replicas(company.settings, company.settings) as both:
            company.publish("v2")
            await refuse(company.settings, told(company.settings))
            for served in both:
                await served.refresh()
                assert (served.engine.version, served.refused) == ("v1", "its answers are shifted")
            if again == "v3":
                company.publish("v3")
            else:
                bundles.flip(company.settings.models, "v2")
            assert refusal.holding(company.settings.models) is None
            for served in both:
                await served.refresh()
                assert (served.engine.version, served.refused) == (again, None)

    asyncio.run(run())


def test_what_serves_in_place_of_a_refused_bundle_is_not_collected_when_the_next_is_published(
    company: "Company",
) -> None:
    settings = replace(company.settings, keep_bundles=1)
    for version in ("v2", "v3", "v4"):
        company.publish(version)
        refusal.write(settings.models, told(settings, version))
        publish.publish(settings, version)
    assert "v1" in bundles.versions(settings.models)
    assert publish.publish(settings, "v4") == ["v1"], "of a bundle that nobody refused nothing else serves"


@pytest.mark.parametrize("serving", ["v0", "../elsewhere/v1", "/etc", ""])
def test_a_version_that_is_not_there_is_not_served_though_redis_names_it(company: "Company", serving: str) -> None:
    """Whoever can write there must not choose what is read."""
    company.publish("v2")
    shutil.copytree(company.settings.models / "v1", company.settings.home / "elsewhere" / "v1")

    async def run() -> None:
        async with replicas(company.settings) as (served,):
            await refuse(company.settings, told(company.settings, serving=serving))
            for _ in range(2):
                await served.refresh()
                assert served.engine.version == "v2"
        async with replicas(company.settings) as (started,):
            assert started.engine.version == "v2"

    asyncio.run(run())


def test_what_cannot_be_read_counts_for_nothing(company: "Company") -> None:
    company.client.hset(refused_key(company.settings.project), "v2", '{"version": 7')
    (company.settings.models / refusal.FILE).write_bytes(b"\xff\xfe")

    async def run() -> None:
        async with replicas(company.settings) as (served,):
            company.publish("v2")
            await served.refresh()
            assert (served.engine.version, served.refused) == ("v2", None)

    asyncio.run(run())


def told_of(company: "Company") -> set[str]:
    """The versions that Redis knows a refusal of."""
    client: Any = company.client
    return {each.decode() for each in client.hkeys(refused_key(company.settings.project))}


def far(version: str) -> Refusal:
    """Of a replica whose clock, or its disk's, was an hour ahead."""
    ahead = time.time() + 3600
    return Refusal(int(ahead * 1e9), ahead, version, "v1", "it was slow")


@pytest.mark.parametrize("version", ["vX", "v2"])
def test_a_refusal_of_another_bundle_or_of_a_time_ahead_silences_none(company: "Company", version: str) -> None:
    """It was the latest for ever, and the bundle that does not verify was loaded anew each second."""

    async def run() -> None:
        async with replicas(company.settings) as (served,):
            await refuse(company.settings, far(version))
            company.publish("v2", response__answer=NAN)
            for _ in range(3):
                await served.refresh()
                assert served.engine.version == "v1"
                assert "response answers differ" in (served.refused or "")

    asyncio.run(run())
    assert [each.action for each in audit.read(company.settings)] == [REFUSED], "it is loaded once"


def test_what_a_replica_refused_itself_it_does_not_serve_again_whatever_is_told_of_others(company: "Company") -> None:
    async def run() -> None:
        async with replicas(company.settings) as (served,):
            company.publish("v2")
            await refuse(company.settings, told(company.settings))
            await served.refresh()
            company.client.flushall()
            (company.settings.models / refusal.FILE).unlink()
            await refuse(company.settings, far("vX"))
            for _ in range(2):
                await served.refresh()
                assert (served.engine.version, served.refused) == ("v1", "its answers are shifted")
            assert told_of(company) == {"v2", "vX"}

    asyncio.run(run())


def test_two_homes_of_one_project_and_one_redis_refuse_each_its_own(company: "Company", tmp_path: Path) -> None:
    other = another_machine(company, tmp_path / "another home")

    async def run() -> None:
        async with replicas(company.settings, other) as (here, there):
            company.publish("v2", response__answer=NAN)
            await here.refresh()
            company.publish("v3", response__answer=NAN).rename(other.models / "v3")
            bundles.flip(company.settings.models, "v2")
            bundles.flip(other.models, "v3")
            for _ in range(3):
                await here.refresh()
                await there.refresh()
                assert "Bundle v2" in (here.refused or "")
                assert "Bundle v3" in (there.refused or "")
            assert set(refusal.read(company.settings.models)) == {"v2"}, "what is told of others is theirs to keep"

    asyncio.run(run())
    assert len([each for each in audit.read(company.settings) if each.action == REFUSED]) == 2, "published twice"
    assert len([each for each in audit.read(other) if each.action == REFUSED]) == 1


def test_redis_keeps_the_latest_of_very_many(company: "Company") -> None:
    async def run() -> None:
        client = connect(company.settings)
        for i in range(40):
            await Verdicts(company.settings, client).tell(
                Refusal(time.time_ns(), float(i), f"v{i}", "v1", "it is slow")
            )
        await client.aclose()

    asyncio.run(run())
    assert told_of(company) == {f"v{i}" for i in range(8, 40)}


def test_a_disk_that_can_be_written_again_is_told(company: "Company") -> None:
    company.publish("v2")
    file = company.settings.models / refusal.FILE
    file.mkdir()

    async def run() -> None:
        async with replicas(company.settings) as (served,):
            await refuse(company.settings, told(company.settings))
            await served.refresh()
            file.rmdir()
            await served.refresh()
            assert refusal.holding(company.settings.models) is not None

    asyncio.run(run())


def test_a_rollback_passes_over_a_refused_bundle_until_that_is_published_again(company: "Company") -> None:
    settings = company.settings
    for version in ("v2", "v3"):
        company.publish(version)
    refusal.write(settings.models, told(settings, "v3"))
    publish.publish(settings, "v1")
    assert publish.take_back(settings) == "v2", "not v3"
    assert bundles.current(settings.models).name == "v2"
    publish.publish(settings, "v3")
    publish.publish(settings, "v1")
    assert publish.take_back(settings) == "v3", "it was published again"
