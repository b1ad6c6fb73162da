"""Keys, newest-wins and the fast reader, against a real Valkey."""

import asyncio
import itertools
import random
import threading

import numpy as np
import redis
import redis.asyncio

from motherlode.online import (
    AsyncOnlineReader,
    OnlineReader,
    OnlineWriter,
    ViewRequest,
    entity_text,
    now_us,
    row_key,
    stored_schemas,
)
from motherlode.packed import Column, Schema, Status, Values, encode, tombstone
from motherlode.settings import Settings

SCHEMA = Schema("v", (Column("x", "int64"),))
REQUEST = ViewRequest("v", SCHEMA.columns, None)


def packed(x: int, event: int, created: int = 0) -> bytes:
    values = Values(np.array([x]), np.array([True]))
    return encode(SCHEMA, {"x": values}, np.array([event]), np.array([created]))[0]


def read(client: redis.Redis, *entities: str, project: str = "p") -> list[int]:
    rows = OnlineReader(client, project, [REQUEST]).read(entities)["v"]
    assert (rows.status == Status.PRESENT).all()
    return [int(x) for x in rows.columns["x"].data]


def test_newest_event_wins_in_every_order_and_created_breaks_ties(client: redis.Redis) -> None:
    writes = [packed(1, 10, 5), packed(2, 20, 1), packed(3, 20, 2), packed(4, 19, 9)]
    for i, order in enumerate(itertools.permutations(writes)):
        writer = OnlineWriter(client, "p")
        writer.declare(SCHEMA)
        for row in order:
            writer.write("v", [str(i)], [row])
        assert read(client, str(i)) == [3]


def test_racing_writers_leave_the_newest(client: redis.Redis, server: Settings) -> None:
    entities = [str(i) for i in range(50)]
    OnlineWriter(client, "p").declare(SCHEMA)

    def write(seed: int) -> None:
        with redis.Redis.from_url(server.redis_url or "") as mine:
            writer = OnlineWriter(mine, "p")
            order = list(range(1, 41))
            random.Random(seed).shuffle(order)
            for event in order:
                writer.write("v", entities, [packed(event, event)] * len(entities))

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(client, *entities) == [40] * 50


def test_an_erased_customer_does_not_come_back(client: redis.Redis) -> None:
    writer = OnlineWriter(client, "p")
    writer.declare(SCHEMA)
    writer.write("v", ["1", "2"], [packed(7, 10), packed(8, 10)])
    writer.erase("1", ["v"])
    assert writer.write("v", ["1"], [packed(9, now_us() + 10**12)]) == 0
    rows = OnlineReader(client, "p", [REQUEST]).read(["1", "2"])["v"]
    assert rows.status.tolist() == [Status.ERASED, Status.PRESENT]


def test_one_round_trip_for_all_views_and_entities(client: redis.Redis) -> None:
    other = Schema("w", (Column("y", "int64"),))
    writer = OnlineWriter(client, "p")
    for schema in (SCHEMA, other):
        writer.declare(schema)
    writer.write("v", ["a"], [packed(1, 10)])
    reader = OnlineReader(client, "p", [REQUEST, ViewRequest("w", other.columns, None)])
    reader.read(["a"])  # learns the schema
    before = client.info("commandstats")["cmdstat_mget"]["calls"]  # type: ignore[index]
    rows = reader.read(["a", "b"])
    after = client.info("commandstats")["cmdstat_mget"]["calls"]  # type: ignore[index]
    assert after - before == 1
    assert rows["v"].status.tolist() == [Status.PRESENT, Status.UNKNOWN]
    assert rows["w"].status.tolist() == [Status.UNKNOWN, Status.UNKNOWN]


def test_the_async_reader_answers_the_same(client: redis.Redis, server: Settings) -> None:
    writer = OnlineWriter(client, "p")
    writer.declare(SCHEMA)
    writer.write("v", ["a"], [packed(5, 10)])

    async def ask() -> list[int]:
        async with redis.asyncio.Redis.from_url(server.redis_url or "") as connection:
            rows = await AsyncOnlineReader(connection, "p", [REQUEST]).read(["a"])
            return [int(x) for x in rows["v"].columns["x"].data]

    assert asyncio.run(ask()) == [5] == read(client, "a")


def test_the_key_is_freed_only_when_told(client: redis.Redis) -> None:
    writer = OnlineWriter(client, "p")
    later = now_us() // 1000 + 60_000
    writer.write("v", ["a", "b"], [packed(1, 1), packed(1, 1)], np.array([later, 0]))
    assert 0 < int(client.pttl(row_key("p", "v", "a"))) <= 60_000  # type: ignore[arg-type]
    assert client.pttl(row_key("p", "v", "b")) == -1


def test_no_project_view_or_entity_reads_anothers_row() -> None:
    keys = {
        row_key(project, view, entity_text(values))
        for project in ("prod", "preprod")
        for view in ("v", "v_2")
        for values in (("1", "11"), ("11", "1"), ("1|11", ""), ("a/b", "c"), ("a", "b/c"), ("{", "}"), ("%7B", "}"))
    }
    assert len(keys) == 2 * 2 * 7


def test_the_stored_schema_is_the_last_declared(client: redis.Redis) -> None:
    assert stored_schemas(client, "p", ["v"]) == {"v": None}
    OnlineWriter(client, "p").declare(SCHEMA)
    assert stored_schemas(client, "p", ["v"]) == {"v": SCHEMA}


def under(client: redis.Redis, n: int, **rows: bytes) -> None:
    """Rows by the name they are under; the names of one entity are `now`, `old`, `older`."""
    for name, row in rows.items():
        client.set(row_key("p", "v", f"{name}{n}"), row)


def test_a_row_under_the_newest_name_wins_and_a_tombstone_under_any_beats_all(client: redis.Redis) -> None:
    OnlineWriter(client, "p").declare(SCHEMA)
    gone = tombstone(1)
    under(client, 0, now=packed(1, 10), old=packed(2, 99), older=packed(3, 99))
    under(client, 1, old=packed(2, 5), older=packed(3, 99))
    under(client, 2, older=packed(3, 5))
    under(client, 4, now=packed(1, 10), older=gone)
    under(client, 5, now=gone, old=packed(2, 5))
    under(client, 6, now=b"damaged", old=packed(2, 5))
    names = [[f"{name}{n}" for n in range(7)] for name in ("now", "old", "older")]
    rows = OnlineReader(client, "p", [REQUEST]).read(names[0], before=names[1:])["v"]
    assert rows.status.tolist() == [
        Status.PRESENT,
        Status.PRESENT,
        Status.PRESENT,
        Status.UNKNOWN,
        Status.ERASED,
        Status.ERASED,
        Status.CORRUPT,
    ]
    assert rows.columns["x"].data[:3].tolist() == [1, 2, 3]
    assert OnlineReader(client, "p", [REQUEST]).read(names[0])["v"].status[1] == Status.UNKNOWN


def test_several_names_and_views_are_one_round_trip(client: redis.Redis) -> None:
    OnlineWriter(client, "p").declare(SCHEMA)
    under(client, 0, old=packed(2, 5))
    reader = OnlineReader(client, "p", [REQUEST, ViewRequest("w", SCHEMA.columns, None)])
    reader.read(["now0"], before=[["old0"]])
    before = client.info("commandstats")["cmdstat_mget"]["calls"]  # type: ignore[index]
    rows = reader.read(["now0", "now1"], before=[["old0", "old1"]])
    assert client.info("commandstats")["cmdstat_mget"]["calls"] == before + 1  # type: ignore[index]
    assert rows["v"].status.tolist() == [Status.PRESENT, Status.UNKNOWN]
    assert rows["w"].status.tolist() == [Status.UNKNOWN, Status.UNKNOWN]


def test_erasures_are_found_and_rows_removed_by_entity(client: redis.Redis) -> None:
    writer = OnlineWriter(client, "p")
    entities = [str(n) for n in range(2500)]
    writer.write("v", entities, [packed(n, 1) for n in range(2500)])
    writer.erase("7", ["w"])
    writer.erase("2400", ["v"])
    assert [n for n, erased in enumerate(writer.erased(entities, ["v", "w"])) if erased] == [7, 2400]
    assert writer.erased([], ["v"]) == []
    assert writer.remove(entities[:2450], ["v", "w"]) == 2451
    assert sorted(client.scan_iter("p/*")) == sorted(row_key("p", "v", each).encode() for each in entities[2450:])
    assert writer.remove([], ["v"]) == 0
