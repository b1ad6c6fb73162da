"""The view made anew from raw: the same bytes, in a generation of its own, whatever was left by one that was killed."""

import itertools
from typing import Any

import pytest

from feature_repo.live import replay as replaying
from feature_repo.live.replay import replay
from feature_repo.warehouse import events as segments
from motherlode import names
from motherlode.errors import DataError
from motherlode.online import live as generations
from motherlode.online.keys import owned_key
from tests.feature_repo.live.shop import Shop, event, expected, known, online_key, some


def live_keys(shop: Shop) -> list[bytes]:
    found: Any = shop.client.keys(f"{shop.settings.project}/{names.LIVE}/*")
    return sorted(found)


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
    assert len(live_keys(shop)) == len(before), "of one generation alone"


def test_readers_see_the_old_rows_until_all_are_there(shop: Shop) -> None:
    shop.send([event(i, i % 5) for i in range(40)])
    shop.drain()
    before = shop.rows()
    shop.client.set(online_key(shop.settings, "nobody"), b"an old row")
    seen = []

    def look(_: int) -> None:
        live = generations.read(shop.client, shop.settings.project)
        seen.append((live.generation(names.LIVE), live.shadows.get(names.LIVE)))

    replay(shop.client, shop.settings, look)
    assert set(seen) == {(0, 1)}
    live = generations.read(shop.client, shop.settings.project)
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
