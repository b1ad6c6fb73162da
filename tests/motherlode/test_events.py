"""Events: what is one, and how they come into the stream: once each, in an order that no clock disturbs."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from redis.crc import key_slot

from motherlode import redis_server
from motherlode.errors import DataError
from motherlode.events import (
    BODY,
    SEEN_S,
    Appender,
    BacklogError,
    Event,
    consumer_key,
    decode,
    encode,
    entry_id,
    position_of,
    seen_key,
    stream_key,
)
from motherlode.settings import Settings

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with redis_server.running(Settings(home=tmp_path_factory.mktemp("events"))) as bound:
        yield bound


@pytest.fixture
def client(server: Settings) -> Iterator[Any]:
    with redis_server.connect(server) as connected:
        connected.flushall()
        yield connected


def events(*numbers: int) -> list[Event]:
    return [Event(event_id=f"e{number}", customer_id=number) for number in numbers]


def waiting(client: Any) -> list[tuple[int, Event]]:
    entries: Any = client.xrange(stream_key("shop"))
    return [(position_of(id_), decode(fields[BODY])) for id_, fields in entries]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"event_id": "a"}', "neither `customer_id` nor `visitor_id`"),
        (b'{"customer_id": 1}', "missing required field `event_id`"),
        (b'{"event_id": "", "customer_id": 1}', "length >= 1"),
        (b'{"event_id": "%s", "customer_id": 1}' % (b"x" * 65), "length <= 64"),
        (b'{"event_id": "a", "customer_id": true}', "customer_id"),
        (b'{"event_id": "a", "customer_id": 1, "surprise": 1}', "unknown field `surprise`"),
        (b'{"event_id": "a", "customer_id": 1, "event_timestamp": "2026-01-01T00:00:00"}', "timezone"),
        (b'{"event_id": "a", "customer_id": 1, "event_timestamp": "1969-12-31T23:59:59Z"}', "before 1970"),
        (b'{"event_id": "a", "customer_id": 1, "event_type": ""}', "event_type"),
        (b'{"event_id": "a", "customer_id": " \\t"}', "`customer_id` is blank"),
    ],
)
def test_what_is_no_event_is_refused_naming_what_is_wrong(body: bytes, problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=problem):
        decode(body)


@pytest.mark.parametrize("sent", [" 7 ", "7\t", "7.0", " 7.0\n", "\u00a07", "7", 7])
def test_an_id_is_the_same_however_it_is_spelled(sent: str | int) -> None:
    event = Event(event_id="a", customer_id=sent, item_id=sent, visitor_id=str(sent), session_id=str(sent))
    assert (event.customer, event.item, event.visitor_id, event.session_id) == ("7", "7", "7", "7")
    assert decode(encode(event, datetime.now(UTC))).customer == "7"


@pytest.mark.parametrize("name", ["customer_id", "visitor_id", "referrer"])
def test_a_text_that_is_cut_through_a_character_is_refused(name: str) -> None:
    fields: dict[str, Any] = {"event_id": "a", "visitor_id": "v", name: "é\ud83d"}
    with pytest.raises(ValueError, match=f"`{name}` holds half a character"):
        Event(**fields)
    whole = Event(event_id="a", customer_id="é\U0001f426")
    assert decode(encode(whole, NOW)).customer == "é\U0001f426"


def test_an_id_that_only_looks_like_a_number_stays_as_it_is() -> None:
    for text in ("1.0.0", "7.00", "a7.0", "0007", "1e5", "7.", "7 0"):
        assert Event(event_id="a", customer_id=text).customer == text


def test_an_event_waits_with_its_time_in_utc_and_never_one_ahead_of_ours() -> None:
    there = timezone(timedelta(hours=2))
    said = Event(event_id="a", customer_id=7, item_id=8, event_timestamp=NOW.astimezone(there))
    back = decode(encode(said, NOW + timedelta(days=1)))
    assert (back.customer, back.item, back.at) == ("7", "8", NOW)
    assert back.at_us == 1772600767890123
    assert decode(encode(Event(event_id="a", visitor_id="v"), NOW)).at == NOW, "left out: when it came in"
    ahead = msgspec.structs.replace(said, event_timestamp=NOW + timedelta(seconds=59))
    assert decode(encode(ahead, NOW)).at == NOW, "a clock a little ahead is not believed"
    with pytest.raises(DataError, match=r"'a'.*future"):
        encode(msgspec.structs.replace(said, event_timestamp=NOW + timedelta(seconds=61)), NOW)


def test_an_id_that_comes_again_is_one_event_in_a_batch_and_between_batches(client: Any) -> None:
    appender = Appender(client, "shop")
    first = appender.append_now(events(1, 2, 2, 3))
    assert (first.accepted, first.duplicates, first.backlog) == (3, 1, 3)
    again = appender.append_now(events(3, 4, 1))
    assert (again.accepted, again.duplicates, again.backlog) == (1, 2, 4)
    assert [event.event_id for _, event in waiting(client)] == ["e1", "e2", "e3", "e4"]
    assert first.position < again.position == waiting(client)[-1][0]


def test_an_id_of_the_window_before_is_known_and_forgotten_later(client: Any) -> None:
    appender = Appender(client, "shop")
    appender.append_now(events(1))
    (key,) = client.keys("shop/@seen/*")
    window = int(key.decode().rpartition("}")[2])
    client.rename(key, seen_key("shop", window - 1))
    assert appender.append_now(events(1)).duplicates == 1
    assert SEEN_S < client.ttl(seen_key("shop", window - 1)) <= 2 * SEEN_S


def test_positions_are_the_servers_time_and_grow_whatever_its_clock_does(client: Any) -> None:
    appender = Appender(client, "shop")
    before = datetime.now(UTC).timestamp() * 1e6
    first = appender.append_now(events(*range(500)))
    assert before - 1e6 < first.position < datetime.now(UTC).timestamp() * 1e6 + 1e6
    positions = [position for position, _ in waiting(client)]
    assert len(set(positions)) == 500
    assert positions == sorted(positions)
    tomorrow = first.position + 86_400_000_000  # as if the clock had been set back since
    client.execute_command("XSETID", stream_key("shop"), entry_id(tomorrow))
    assert appender.append_now(events(600, 601)).position == tomorrow + 2
    client.delete(*(id_ for id_, _ in client.xrange(stream_key("shop"))))
    client.xtrim(stream_key("shop"), maxlen=0)
    assert appender.append_now(events(700)).position == tomorrow + 3, "of an empty stream too"


def test_too_many_are_refused_as_a_whole_while_what_was_taken_may_be_sent_again(client: Any) -> None:
    appender = Appender(client, "shop", backlog=3)
    appender.append_now(events(1, 2))
    with pytest.raises(BacklogError, match=r"2 events wait.*2 more.*above 3"):
        appender.append_now(events(3, 4))
    assert [event.event_id for _, event in waiting(client)] == ["e1", "e2"]
    assert appender.append_now(events(1, 2)).duplicates == 2
    assert appender.append_now(events(2, 3)).accepted == 1
    client.xtrim(stream_key("shop"), maxlen=0)
    assert appender.append_now(events(3, 4)).accepted == 1, "the id of a refused event is not taken for known"


def test_the_keys_of_a_project_lie_in_one_slot_of_a_cluster() -> None:
    keys = [stream_key("shop"), seen_key("shop", 1), seen_key("shop", 2), consumer_key("shop")]
    assert len({key_slot(key.encode()) for key in keys}) == 1


def test_appending_on_an_asyncio_connection_is_the_same(server: Settings, client: Any) -> None:
    async def run() -> None:
        connected = redis_server.connect_async(server)
        try:
            assert (await Appender(connected, "shop").append(events(1, 1))).accepted == 1
        finally:
            await connected.aclose()

    asyncio.run(run())
    assert len(waiting(client)) == 1
