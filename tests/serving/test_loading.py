"""A bundle is loaded beside requests: one replica after the other, and the interpreter is given back often."""

import asyncio
import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from motherlode.compute import Compute
from motherlode.errors import BundleError
from motherlode.lock import exclusive
from serving.breaker import Breaker
from serving.engine import Engine
from serving.loading import Loader, lock_of
from serving.reading import connect
from serving.served import Served
from serving.trial import Sample

if TYPE_CHECKING:
    from tests.serving.conftest import Company


def loader(company: "Company", patience_s: float = 30.0) -> Loader:
    compute = Compute("cpu", "asked for")
    return Loader(company.settings, connect(company.settings), compute, Breaker(), None, patience_s)


def test_a_replica_waits_while_another_one_of_the_machine_loads(company: "Company") -> None:
    async def run() -> None:
        with exclusive(company.settings, lock_of(socket.gethostname())):
            loading = asyncio.create_task(loader(company).beside("v1"))
            done, _ = await asyncio.wait([loading], timeout=0.5)
            assert not done
        engine = await asyncio.wait_for(loading, 20)
        assert engine.version == "v1"

    asyncio.run(run())


def test_a_replica_of_another_machine_that_shares_the_home_is_not_waited_for(company: "Company") -> None:
    async def run() -> None:
        with exclusive(company.settings, lock_of("another machine")):
            assert (await asyncio.wait_for(loader(company, 600.0).beside("v1"), 20)).version == "v1"

    asyncio.run(run())


def test_a_replica_does_not_wait_for_ever_for_one_that_hangs(company: "Company") -> None:
    async def run() -> None:
        with exclusive(company.settings, lock_of(socket.gethostname())):
            assert (await asyncio.wait_for(loader(company, 0.2).beside("v1"), 20)).version == "v1"

    asyncio.run(run())


def test_while_it_loads_the_interpreter_is_given_back_often_and_afterwards_as_usual(company: "Company") -> None:
    seen = set()
    usual = sys.getswitchinterval()

    class Watched(Loader):
        """Looks while it loads."""

        def load(self, version: str) -> Engine:
            seen.add((sys.getswitchinterval(), threading.current_thread() is threading.main_thread()))
            return super().load(version)

    async def run() -> None:
        compute = Compute("cpu", "asked for")
        watched = Watched(company.settings, connect(company.settings), compute, Breaker(), None)
        await watched.beside("v1")
        assert sys.getswitchinterval() == usual
        with pytest.raises(BundleError):
            await watched.beside("v9")
        assert sys.getswitchinterval() == usual

    asyncio.run(run())
    ((interval, in_main),) = seen
    assert interval <= usual / 5
    assert not in_main


def test_what_serves_no_longer_is_forgotten(company: "Company") -> None:
    async def run() -> None:
        made = loader(company)
        gone = [Served(await made.beside("v1"), Sample())]
        await made.free(gone)
        assert gone == []

    asyncio.run(run())
