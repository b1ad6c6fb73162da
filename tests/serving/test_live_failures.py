"""What fails in one replica alone: it serves what it has, tries again, and no other replica hears of it."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from motherlode import audit, bundle, refusal
from serving import setback
from tests.serving.test_verdicts import refuse, replicas, told

if TYPE_CHECKING:
    from tests.serving.conftest import Company


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), MemoryError(), RuntimeError("CUDA out of memory")], ids=repr
)
def test_what_fails_in_one_replica_alone_is_tried_again_and_no_other_hears_of_it(
    company: "Company", error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(setback, "_FIRST_S", 0.3)

    async def run() -> None:
        async with replicas(company.settings, company.settings) as (ill, well):
            company.publish("v2")
            with monkeypatch.context() as broken:
                broken.setattr(bundle, "load", failing(error))
                for _ in range(3):
                    await ill.refresh()
                await asyncio.sleep(0.4)
                await ill.refresh()
            assert ill.engine.version == "v1"
            assert "cannot be loaded here, and is tried again" in (ill.refused or "")
            await well.refresh()
            assert (well.engine.version, well.refused) == ("v2", None)
            await asyncio.sleep(0.7)
            await ill.refresh()
            assert (ill.engine.version, ill.refused) == ("v2", None)

    asyncio.run(run())
    assert [each.action for each in audit.read(company.settings)] == []
    assert len([each for each in caplog.records if "cannot be loaded here" in each.message]) == 1


def test_a_file_that_the_system_does_not_give_is_no_damage(company: "Company", monkeypatch: pytest.MonkeyPatch) -> None:
    """`bundle.load` says that it cannot be read, as of a damaged one."""
    read = Path.read_bytes

    def exhausted(path: Path) -> bytes:
        if path.name == "items.npy":
            raise OSError(24, "Too many open files")
        return read(path)

    async def run() -> None:
        async with replicas(company.settings) as (served,):
            company.publish("v2")
            monkeypatch.setattr(Path, "read_bytes", exhausted)
            await served.refresh()
            assert "Too many open files" in (served.refused or "")
            assert refusal.holding(company.settings.models) is None

    asyncio.run(run())


def test_a_bundle_that_is_not_there_yet_is_no_refused_one(company: "Company") -> None:
    """As where the pointer is copied to another machine before its bundle is."""

    async def run() -> None:
        async with replicas(company.settings) as (served,):
            folder = company.publish("v2")
            later = folder.rename(company.settings.home / "v2")
            await served.refresh()
            assert "There is no bundle 'v2'" in (served.refused or "")
            assert refusal.holding(company.settings.models) is None
            later.rename(folder)
            await asyncio.sleep(1.1)
            await served.refresh()
            assert (served.engine.version, served.refused) == ("v2", None)

    asyncio.run(run())


def test_what_should_serve_and_could_not_is_tried_again(company: "Company", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setback, "_FIRST_S", 0.2)

    async def run() -> None:
        company.publish("v2")
        async with replicas(company.settings) as (served,):
            await refuse(company.settings, told(company.settings))
            with monkeypatch.context() as broken:
                broken.setattr(bundle, "load", failing(MemoryError()))
                await served.refresh()
                assert served.engine.version == "v2"
            await asyncio.sleep(0.25)
            await served.refresh()
            assert served.engine.version == "v1"

    asyncio.run(run())


def test_a_replica_starts_with_the_refused_bundle_where_its_substitute_cannot_be_loaded(
    company: "Company", monkeypatch: pytest.MonkeyPatch
) -> None:
    company.publish("v2")
    load = bundle.load

    def no_memory(folder: Path, *others: Any) -> Any:
        if folder.name == "v1":
            raise MemoryError
        return load(folder, *others)

    async def run() -> None:
        await refuse(company.settings, told(company.settings))
        with monkeypatch.context() as broken:
            broken.setattr(bundle, "load", no_memory)
            async with replicas(company.settings) as (started,):
                assert started.engine.version == "v2"

    asyncio.run(run())


def failing(error: Exception) -> Any:
    """What raises it, whatever it is called with."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail
