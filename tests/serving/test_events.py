"""POST /v1/events: from this machine alone, all or none, and every wrong event by its path."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from motherlode import access, events, names, packed
from motherlode.api import MAX_BODY, MAX_EVENTS
from motherlode.events import LIVE, Event, decode, stream_key
from motherlode.online.tombstones import Kind, Tombstone, Tombstones
from motherlode.online.writer import OnlineWriter, Target
from motherlode.packed import Values
from serving.http import build

if TYPE_CHECKING:
    from tests.serving.conftest import Company

Client = TestClient[Litestar]
ONE = {"event_id": "a", "customer_id": 1}


class From:
    """An application that is called from an address."""

    def __init__(self, application: Litestar, address: str | None) -> None:
        self.application, self.address = application, address

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["client"] = None if self.address is None else (self.address, 50000)
        await self.application(scope, receive, send)


def asked(company: "Company", address: str | None = "127.0.0.1", **settings: Any) -> Client:
    made = build(company.settings.__class__(**_fields(company) | settings))
    return TestClient(From(made, address))  # type: ignore[arg-type]


def _fields(company: "Company") -> dict[str, Any]:
    return {name: getattr(company.settings, name) for name in ("home", "redis_url", "redis_budget_s")}


@pytest.fixture
def client(company: "Company") -> Iterator[Client]:
    with asked(company) as made:
        yield made


def waiting(company: "Company") -> list[Event]:
    entries: Any = company.client.xrange(stream_key(company.settings.project))
    return [decode(fields[events.BODY]) for _, fields in entries]


def test_events_are_taken_and_wait_in_the_stream(client: Client, company: "Company") -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    sent = [
        {"event_id": "a", "customer_id": 7, "event_type": "cart", "item_id": 99, "event_timestamp": at.isoformat()},
        {"event_id": "b", "visitor_id": "cookie", "search_terms": "düster", "page": "/s", "channel": "app"},
        {"event_id": "a", "customer_id": 7},
    ]
    answer = client.post("/v1/events", json={"events": sent})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "duplicates": 1})
    first, second = waiting(company)
    assert (first.customer, first.event_type, first.item, first.at) == ("7", "cart", "99", at)
    assert (second.customer, second.visitor_id, second.search_terms) == (None, "cookie", "düster")
    assert abs(second.at - datetime.now(UTC)) < timedelta(seconds=30)
    again = client.post("/v1/events", json={"events": sent}).json()
    assert (again, len(waiting(company))) == ({"accepted": 0, "duplicates": 3}, 2)
    assert client.post("/v1/events", json={"events": []}).json() == {"accepted": 0, "duplicates": 0}


AHEAD = (datetime.now(UTC) + timedelta(days=1)).isoformat()
WRONG = [
    ({}, 422, "$"),
    ({"events": 1}, 422, "$.events"),
    ({"events": [], "surprise": 1}, 422, "$"),
    ({"events": [ONE, {"event_id": "b"}]}, 422, "$.events[1]"),
    ({"events": [{"customer_id": 1}]}, 422, "$.events[0]"),
    ({"events": [ONE | {"surprise": 1}]}, 422, "$.events[0]"),
    ({"events": [ONE | {"customer_id": 1.5}]}, 422, "$.events[0].customer_id"),
    ({"events": [ONE | {"event_timestamp": "yesterday"}]}, 422, "$.events[0].event_timestamp"),
    ({"events": [ONE | {"event_timestamp": "2026-01-01T00:00:00"}]}, 422, "$.events[0].event_timestamp"),
    ({"events": [ONE, ONE | {"event_timestamp": AHEAD}]}, 422, "$.events[1].event_timestamp"),
    ({"events": [ONE | {"page": "x" * 2049}]}, 422, "$.events[0].page"),
    ({"events": [ONE] * (MAX_EVENTS + 1)}, 413, "$.events"),
]


@pytest.mark.parametrize(("body", "status", "where"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_event_is_refused_by_its_path_and_none_of_the_others_is_taken(
    client: Client, company: "Company", body: Any, status: int, where: str
) -> None:
    response = client.post("/v1/events", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["path"]) == (status, where), error
    assert error["message"]
    assert error["remedy"]
    assert waiting(company) == []


@pytest.mark.parametrize("cut", [r"K\ud83d", r"\udc26 and much more of it", r"\uD83DK"])
def test_a_text_that_is_cut_through_a_character_is_refused_by_its_path(
    client: Client, company: "Company", cut: str
) -> None:
    body = r'{"events": [{"event_id": "a", "customer_id": "\ud83d\udc26"}, {"event_id": "b", "customer_id": "CUT"}]}'
    body = body.replace("CUT", cut)
    response = client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    error = response.json()["error"]
    assert error["path"] == "$.events[1].customer_id"
    assert "surrogate" in error["message"]
    assert waiting(company) == []


def test_a_body_beyond_the_limit_is_refused_unread(client: Client) -> None:
    assert client.post("/v1/events", content=b" " * (MAX_BODY + 1)).status_code == 413
    assert client.post("/v1/events", content=b"{").status_code == 400


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", None])
def test_this_machine_is_answered(company: "Company", address: str | None) -> None:
    with asked(company, address) as client:
        assert client.post("/v1/events", json={"events": [ONE]}).status_code == 202


@pytest.mark.parametrize(
    ("address", "host", "headers"),
    [
        ("192.0.2.7", "127.0.0.1", {}),
        ("2001:db8::7", "127.0.0.1", {}),
        ("testclient", "127.0.0.1", {}),
        ("127.0.0.1", "0.0.0.0", {}),
        ("127.0.0.1", "192.0.2.1", {}),
        ("127.0.0.1", "127.0.0.1", {"Origin": "https://example.org"}),
        ("127.0.0.1", "127.0.0.1", {"Origin": "null"}),
    ],
)
def test_without_the_lock_anything_from_elsewhere_is_refused(
    company: "Company", address: str, host: str, headers: dict[str, str]
) -> None:
    with asked(company, address, host=host, lock="off") as client:
        response = client.post("/v1/events", json={"events": [ONE]}, headers=headers)
    assert (response.status_code, response.json()["error"]["path"]) == (403, "/v1/events")
    assert waiting(company) == []


def test_with_the_lock_a_key_is_what_counts_and_not_the_place(company: "Company") -> None:
    _, token = access.add(company.settings, "shop", ["events"])
    headers = {"Authorization": f"Bearer {token}", "Origin": "https://shop.example"}
    with asked(company, "192.0.2.7", host="0.0.0.0") as client:
        assert client.post("/v1/events", json={"events": [ONE]}).status_code == 401
        assert client.post("/v1/events", json={"events": [ONE]}, headers=headers).status_code == 202
    assert len(waiting(company)) == 1


def test_a_page_of_this_machine_may_send(client: Client) -> None:
    sent = client.post("/v1/events", json={"events": [ONE]}, headers={"Origin": "http://localhost:8000"})
    assert sent.status_code == 202


FILL = "for i = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], i .. '-0', 'event', '{}') end"


def test_while_the_consumer_lags_events_are_refused_and_told_when_to_come_again(
    client: Client, company: "Company"
) -> None:
    key = stream_key(company.settings.project)
    company.client.eval(FILL, 1, key, events.BACKLOG - 2)
    body = {"events": [ONE, ONE | {"event_id": "b"}]}
    assert client.post("/v1/events", json=body).status_code == 202
    refused = client.post("/v1/events", json={"events": [ONE | {"event_id": "c"}]})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert f"{events.BACKLOG} events wait" in refused.json()["error"]["message"]
    assert client.post("/v1/events", json=body).json() == {"accepted": 0, "duplicates": 2}
    assert company.client.xlen(key) == events.BACKLOG


def test_events_of_who_was_erased_are_taken_and_go_nowhere(client: Client, company: "Company") -> None:
    tombstones, now = Tombstones(company.settings), datetime.now(UTC)
    said: list[tuple[Kind, str]] = [("outside", "7"), ("visitor", "cookie")]
    tombstones.add(
        [Tombstone(kind=kind, digest=tombstones.digest(kind, text), at=now, certificate="c") for kind, text in said]
    )
    sent = [
        {"event_id": "a", "customer_id": 7},
        {"event_id": "b", "customer_id": 8, "visitor_id": "cookie"},
        {"event_id": "c", "customer_id": 8, "visitor_id": "other"},
        *({"event_id": f"d{i}", "customer_id": text} for i, text in enumerate((" 7 ", "7\t", "7.0"))),
        {"event_id": "e", "customer_id": 8, "visitor_id": " cookie"},
    ]
    assert client.post("/v1/events", json={"events": sent}).json() == {"accepted": 7, "duplicates": 0}
    assert [event.event_id for event in waiting(company)] == ["c"]


def test_without_redis_the_sender_is_told_to_send_again(client: Client, company: "Company") -> None:
    with company.hanging():
        refused = client.post("/v1/events", json={"events": [ONE]})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "within 0.25 s" in refused.json()["error"]["message"]
    again = client.post("/v1/events", json={"events": [ONE]}).json()
    assert again["accepted"] + again["duplicates"] == 1
    assert len(waiting(company)) == 1


def test_the_portrait_shows_what_a_customer_did_live_and_nothing_of_others(client: Client, company: "Company") -> None:
    values = {column.name: Values(_one(column.fixed), np.array([False])) for column in LIVE.columns}
    values["views"] = Values(np.array([3]), np.array([True]))
    at = np.array([1_700_000_000_000_000])
    writer = OnlineWriter(company.client, company.settings.project, str)
    target = Target(names.LIVE, owned=True)
    writer.declare(LIVE, target)
    writer.write(target, ["1"], packed.encode(LIVE, values, at, at))
    shown = client.get("/v1/customers/1").json()["features"][names.LIVE]
    assert (shown["status"], shown["values"]["views"], shown["values"]["latest_items"]) == ("present", 3, None)
    assert names.LIVE not in client.get("/v1/customers/2").json()["features"]


def _one(fixed: bool) -> Any:
    return np.zeros(1, dtype=np.int64) if fixed else np.array([None], dtype=object)
