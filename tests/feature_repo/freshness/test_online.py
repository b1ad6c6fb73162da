"""What a sample of the online store says: exact where all was seen, close where not, of the generation that is read."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from feature_repo.freshness import online
from motherlode.events import entry_id, stream_key
from motherlode.online import live as generations
from motherlode.online.keys import row_key
from motherlode.online.live import Live
from motherlode.online.writer import OnlineWriter, Target
from motherlode.packed import FORMAT_VERSION, Column, Schema, Values, encode
from motherlode.packed.header import FORM

PROJECT = "shop"
NOW_US = 1_800_000_000_000_000
HOUR, DAY = 3_600, 86_400
SCHEMA = Schema("rfm", (Column("recency", "float64"), Column("note", "string")))


def write(
    client: Any,
    ages_s: Sequence[float],
    *,
    view: str = "rfm",
    project: str = PROJECT,
    nulls: int = 0,
    generation: int | None = None,
) -> None:
    """One row an age; the first `nulls` of them lack `recency`, and all lack `note`."""
    count = len(ages_s)
    schema = msgspec.structs.replace(SCHEMA, view=view)
    events = NOW_US - np.array([round(age * 1e6) for age in ages_s], dtype=np.int64)
    columns = {
        "recency": Values(np.arange(count, dtype=np.float64), np.arange(count) >= nulls),
        "note": Values(np.full(count, "", dtype=object), np.zeros(count, dtype=np.bool_)),
    }
    writer = OnlineWriter(client, project, lambda entity: entity)
    target = Target(view, generations=None if generation is None else (generation,))
    writer.declare(schema, target)
    writer.write(target, [f"{i}" for i in range(count)], encode(schema, columns, events, events))


def look(client: Any, ttl_s: float | None = 35 * DAY, most: int = online.KEYS, view: str = "rfm") -> online.OnlineView:
    live = generations.read(client, PROJECT)
    return online.view(client, online.walk(client, PROJECT, most), PROJECT, view, live, ttl_s, NOW_US)


def test_rows_of_a_later_versions_schema_are_corrupt_and_no_others(client: Any) -> None:
    write(client, [HOUR] * 4)
    write(client, [HOUR] * 4, view="later")
    (mark,) = (key for key in client.scan_iter(f"{PROJECT}/@schema/*") if b'"later"' in client.get(key))
    client.set(mark, client.get(mark).replace(b"float64", b"decimal"))
    assert (look(client, view="later").corrupt, look(client).corrupt) == (1.0, 0.0)


def test_ages_and_what_is_stale_or_about_to_be(client: Any) -> None:
    write(client, [HOUR] * 90 + [34.5 * DAY] * 6 + [35 * DAY] * 1 + [36 * DAY] * 3)
    found = look(client)
    assert (found.rows, found.estimated, found.sampled) == (100, False, 100)
    assert found.ages is not None
    assert (found.ages.newest, found.ages.p50, found.ages.longest) == (HOUR, HOUR, 36 * DAY)
    assert 34 * DAY < found.ages.p95 < 35 * DAY
    assert found.stale == pytest.approx(0.03)  # a row exactly as old as its time to live is still read
    assert found.expiring == pytest.approx(0.07)
    without = look(client, ttl_s=None)
    assert (without.stale, without.expiring) == (0, 0)


def test_nulls_by_feature_and_the_one_that_lacks_most(client: Any) -> None:
    write(client, [HOUR] * 100, nulls=20)
    found = look(client)
    assert found.nulls == pytest.approx((0.2 + 1.0) / 2)
    assert (found.most_null, found.most_nulls) == ("note", 1.0)


def test_rows_that_cannot_be_read_are_counted_and_are_no_nulls(client: Any) -> None:
    write(client, [HOUR] * 10)
    for entity in ("3", "4"):
        key = row_key(PROJECT, "rfm", entity)
        row = bytearray(client.get(key))
        row[-1] ^= 1
        client.set(key, bytes(row))
    client.set(row_key(PROJECT, "rfm", "5"), b"short")
    found = look(client)
    assert found.corrupt == pytest.approx(0.3)
    assert found.nulls == pytest.approx(0.5)


def test_rows_of_another_format_are_corrupt_and_have_no_age(client: Any) -> None:
    write(client, [HOUR] * 4)
    for i in range(4):
        key = row_key(PROJECT, "rfm", f"{i}")
        row = bytearray(client.get(key))
        row[FORM] = FORMAT_VERSION - 1
        client.set(key, bytes(row))
        found = look(client)
        assert (found.rows, found.corrupt, found.sampled) == (4, (i + 1) / 4, 3 - i)
        assert (found.ages is None) == (i == 3)


def test_rows_of_an_older_schema_count_by_their_own(client: Any) -> None:
    write(client, [HOUR] * 10)
    newer = Schema("rfm", (Column("recency", "float64"),))
    events = np.full(10, NOW_US, dtype=np.int64)
    writer = OnlineWriter(client, PROJECT, lambda entity: entity)
    writer.declare(newer, Target("rfm"))
    columns = {"recency": Values(np.zeros(10), np.ones(10, dtype=np.bool_))}
    writer.write(Target("rfm"), [f"{i}" for i in range(10, 20)], encode(newer, columns, events, events))
    found = look(client)
    assert (found.rows, found.corrupt, found.most_null) == (20, 0, "note")


def test_an_empty_view_and_an_empty_store_say_so(client: Any) -> None:
    found = look(client)
    assert (found.rows, found.ages, found.nulls, found.bytes) == (0, None, None, 0)
    assert online.coverage(client, PROJECT, "rfm", 0, []) is None
    assert online.stream(client, PROJECT, NOW_US) is None


def test_other_projects_views_and_generations_are_told_apart(client: Any) -> None:
    write(client, [HOUR] * 10)
    write(client, [2 * HOUR] * 20, generation=1)
    write(client, [HOUR] * 40, view="rfm_more")
    write(client, [HOUR] * 80, project="shop_two")
    client.set(f"{PROJECT}/rfm/0/@sent", "how far a run is")
    assert look(client).rows == 10
    generations.switch(client, PROJECT, lambda live: Live(views={"rfm": 1}, shadows={"rfm": 2}, last={"rfm": 2}))
    found = look(client)
    assert (found.rows, found.generation, found.shadow) == (20, 1, 2)
    assert found.ages is not None and found.ages.p50 == 2 * HOUR


def test_memory_is_what_the_server_says_of_all_generations(client: Any) -> None:
    write(client, [HOUR] * 100)
    write(client, [HOUR] * 100, generation=1)
    every = sum(int(client.memory_usage(key)) for key in client.scan_iter(match=f"{PROJECT}/rfm/*"))
    assert look(client).bytes == pytest.approx(every, rel=0.05)
    store = online.store(online.walk(client, PROJECT))
    assert store.bytes > every and store.keys == store.walked == client.dbsize()


def test_a_walk_that_ends_early_estimates_every_view(client: Any) -> None:
    write(client, np.linspace(0, 10 * DAY, 12_000).tolist(), nulls=3_000)
    write(client, [HOUR] * 6_000, view="spending")
    walks = online.walk(client, PROJECT, 4_000)
    assert 4_000 <= walks[0].walked < 8_000 and not walks[0].whole
    found, other = look(client, most=4_000), look(client, most=4_000, view="spending")
    assert found.estimated and other.estimated
    assert found.rows == pytest.approx(12_000, rel=0.1)
    assert other.rows == pytest.approx(6_000, rel=0.1)
    assert found.sampled == online.HEADS
    assert found.ages is not None and found.ages.p50 == pytest.approx(5 * DAY, rel=0.15)
    assert found.nulls == pytest.approx((0.25 + 1) / 2, abs=0.1)


def test_coverage_is_of_those_asked_for_in_the_generation_that_is_read(client: Any) -> None:
    write(client, [HOUR] * 75)
    asked = [f"{i}" for i in range(100)]
    assert online.coverage(client, PROJECT, "rfm", 0, asked) == 0.75
    assert online.coverage(client, PROJECT, "rfm", 1, asked) == 0


def test_events_that_wait_and_how_long(client: Any) -> None:
    key = stream_key(PROJECT)
    for seconds in (90, 30):
        client.xadd(key, {b"event": b"{}"}, id=entry_id(NOW_US - seconds * 1_000_000))
    assert online.stream(client, PROJECT, NOW_US) == online.Stream(waiting=2, oldest_s=90)
    client.xtrim(key, maxlen=0)
    assert online.stream(client, PROJECT, NOW_US) == online.Stream(waiting=0, oldest_s=0)
