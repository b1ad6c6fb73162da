"""Customers out of the online store, on a real Valkey: every view and generation, the server's files, at once."""

import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_repo.erasure import online
from motherlode.online.keys import entity_text, of_key
from motherlode.online.tombstones import Tombstones
from motherlode.online.writer import OnlineWriter, Target
from motherlode.packed import Column, Schema
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

PROJECT = "shop"
SCHEMA = Schema("v", (Column("x", "int64"),))
CANARY = "canary/{0}|é"


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(Settings(home=tmp_path_factory.mktemp("home"), project=PROJECT)) as found:
        yield found


def row(number: int) -> bytes:
    """As long as a row's head must be, with an event time."""
    return bytes(16) + number.to_bytes(8, "little") + bytes(8)


def written(client: Any, tombstones: Tombstones, customers: list[str]) -> None:
    writer = OnlineWriter(client, PROJECT, tombstones.of_entity)
    for view, generation, indexed in (("one", 0, False), ("one", 3, False), ("of items", 0, True)):
        target = Target(view, owned=True, indexed=indexed, generations=(generation,))
        writer.declare(Schema(view, SCHEMA.columns), target)
        parts = (("a",), ("b",)) if indexed else ((),)
        entities = [entity_text([who, *more]) for who in customers for more in parts]
        writer.write(target, entities, [row(1)] * len(entities))


def test_every_row_goes_in_views_generations_and_composite_views_and_none_comes_back(settings: Settings) -> None:
    known = Tombstones(settings)
    with connect(settings) as client:
        written(client, known, [CANARY, "other"])
        found = [(each.path, each.rows) for each in online.find(client, PROJECT, [CANARY, "its old key"])]
        assert found == [("shop/one/0", 1), ("shop/one/3", 1), ("shop/many", 2)]
        assert set(online.owners(client, PROJECT)) == {entity_text([CANARY]), "other"}
        places = online.erase(client, PROJECT, [CANARY, "its old key"], known, datetime.now(UTC))
        assert [(each.path, each.rows) for each in places] == found
        assert online.find(client, PROJECT, [CANARY]) == []
        written(client, known, [CANARY, "other"])
        assert online.find(client, PROJECT, [CANARY]) == []
        assert sum(each.rows for each in online.find(client, PROJECT, ["other"])) == 4
        assert online.remove(client, PROJECT, ["other"], known)[0].rows == 4
        written(client, known, ["other"])
        assert online.find(client, PROJECT, ["other"]), "what is only removed may come again"


def test_the_servers_files_are_written_anew(settings: Settings) -> None:
    known = Tombstones(settings)
    with connect(settings) as client:
        client.config_set("rdbcompression", "no")
        client.config_set("slowlog-log-slower-than", 0)
        written(client, known, [CANARY, "other"])
        assert any(entity_text([CANARY]).encode() in path.read_bytes() for path in settings.valkey.rglob("*.aof"))
        online.erase(client, PROJECT, [CANARY], known, datetime.now(UTC))
        client.config_set("slowlog-log-slower-than", -1)
        assert online.forget_written(client) == []
        assert not any(entity_text([CANARY]).encode() in repr(each).encode() for each in client.slowlog_get(1000))
        held = [path for path in settings.valkey.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]
        assert held == []


def test_snapshots_are_written_anew_where_the_server_keeps_them(settings: Settings) -> None:
    known = Tombstones(settings)
    with connect(settings) as client:
        client.config_set("rdbcompression", "no")
        client.config_set("save", "3600 1000000")
        written(client, known, [CANARY])
        client.save()
        dump = settings.valkey / "dump.rdb"
        assert b"canary" in dump.read_bytes()
        online.erase(client, PROJECT, [CANARY], known, datetime.now(UTC))
        assert online.forget_written(client) == []
        assert b"canary" not in dump.read_bytes()


def test_a_server_that_refuses_is_told_of(settings: Settings) -> None:
    with connect(settings) as client:
        client.execute_command("ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all", "-bgrewriteaof")
        client.execute_command("AUTH", "guest", "guest")
        (problem,) = online.forget_written(client)
        assert "BGREWRITEAOF" in problem


def test_one_customer_among_many_is_erased_in_no_time(settings: Settings) -> None:
    """The bench measures it at a million customers; here: the time does not follow the number of keys."""
    known = Tombstones(settings)
    with connect(settings) as client:
        written(client, known, ["few"])
        few = seconds(client, known, "few")
        client.eval("for i = 1, 200000 do redis.call('SET', 'shop/one/0/{' .. i % 256 .. '}c' .. i, 'x') end", 0)
        written(client, known, ["many"])
        assert seconds(client, known, "many") < few + 0.05


def seconds(client: Any, known: Tombstones, key: str) -> float:
    started = time.perf_counter()
    assert online.erase(client, PROJECT, [key], known, datetime.now(UTC))
    return time.perf_counter() - started


def test_rows_that_expired_are_not_counted_and_their_index_goes_with_the_last(settings: Settings) -> None:
    with connect(settings) as client:
        writer = OnlineWriter(client, PROJECT, Tombstones(settings).of_entity)
        target = Target("of items", owned=True, indexed=True, generations=(0,))
        now = int(time.time() * 1000)
        for who, ends in (("brief", (300, 900)), ("for good", (300, 0))):
            entities = [entity_text([who, each]) for each in ("a", "b")]
            forget = np.array([now + each if each else 0 for each in ends], dtype=np.int64)
            writer.write(target, entities, [row(1), row(1)], forget)
        assert [each.rows for each in online.find(client, PROJECT, ["brief"])] == [2]
        time.sleep(0.5)
        assert [each.rows for each in online.find(client, PROJECT, ["brief"])] == [1]
        time.sleep(0.6)
        assert online.find(client, PROJECT, ["brief"]) == []
        assert not client.exists(of_key(PROJECT, "brief")), "the index holds no id for longer than the rows"
        assert client.ttl(of_key(PROJECT, "for good")) == -1
        assert [each.rows for each in online.find(client, PROJECT, ["for good"])] == [1]


def test_a_rewrite_that_had_begun_before_does_not_count(settings: Settings) -> None:
    with connect(settings) as client:
        client.config_set("rdb-key-save-delay", 3000)  # µs a key: the one under way takes a while
        client.config_set("slowlog-log-slower-than", 0)
        client.eval("for i = 1, 300 do redis.call('SET', 'k' .. i, 'x') end", 0)
        client.bgrewriteaof()
        assert client.info("persistence")["aof_rewrite_in_progress"]
        assert online.forget_written(client) == []
        asked = sum(each["command"].upper() == b"BGREWRITEAOF" for each in client.slowlog_get(10_000))
        assert asked == 1, "since the slow log was emptied, at the beginning"


def test_replicas_whose_files_are_their_own_are_told_of(settings: Settings, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with connect(settings) as client, running(Settings(home=tmp_path / "copy")) as other, connect(other) as copy:
        client.config_set("port", port)
        copy.replicaof("127.0.0.1", port)
        until = time.monotonic() + 20
        while not client.info("replication")["connected_slaves"]:
            assert time.monotonic() < until
            time.sleep(0.02)
        (problem,) = online.forget_written(client)
        assert "replicas (1)" in problem and "on each" in problem
        copy.replicaof("NO", "ONE")
