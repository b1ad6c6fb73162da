"""The fast reader, against a real Valkey."""

import asyncio
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import redis
import redis.asyncio

from motherlode.online import live
from motherlode.online.keys import row_key, schema_key
from motherlode.online.reader import AsyncOnlineReader, OnlineReader, ViewRequest
from motherlode.online.writer import Target
from motherlode.packed import Column, Schema, Status
from motherlode.packed.header import FINGERPRINT, FORM
from motherlode.settings import Settings

if TYPE_CHECKING:
    from tests.motherlode.online.conftest import Rows

SCHEMA = Schema("v", (Column("x", "int64"),))
REQUEST = ViewRequest("v", SCHEMA.columns, None)
OTHER = ViewRequest("w", (Column("y", "int64"),), None)


def trips(client: redis.Redis) -> int:
    stats: Any = client.info("commandstats")
    return int(stats["cmdstat_mget"]["calls"])


def test_one_round_trip_for_all_views_entities_and_names(client: redis.Redis, rows: "Rows") -> None:
    rows.write(["a", "old c"], 1, 10)
    reader = OnlineReader(client, "p", [REQUEST, OTHER])
    reader.read(["a"])  # learns the schema
    before = trips(client)
    found = reader.read(["a", "b", "c"], before=[["old a", "old b", "old c"]])
    assert trips(client) - before == 1
    assert found["v"].status.tolist() == [Status.PRESENT, Status.UNKNOWN, Status.PRESENT]
    assert found["w"].status.tolist() == [Status.UNKNOWN] * 3


def test_the_async_reader_answers_the_same(rows: "Rows", server: Settings) -> None:
    rows.write(["a"], 5, 10)
    live.switch(rows.client, "p", lambda now: msgspec.structs.replace(now, views={"v": 1}))
    rows.write(["b"], 6, 10)

    async def ask() -> list[tuple[int, int]]:
        async with redis.asyncio.Redis.from_url(server.redis_url or "") as connection:
            found = await AsyncOnlineReader(connection, "p", [REQUEST]).read(["a", "b"])
            return list(zip(found["v"].status.tolist(), found["v"].columns["x"].data.tolist(), strict=True))

    assert asyncio.run(ask()) == [(Status.UNKNOWN, 0), (Status.PRESENT, 6)]
    assert rows.read("a", "b") == [None, 6]


def test_a_flip_is_seen_by_the_next_read_at_one_more_round_trip(client: redis.Redis, rows: "Rows") -> None:
    rows.write(["a"], 1, 10)
    rows.write(["a"], 2, 10, target=Target("v", owned=True, generations=(1,)))
    reader = OnlineReader(client, "p", [REQUEST])
    assert reader.read(["a"])["v"].columns["x"].data.tolist() == [1]
    live.switch(client, "p", lambda now: msgspec.structs.replace(now, views={"v": 1}))
    before = trips(client)
    assert reader.read(["a"])["v"].columns["x"].data.tolist() == [2]
    assert trips(client) == before + 2
    reader.read(["a"])
    assert trips(client) == before + 3


def test_a_row_under_the_newest_name_wins(client: redis.Redis, rows: "Rows") -> None:
    """Of the names of one entity (`now`, `old`, `older`), whatever their event times."""

    def under(n: int, **named: bytes) -> None:
        for name, row in named.items():
            client.set(row_key("p", "v", f"{name}{n}"), row)

    under(0, now=rows.pack(1, 10), old=rows.pack(2, 99), older=rows.pack(3, 99))
    under(1, old=rows.pack(2, 5), older=rows.pack(3, 99))
    under(2, older=rows.pack(3, 5))
    under(4, now=b"damaged", old=rows.pack(2, 5))
    names = [[f"{name}{n}" for n in range(5)] for name in ("now", "old", "older")]
    reader = OnlineReader(client, "p", [REQUEST])
    found = reader.read(names[0], before=names[1:])["v"]
    assert found.status.tolist() == [*[Status.PRESENT] * 3, Status.UNKNOWN, Status.CORRUPT]
    assert found.columns["x"].data[:3].tolist() == [1, 2, 3]
    assert reader.read(names[0])["v"].status[1] == Status.UNKNOWN


def test_a_schema_that_is_damaged_or_not_its_fingerprints_reads_as_corrupt(client: redis.Redis, rows: "Rows") -> None:
    rows.write(["a"], 1, 10)
    key = schema_key("p", SCHEMA.fingerprint)
    for lie in (
        b"{",
        Schema("v", (Column("x", "float64"),)).to_json(),
        b'{"view": "v", "columns": [["x", "no type"]]}',
    ):
        client.set(key, lie)
        assert rows.look("a").status.tolist() == [Status.CORRUPT]
    client.set(key, SCHEMA.to_json())
    assert rows.read("a") == [1]


def test_a_schema_is_asked_for_again_while_it_is_not_there(client: redis.Redis, rows: "Rows") -> None:
    rows.write(["a"], 1, 10)
    client.delete(schema_key("p", SCHEMA.fingerprint))
    reader = OnlineReader(client, "p", [REQUEST])
    assert reader.read(["a"])["v"].status.tolist() == [Status.CORRUPT]
    rows.writer.declare(SCHEMA, rows.target)
    assert reader.read(["a"])["v"].status.tolist() == [Status.PRESENT]


def test_nobody_asked_for_is_nobody_read(client: redis.Redis) -> None:
    found = OnlineReader(client, "p", [REQUEST, OTHER]).read([])
    assert [len(view.status) for view in found.values()] == [0, 0]


def test_readers_that_share_a_connection_are_never_answered_from_the_old_generation(
    client: redis.Redis, rows: "Rows", server: Settings
) -> None:
    """The first of two that asked before a flip learns of it; the second must not take what it asked for as live."""
    rows.write(["a"], 1, 10)
    rows.write(["a"], 2, 10, target=Target("v", owned=True, generations=(1,)))

    gate = asyncio.Event()

    class Held(redis.asyncio.Redis):
        """Answers once somebody lets it."""

        async def execute_command(self, *arguments: Any, **options: Any) -> Any:
            await gate.wait()
            answering: Any = super()
            return await answering.execute_command(*arguments, **options)

    async def ask() -> list[int]:
        async with Held.from_url(server.redis_url or "") as connection:
            reader = AsyncOnlineReader(connection, "p", [REQUEST])
            both = [asyncio.create_task(reader.read(["a"])) for _ in range(2)]
            await asyncio.sleep(0.05)  # both have made their keys
            live.switch(client, "p", lambda now: msgspec.structs.replace(now, views={"v": 1}))
            gate.set()
            return [int((await each)["v"].columns["x"].data[0]) for each in both]

    assert asyncio.run(ask()) == [2, 2]


def test_a_stored_schema_of_a_type_that_is_not_known_makes_its_rows_corrupt_and_no_others(
    client: redis.Redis, rows: "Rows"
) -> None:
    rows.write(["a"], 1, 10)
    other = b'{"view":"w","columns":[{"name":"y","dtype":"quaternion"}]}'
    row = bytearray(client.get(row_key("p", "v", "a")) or b"")  # type: ignore[arg-type]
    row[FINGERPRINT] = (7).to_bytes(4, "little")
    row[:FORM] = zlib.crc32(row[FORM:]).to_bytes(4, "little")
    client.set(row_key("p", "v", "b"), bytes(row))
    client.set(schema_key("p", 7), other)
    found = OnlineReader(client, "p", [REQUEST]).read(["a", "b"])["v"]
    assert found.status.tolist() == [Status.PRESENT, Status.CORRUPT]
