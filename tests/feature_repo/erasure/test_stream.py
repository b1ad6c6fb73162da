"""Customers out of the stream of events, on a real Valkey: no byte of theirs is left; others go on as they were."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from feature_repo.erasure import stream
from motherlode.events import Appender, Event, decode, stream_key
from motherlode.online.tombstones import Tombstone, Tombstones
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


@pytest.fixture
def nobody(tmp_path: Path) -> Tombstones:
    """The ledger of a home in which nobody was erased yet."""
    return Tombstones(Settings(home=tmp_path))


def append(client: Any, *events: Event) -> None:
    Appender(client, PROJECT).append_now(events)


def event(number: int, customer: str | int | None, visitor: str | None = None) -> Event:
    return Event(event_id=f"e{number}", customer_id=customer, visitor_id=visitor)


def customers(client: Any) -> list[str | None]:
    return [decode(fields[b"event"]).customer for _, fields in client.xrange(STREAM)]


def test_entries_go_by_customer_and_by_the_visitor_that_was_one_of_them(client: Any, nobody: Tombstones) -> None:
    append(
        client,
        event(1, "canary", "v1"),
        event(2, None, "v1"),
        event(3, 7, "v3"),
        event(4, None, "v2"),
        event(5, "canary's friend"),
    )
    assert [(each.name, each.path, each.rows) for each in stream.find(client, PROJECT, ["canary"], (), nobody)] == [
        ("stream", STREAM, 2)
    ]
    assert [each.rows for each in stream.erase(client, PROJECT, ["canary"], (), nobody)] == [2]
    assert customers(client) == ["7", None, "canary's friend"]
    assert [each.rows for each in stream.erase(client, PROJECT, ["7"], (), nobody)] == [1], (
        "an id is a number or its text"
    )
    assert stream.erase(client, PROJECT, ["nobody"], (), nobody) == []


def test_groups_go_on_where_they_were(client: Any, nobody: Tombstones) -> None:
    append(client, *(event(number, "canary" if number % 2 else "other") for number in range(10)))
    client.xgroup_create(STREAM, "g", id="0")
    client.xgroup_create(STREAM, "untouched", id="0")
    taken = client.xreadgroup("g", "c", {STREAM: ">"}, count=5)[0][1]
    client.xack(STREAM, "g", taken[0][0])
    before = client.xinfo_stream(STREAM)
    stream.erase(client, PROJECT, ["canary"], (), nobody)
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


def test_not_a_byte_is_left_of_what_was_deleted(client: Any, nobody: Tombstones) -> None:
    """XDEL leaves an entry's bytes in its node: what the consumer has landed and deleted, too."""
    append(client, *(event(number, "canary" if number == 3 else "other") for number in range(6)))
    (landed,) = (id_ for id_, fields in client.xrange(STREAM) if b"canary" in fields[b"event"])
    client.xdel(STREAM, landed)
    assert b"canary" in client.dump(STREAM)
    assert stream.erase(client, PROJECT, ["canary"], (), nobody) == []
    assert b"canary" not in client.dump(STREAM)
    assert b"other" in client.dump(STREAM)


def test_a_stream_without_entries_keeps_its_place(client: Any, nobody: Tombstones) -> None:
    append(client, event(1, "canary"))
    client.xgroup_create(STREAM, "g", id="0")
    last = client.xinfo_stream(STREAM)["last-generated-id"]
    stream.erase(client, PROJECT, ["canary"], (), nobody)
    assert client.xlen(STREAM) == 0
    assert client.xinfo_stream(STREAM)["last-generated-id"] == last
    assert [group["name"] for group in client.xinfo_groups(STREAM)] == [b"g"]
    client.delete(STREAM)
    assert stream.erase(client, PROJECT, ["canary"], (), nobody) == []
    assert not client.exists(STREAM), "where there is no stream, none is made"


def test_what_is_no_event_stays(client: Any, nobody: Tombstones) -> None:
    client.xadd(STREAM, {"event": b"{not json", "more": b"1"})
    append(client, event(1, "canary"))
    stream.erase(client, PROJECT, ["canary"], (), nobody)
    ((_, fields),) = client.xrange(STREAM)
    assert fields == {b"event": b"{not json", b"more": b"1"}


def test_a_reader_that_waits_goes_on_waiting(server: Settings, client: Any, nobody: Tombstones) -> None:
    append(client, event(1, "canary"))
    client.xgroup_create(STREAM, "g", id="$")
    with connect(server) as other:
        other.connection_pool.connection_kwargs["socket_timeout"] = 10
        connection = other.connection_pool.get_connection()
        connection.send_command("XREADGROUP", "GROUP", "g", "c", "BLOCK", 5000, "STREAMS", STREAM, ">")
        while not any(each["cmd"].startswith("xreadgroup") for each in client.client_list()):
            pass
        stream.erase(client, PROJECT, ["canary"], (), nobody)
        append(client, event(2, "other"))
        answer = connection.read_response()
        other.connection_pool.release(connection)
    assert b"other" in repr(answer).encode()


def test_entries_of_nobody_go_by_visitors_that_the_warehouse_or_the_ledger_knows(
    client: Any, nobody: Tombstones
) -> None:
    """Of nobody who names the customer in the stream."""
    digest = nobody.digest("visitor", "erased cookie")
    nobody.add([Tombstone(kind="visitor", digest=digest, at=datetime.now(UTC), certificate="c")])
    append(client, event(1, None, "erased cookie"), event(2, None, "their cookie"), event(3, None, "another's"))
    append(client, event(4, "another", "erased cookie"))
    assert [each.rows for each in stream.find(client, PROJECT, ["canary"], ["their cookie"], nobody)] == [2]
    assert [each.rows for each in stream.erase(client, PROJECT, ["canary"], ["their cookie"], nobody)] == [2]
    assert b"their cookie" not in client.dump(STREAM)
    left = [decode(fields[b"event"]).event_id for _, fields in client.xrange(STREAM)]
    assert left == ["e3", "e4"]


def test_others_events_that_name_them_lose_the_word(client: Any, nobody: Tombstones) -> None:
    names_them = Event(event_id="e1", customer_id="other", referrer="https://shop/canary-47", search_terms="canary-47!")
    append(client, names_them, event(2, "other"))
    before = client.xinfo_stream(STREAM)["last-generated-id"]
    assert [each.rows for each in stream.find(client, PROJECT, ["canary-47"], (), nobody)] == [1]
    assert [each.rows for each in stream.erase(client, PROJECT, ["canary-47"], (), nobody)] == [1]
    first, second = (decode(fields[b"event"]) for _, fields in client.xrange(STREAM))
    assert (first.referrer, first.search_terms) == ("https://shop/(erased)", "(erased)!")
    assert (first.customer, first.at.tzinfo, second.event_id) == ("other", UTC, "e2")
    assert client.xinfo_stream(STREAM)["last-generated-id"] == before
    assert b"canary-47" not in client.dump(STREAM)


def test_an_error_in_between_leaves_the_stream_as_it_was(client: Any, nobody: Tombstones) -> None:
    append(client, event(1, "canary"), event(2, "other"))
    client.xgroup_create(STREAM, "g", id="0")
    client.xreadgroup("g", "c", {STREAM: ">"})
    before = client.dump(STREAM)
    client.execute_command("ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all", "-xclaim")
    client.execute_command("AUTH", "guest", "guest")
    with pytest.raises(redis.ResponseError, match="xclaim"):
        stream.erase(client, PROJECT, ["canary"], (), nobody)
    assert client.dump(STREAM) == before
    client.execute_command("ACL", "SETUSER", "guest", "+xclaim")
    assert [each.rows for each in stream.erase(client, PROJECT, ["canary"], (), nobody)] == [1]
    assert client.keys("*{shop/@events}") == [], "and nothing stays beside it"


def test_a_stream_from_which_nothing_was_deleted_is_not_written_anew(client: Any, nobody: Tombstones) -> None:
    append(client, event(1, "other"))
    calls = client.info("commandstats").get("cmdstat_rename", {}).get("calls", 0)
    assert stream.erase(client, PROJECT, ["canary"], (), nobody) == []
    assert client.info("commandstats").get("cmdstat_rename", {}).get("calls", 0) == calls


def test_a_device_that_another_customer_uses_stays_theirs(client: Any, nobody: Tombstones) -> None:
    append(client, event(1, "canary", "tablet"), event(2, "other", "tablet"), event(3, None, "tablet"))
    assert [each.rows for each in stream.erase(client, PROJECT, ["canary"], (), nobody)] == [1]
    assert [decode(fields[b"event"]).event_id for _, fields in client.xrange(STREAM)] == ["e2", "e3"]


@pytest.mark.parametrize(
    ("sent", "erased"), [(" canary ", "canary"), ("canary\t", "canary"), ("90.0", "90"), (90, "90")]
)
def test_an_id_that_is_spelled_otherwise_is_the_same(
    client: Any, nobody: Tombstones, sent: str | int, erased: str
) -> None:
    append(client, event(1, sent))
    assert [each.rows for each in stream.erase(client, PROJECT, [erased], (), nobody)] == [1]
