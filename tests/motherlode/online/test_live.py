"""Generations are flipped in one step, and whoever dies or is lost in the middle is healed by the next writer."""

from typing import TYPE_CHECKING

import msgspec
import pytest
import redis

from motherlode.errors import StoreError
from motherlode.online import live
from motherlode.online.keys import BUCKETS, guard_key, live_key
from motherlode.online.live import LIVE_FIELD, Live
from motherlode.online.writer import Target, Written

if TYPE_CHECKING:
    from tests.motherlode.online.conftest import Rows

NEXT = Target("v", owned=True, generations=(1,))


def begun(now: Live) -> Live:
    """A shadow beside generation 0."""
    return msgspec.structs.replace(now, shadows={"v": 1}, last={"v": 1})


def flipped(now: Live) -> Live:
    return msgspec.structs.replace(now, views={"v": 1}, shadows={}, previous={"v": 0})


def test_where_nothing_was_flipped_generation_0_is_live(client: redis.Redis) -> None:
    now = live.read(client, "p")
    assert (now.generation("v"), now.written("v")) == (0, (0,))
    assert now.kept("v") == {0}
    assert now.to_json() == b""
    assert Live.from_json(b"") == now


def test_a_write_goes_to_what_is_read_and_to_its_shadow(client: redis.Redis, rows: "Rows") -> None:
    rows.write(["before"], 1, 10)
    live.switch(client, "p", begun)
    assert rows.write(["both"], 2, 10) == Written(1, 0), "a row counts once"
    assert rows.read("before", "both") == [1, 2]
    now = live.switch(client, "p", flipped)
    assert rows.read("before", "both") == [None, 2]
    rows.write(["after"], 3, 10)
    assert rows.read("after") == [3]
    assert now.version == 2
    assert now.kept("v") == {0, 1}
    assert Live.from_json(now.to_json()) == now


def test_of_two_that_flip_at_once_neither_is_lost(client: redis.Redis) -> None:
    late = [lambda now: msgspec.structs.replace(now, views={**now.views, "w": 7})]

    def first(now: Live) -> Live:
        if late:
            live.switch(client, "p", late.pop())
        return msgspec.structs.replace(now, views={**now.views, "v": 5})

    assert live.switch(client, "p", first).views == {"v": 5, "w": 7}


def test_one_that_is_always_too_late_is_told_so(client: redis.Redis) -> None:
    def beaten(now: Live) -> Live:
        client.set(live_key("p"), msgspec.structs.replace(now, version=now.version + 1).to_json())
        return now

    with pytest.raises(StoreError, match="project 'p' changes without end"):
        live.switch(client, "p", beaten)


@pytest.mark.parametrize("copies", [0, 100, BUCKETS - 1])
def test_a_switcher_that_dies_before_its_last_copy_is_healed(client: redis.Redis, rows: "Rows", copies: int) -> None:
    live.switch(client, "p", begun)
    rows.write([str(n) for n in range(500)], 1, 10)
    pointer = msgspec.structs.replace(flipped(live.read(client, "p")), version=2)
    client.set(live_key("p"), pointer.to_json())
    live.place(client, "p", pointer, range(copies))
    assert rows.write([str(n) for n in range(500)], 2, 20) == Written(500, 0)
    assert rows.read(*map(str, range(500))) == [2] * 500
    assert {client.hget(guard_key("p", n), LIVE_FIELD) for n in range(copies, BUCKETS)} >= {pointer.to_json()}


def test_a_pointer_that_a_failover_lost_is_put_back(client: redis.Redis, rows: "Rows") -> None:
    first = live.switch(client, "p", begun)
    live.switch(client, "p", flipped)
    for lost in (None, first.to_json()):
        client.set(live_key("p"), lost) if lost else client.delete(live_key("p"))
        rows.write(["a"], 1, 10)
        assert live.read(client, "p").views == {"v": 1}
        assert rows.read("a") == [1]


def test_guards_that_a_failover_lost_are_filled_again(client: redis.Redis, rows: "Rows") -> None:
    live.switch(client, "p", begun)
    live.switch(client, "p", flipped)
    client.delete(*(guard_key("p", n) for n in range(BUCKETS)))
    rows.write(["a"], 1, 10)
    assert rows.read("a") == [1]


def test_an_older_copy_never_replaces_a_newer_one(client: redis.Redis) -> None:
    live.place(client, "p", Live(version=5, views={"v": 2}))
    live.place(client, "p", Live(version=4, views={"v": 1}))
    live.place(client, "p", Live())
    assert Live.from_json(client.hget(guard_key("p", 9), LIVE_FIELD)).views == {"v": 2}  # type: ignore[arg-type]


def test_an_erasure_reaches_generations_that_are_made_and_kept(client: redis.Redis, rows: "Rows") -> None:
    rows.write(["a"], 1, 10)
    live.switch(client, "p", begun)
    rows.write(["a"], 1, 11)
    live.switch(client, "p", flipped)
    assert rows.writer.erase("a", 1) == 2
    assert rows.write(["a"], 1, 12) == rows.write(["a"], 1, 12, target=NEXT) == Written(0, 1)
    assert not list(client.scan_iter("p/v/*"))
