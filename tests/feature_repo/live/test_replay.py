"""The view made anew from raw: the same bytes, in a generation of its own, whatever was left by one that was killed."""

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from feature_repo.live import consumer
from feature_repo.live import replay as replaying
from feature_repo.live.replay import drop_over, replay
from feature_repo.warehouse import events as segments
from motherlode import names
from motherlode.errors import DataError
from motherlode.online import generations
from motherlode.online import live as pointer
from motherlode.online.keys import complete_key, owned_key
from tests.feature_repo.live.shop import Shop, event, expected, known, online_key, some


def live_keys(shop: Shop) -> list[bytes]:
    found: Any = shop.client.keys(f"{shop.settings.project}/{names.LIVE}/*")
    return sorted(found)


def a_minute_later(shop: Shop) -> None:
    """No reader is under way any more."""
    flipped = generations.flipped_key(shop.settings.project, names.LIVE)
    assert 0 < shop.client.ttl(flipped) <= 60
    shop.client.delete(flipped)


def test_a_replay_gives_the_same_bytes_and_leaves_nothing_of_the_old_ones(shop: Shop) -> None:
    for part in range(4):
        shop.send(some(80, seed=part, start=80 * part))
        shop.drain()
    before = shop.rows()
    told: list[int] = []
    counted = replay(shop.client, shop.settings, told.append)
    assert counted == sum(row["customer_id"] is not None for row in shop.landed())
    assert told[-1] == counted
    assert shop.rows() == before
    assert known(before) == expected(shop.landed())
    a_minute_later(shop)
    assert drop_over(shop.client, shop.settings.project)
    assert len(live_keys(shop)) == len(before), "of one generation alone"


def test_a_reader_that_made_its_keys_before_a_flip_is_answered(shop: Shop) -> None:
    """As in a cluster, where `@live` is answered by one server and the rows, later, by another."""
    shop.send([event(1, 1), event(2, 2)])
    shop.drain()
    keys = [online_key(shop.settings, customer) for customer in ("1", "2")]
    before = shop.client.mget(keys)
    assert None not in before
    for _ in range(2):
        replay(shop.client, shop.settings)
        assert not drop_over(shop.client, shop.settings.project), "a reader may be under way"
        assert shop.client.mget(keys) == before
    shop.drain()
    assert shop.client.mget(keys) == before
    a_minute_later(shop)
    shop.drain()
    assert shop.client.mget(keys) == [None, None], "the consumer drops what is over"
    assert len(live_keys(shop)) == 2


def test_a_consumer_that_works_on_drops_what_is_over(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "_LOOK_S", 0.05)
    monkeypatch.setattr(consumer, "_BLOCK_MS", 50)
    shop.send([event(1, 1)])
    shop.drain()
    stop = threading.Event()
    told: list[str] = []
    working = threading.Thread(
        target=lambda: consumer.run(shop.settings, stop, anew=True, on_progress=lambda now: told.append(now.state))
    )
    working.start()
    try:
        until(lambda: told.count("reads") > 2)
        assert len(live_keys(shop)) == 2
        a_minute_later(shop)
        key = online_key(shop.settings, "1", 1)
        until(lambda: live_keys(shop) == [key.encode()])
        before = shop.client.get(key)
        shop.send([event(2, 1)])
        until(lambda: shop.client.get(key) != before)
    finally:
        stop.set()
        working.join()
    assert shop.client.smembers(owned_key(shop.settings.project)) == {b"live/1"}
    assert live_keys(shop) == [key.encode()]


def until(true: Callable[[], bool]) -> None:
    latest = time.monotonic() + 20
    while not true():
        assert time.monotonic() < latest, "it does not come to be"
        time.sleep(0.02)


def test_nothing_names_generations_that_were_dropped(shop: Shop) -> None:
    project = shop.settings.project
    shop.client.set(complete_key(project, names.LIVE, 0), b"x")
    for i in range(3):
        shop.send([event(i, 1)])
        shop.drain(anew=True)
        a_minute_later(shop)
    shop.send([event(9, 1)])
    shop.drain()
    assert shop.client.smembers(owned_key(project)) == {b"live/3"}
    assert not shop.client.exists(complete_key(project, names.LIVE, 0))
    assert known(shop.rows())["1"]["events"] == 4


def test_readers_see_the_old_rows_until_all_are_there(shop: Shop) -> None:
    shop.send([event(i, i % 5) for i in range(40)])
    shop.drain()
    before = shop.rows()
    shop.client.set(online_key(shop.settings, "nobody"), b"an old row")
    seen = []

    def look(_: int) -> None:
        live = pointer.read(shop.client, shop.settings.project)
        seen.append((live.generation(names.LIVE), live.shadows.get(names.LIVE)))

    replay(shop.client, shop.settings, look)
    assert set(seen) == {(0, 1)}
    live = pointer.read(shop.client, shop.settings.project)
    assert (live.generation(names.LIVE), live.shadows, live.previous) == (1, {}, {})
    assert shop.rows() == before, "and none of what no event told"


def test_one_that_was_killed_is_simply_run_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.send(some(100))
    shop.drain()
    before = shop.rows()
    monkeypatch.setattr(replaying, "_STEP", 10)
    calls = itertools.count()

    def killed(_: int) -> None:
        if next(calls) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(shop.client, shop.settings, killed)
    assert shop.rows() == before, "the old rows are read"
    assert len(live_keys(shop)) > len(before)
    shop.send([event(500, 1)])
    shop.drain()
    assert known(shop.rows()) == expected(shop.landed()), "and counted on"
    replay(shop.client, shop.settings)
    assert known(shop.rows()) == expected(shop.landed())
    a_minute_later(shop)
    drop_over(shop.client, shop.settings.project)
    assert len(live_keys(shop)) == len(shop.rows())


def test_rows_of_a_replay_are_found_by_an_erasure(shop: Shop) -> None:
    shop.send([event(1, 1)])
    shop.drain()
    replay(shop.client, shop.settings)
    assert b"live/1" in shop.client.smembers(owned_key(shop.settings.project))


def test_a_segment_that_cannot_be_read_leaves_the_rows_as_they_are(shop: Shop) -> None:
    shop.send([event(1, 1)])
    shop.drain()
    before = shop.rows()
    (segment,) = segments.segments(shop.settings)
    segment.path.write_bytes(segment.path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"raw/@events/.*cannot be read"):
        replay(shop.client, shop.settings)
    assert shop.rows() == before
