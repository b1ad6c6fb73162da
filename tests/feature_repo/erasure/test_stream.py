"""Customers out of the stream of events, on a real Valkey: no byte of theirs is left; others go on as they were."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feature_repo.erasure import stream
from motherlode.events import Appender, Event, decode, stream_key
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

PROJECT = "shop"
STREAM = stream_key(PROJECT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(Settings(home=tmp_path_factory.mktemp("home"), project=PROJECT)) as settings:
        yield settings


@pytest.fixture
def client(server: Settings) -> Iterator[Any]:
    with connect(server) as found:
        found.flushall()
        found.config_set("rdbcompression", "no")
        yield found


def append(client: Any, *events: Event) -> None:
    Appender(client, PROJECT).append_now(events)


def event(number: int, customer: str | int | None, visitor: str | None = None) -> Event:
    return Event(event_id=f"e{number}", customer_id=customer, visitor_id=visitor)


def customers(client: Any) -> list[str | None]:
    return [decode(fields[b"event"]).customer for _, fields in client.xrange(STREAM)]


def test_entries_go_by_customer_and_by_the_visitor_that_was_one_of_them(client: Any) -> None:
    append(
        client,
        event(1, "canary", "v1"),
        event(2, None, "v1"),
        event(3, 7, "v1"),
        event(4, None, "v2"),
        event(5, "canary's friend"),
    )
    assert [(each.name, each.path, each.rows) for each in stream.find(client, PROJECT, ["canary"])] == [
        ("stream", STREAM, 2)
    ]
    assert [each.rows for each in stream.erase(client, PROJECT, ["canary"])] == [2]
    assert customers(client) == ["7", None, "canary's friend"]
    assert [each.rows for each in stream.erase(client, PROJECT, ["7"])] == [1], "an id is a number or its text"
    assert stream.erase(client, PROJECT, ["nobody"]) == []


def test_groups_go_on_where_they_were(client: Any) -> None:
    append(client, *(event(number, "canary" if number % 2 else "other") for number in range(10)))
    client.xgroup_create(STREAM, "g", id="0")
    client.xgroup_create(STREAM, "untouched", id="0")
    taken = client.xreadgroup("g", "c", {STREAM: ">"}, count=5)[0][1]
    client.xack(STREAM, "g", taken[0][0])
    before = client.xinfo_stream(STREAM)
    stream.erase(client, PROJECT, ["canary"])
    after = client.xinfo_stream(STREAM)
    assert after["last-generated-id"] == before["last-generated-id"]
    assert after["length"] == 5
    waiting = client.xpending_range(STREAM, "g", "-", "+", 10)
    assert [each["message_id"] for each in waiting] == [taken[2][0], taken[4][0]]
    assert {each["consumer"] for each in waiting} == {b"c"}
    ((_, rest),) = client.xreadgroup("g", "c", {STREAM: ">"})
    assert [decode(fields[b"event"]).event_id for _, fields in rest] == ["e6", "e8"]
    ((_, whole),) = client.xreadgroup("untouched", "c", {STREAM: ">"})
    assert len(whole) == 5
    append(client, event(99, "other"))
    assert client.xrange(STREAM)[-1][0] > before["last-generated-id"]


def test_not_a_byte_is_left_of_what_was_deleted(client: Any) -> None:
    """XDEL leaves an entry's bytes in its node: what the consumer has landed and deleted, too."""
    append(client, *(event(number, "canary" if number == 3 else "other") for number in range(6)))
    (landed,) = (id_ for id_, fields in client.xrange(STREAM) if b"canary" in fields[b"event"])
    client.xdel(STREAM, landed)
    assert b"canary" in client.dump(STREAM)
    assert stream.erase(client, PROJECT, ["canary"]) == []
    assert b"canary" not in client.dump(STREAM)
    assert b"other" in client.dump(STREAM)


def test_a_stream_without_entries_keeps_its_place(client: Any) -> None:
    append(client, event(1, "canary"))
    client.xgroup_create(STREAM, "g", id="0")
    last = client.xinfo_stream(STREAM)["last-generated-id"]
    stream.erase(client, PROJECT, ["canary"])
    assert client.xlen(STREAM) == 0
    assert client.xinfo_stream(STREAM)["last-generated-id"] == last
    assert [group["name"] for group in client.xinfo_groups(STREAM)] == [b"g"]
    client.delete(STREAM)
    assert stream.erase(client, PROJECT, ["canary"]) == []
    assert not client.exists(STREAM), "where there is no stream, none is made"


def test_what_is_no_event_stays(client: Any) -> None:
    client.xadd(STREAM, {"event": b"{not json", "more": b"1"})
    append(client, event(1, "canary"))
    stream.erase(client, PROJECT, ["canary"])
    ((_, fields),) = client.xrange(STREAM)
    assert fields == {b"event": b"{not json", b"more": b"1"}


def test_a_reader_that_waits_goes_on_waiting(server: Settings, client: Any, tmp_path: Path) -> None:
    append(client, event(1, "canary"))
    client.xgroup_create(STREAM, "g", id="$")
    with connect(server) as other:
        other.connection_pool.connection_kwargs["socket_timeout"] = 10
        connection = other.connection_pool.get_connection()
        connection.send_command("XREADGROUP", "GROUP", "g", "c", "BLOCK", 5000, "STREAMS", STREAM, ">")
        while not any(each["cmd"].startswith("xreadgroup") for each in client.client_list()):
            pass
        stream.erase(client, PROJECT, ["canary"])
        append(client, event(2, "other"))
        answer = connection.read_response()
        other.connection_pool.release(connection)
    assert b"other" in repr(answer).encode()
