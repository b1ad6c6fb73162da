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
from motherlode.packed import Column, Schema, Status, Values, encode
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
