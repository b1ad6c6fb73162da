"""Writers, readers, flips and erasures at once, each in a process of its own, on one real Valkey."""

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
import redis

from motherlode.online import live
from motherlode.online.keys import entity_text, of_key
from motherlode.online.live import Live
from motherlode.online.writer import Target
from motherlode.packed import Status
from motherlode.redis_server import connect
from motherlode.settings import Settings

if TYPE_CHECKING:
    from tests.motherlode.online.conftest import Rows

ENTITIES = [str(n) for n in range(300)]
CUSTOMERS = Target("v", owned=True)
BASKETS = Target("v", owned=True, indexed=True)


@contextmanager
def beside(count: int, work: Callable[[int], None]) -> Iterator[Callable[[], bool]]:
    """Work in other processes for the length of the block, and to its end; says whether any still works."""
    # Forked, not spawned: a child knows this module by no name that it could import.
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(seed,)) for seed in range(count)]
    for process in processes:
        process.start()
    try:
        yield lambda: any(process.is_alive() for process in processes)
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0] * count
    finally:
        for process in processes:
            process.kill()


def test_a_reader_sees_whole_rows_that_never_go_back_while_writers_race(rows: "Rows", server: Settings) -> None:
    """Two writers bring every event of every entity, each in an order of its own; the event's number is in the row."""
    last = 60

    def write(seed: int) -> None:
        draw = random.Random(seed)
        with connect(server) as client:
            mine = type(rows)(client)
            for event in draw.sample(range(1, last + 1), last):
                mine.write(draw.sample(ENTITIES, len(ENTITIES)), event * 1000, event)

    seen, looks = np.zeros(len(ENTITIES), dtype=np.int64), 0
    with beside(2, write) as working:
        while working():
            found = rows.look(*ENTITIES)
            here = found.status == Status.PRESENT
            assert (here | (found.status == Status.UNKNOWN)).all()
            assert (found.columns["x"].data[here] == found.event_us[here] * 1000).all()
            assert (found.event_us >= seen).all()
            seen, looks = found.event_us, looks + 1
    assert looks > 10
    assert rows.look(*ENTITIES).event_us.tolist() == [last] * len(ENTITIES)


def test_no_write_is_lost_to_what_is_live_through_flips(rows: "Rows", server: Settings) -> None:
    """Flips as materialising does them: a shadow, every row that is live into it, then the pointer.

    After each write its writer reads it back: what is live then has it, or a newer one.
    """
    flips, until = 0, time.monotonic() + 3.0

    def write(seed: int) -> None:
        mine_alone = ENTITIES[seed::2]
        with connect(server) as client:
            mine, event = type(rows)(client), 0
            while time.monotonic() < until + 0.5:
                event += 1
                mine.write(mine_alone, event, event)
                assert set(mine.read(*mine_alone)) == {event}

    def shadow(now: Live) -> Live:
        return msgspec.structs.replace(now, shadows={"v": flips}, last={"v": flips})

    def flip(now: Live) -> Live:
        return msgspec.structs.replace(now, views={"v": flips}, shadows={}, previous={"v": flips - 1})

    with beside(2, write) as working:
        while time.monotonic() < until and working():
            flips += 1
            live.switch(rows.client, "p", shadow)
            found = rows.look(*ENTITIES)
            for at in np.unique(found.event_us[found.status == Status.PRESENT]).tolist():
                then = [ENTITIES[i] for i in np.flatnonzero(found.event_us == at)]
                rows.write(then, at, at, target=Target("v", owned=True, generations=(flips,)))
            live.switch(rows.client, "p", flip)
    assert flips > 1


@pytest.mark.parametrize("target", [CUSTOMERS, BASKETS])
def test_a_writer_never_brings_back_who_is_erased_meanwhile(rows: "Rows", server: Settings, target: Target) -> None:
    """Neither to what is live nor to its shadow, which comes and goes as they write."""
    until = time.monotonic() + 2.0
    entities = [entity_text([who, item]) for who in ENTITIES for item in ("x", "y")] if target.indexed else ENTITIES

    def write(seed: int) -> None:
        with connect(server) as client:
            mine, event = type(rows)(client), seed
            while time.monotonic() < until:
                event += 2
                mine.write(entities, event, event, target=target)

    def shadow(now: Live) -> Live:
        return msgspec.structs.replace(now, shadows={"v": now.version + 1})

    draw, gone = random.Random(1), []
    with beside(2, write) as working:
        while time.monotonic() < until and working():
            who = draw.choice(ENTITIES[:100])
            rows.writer.erase(who, 1)
            gone.append(who)
            if len(gone) % 10 == 0:
                live.switch(rows.client, "p", shadow)
            assert left(rows.client, gone) == set()
    assert len(set(gone)) > 10
    assert left(rows.client, gone) == set()
    assert rows.client.exists(of_key("p", "200")) == (1 if target.indexed else 0)


def left(client: redis.Redis, gone: list[str]) -> set[bytes]:
    """Keys that name one of some customers."""
    names = {who.encode() for who in gone}
    keys: Any = client.keys("p/*}*")
    return {key for key in keys if key.partition(b"}")[2].partition(b"|")[0] in names}
