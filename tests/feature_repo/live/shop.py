"""A project with an embedded Valkey, events, and what they come to by a reference that shares nothing with the code."""

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from feature_repo.live import consumer
from feature_repo.live.consumer import Progress
from feature_repo.warehouse import events as segments
from motherlode import names
from motherlode.events import LIVE, Appender, Event
from motherlode.online import live as generations
from motherlode.online.keys import entity_text, row_key
from motherlode.packed import Status, created_us_of, decode
from motherlode.settings import Settings

KINDS = ("view", "search", "cart", "purchase", "click", "wishlist")


@dataclass
class Shop:
    """A project and its server.

    Attributes:
        settings: bound to it.
        client: a connection.
    """

    settings: Settings
    client: Any

    def send(self, events: Sequence[Event]) -> None:
        Appender(self.client, self.settings.project).append_now(events)

    def drain(self, **options: Any) -> Progress:
        """Consume what there is."""
        return consumer.run(self.settings, threading.Event(), once=True, **options)

    def rows(self) -> dict[str, bytes]:
        """Every live row, by its customer."""
        return rows(self.client, self.settings)

    def landed(self) -> list[dict[str, Any]]:
        """Every landed event, in the order of positions."""
        return landed(self.settings)


def rows(client: Any, settings: Settings) -> dict[str, bytes]:
    number = generations.read(client, settings.project).generation(names.LIVE)
    found = {}
    for key in client.scan_iter(match=f"{settings.project}/{names.LIVE}/{number}/*"):
        found[key.decode().partition("}")[2]] = client.get(key)
    return found


def landed(settings: Settings) -> list[dict[str, Any]]:
    return [row for table in segments.read(settings) for row in table.to_pylist()]


def event(number: int, customer: int | str | None, **fields: Any) -> Event:
    return Event(event_id=f"e{number}", customer_id=customer, **fields)


def some(count: int, seed: int = 0, customers: int = 7, start: int = 0) -> list[Event]:
    """Events of a few customers, of any type, late ones and such of one moment among them."""
    draw = random.Random(seed)
    now = datetime.now(UTC) - timedelta(minutes=1)
    return [
        Event(
            event_id=f"e{start + i}",
            event_type=draw.choice(KINDS),
            event_timestamp=now - timedelta(seconds=draw.randrange(5000) // 10 * 10),
            customer_id=draw.choice([None, *range(customers)]),
            visitor_id="v",
            item_id=draw.choice([None, draw.randrange(40)]),
            search_terms=draw.choice([None, None, f"words {draw.randrange(9)}"]),
        )
        for i in range(count)
    ]


def expected(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What landed events come to, from their definition: by sorting, where the code inserts."""
    by: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        if row[names.CUSTOMER_ID] is not None:
            by.setdefault(row[names.CUSTOMER_ID], []).append(row)
    return {customer: _row(theirs) for customer, theirs in by.items()}


def _row(theirs: list[dict[str, Any]]) -> dict[str, Any]:
    newest_first = sorted(theirs, key=lambda row: (row[names.EVENT_TIMESTAMP], row["position"]), reverse=True)
    kinds = [row[names.EVENT_TYPE] for row in theirs]
    items, item_times = _latest(newest_first, names.ITEM_ID, 20)
    searches, search_times = _latest(newest_first, names.SEARCH_TERMS, 5)
    return {
        "carts": kinds.count("cart"),
        "clicks": kinds.count("click"),
        "events": len(kinds),
        "first_seen": _us(newest_first[-1][names.EVENT_TIMESTAMP]),
        "last_event_type": newest_first[0][names.EVENT_TYPE],
        "last_seen": _us(newest_first[0][names.EVENT_TIMESTAMP]),
        "latest_item_times": item_times,
        "latest_items": items,
        "latest_search_times": search_times,
        "latest_searches": searches,
        "purchases": kinds.count("purchase"),
        "searches": kinds.count("search"),
        "views": kinds.count("view"),
        "position": max(row["position"] for row in theirs),
    }


def _latest(newest_first: list[dict[str, Any]], column: str, most: int) -> tuple[list[str], list[int]]:
    found: dict[str, int] = {}
    for row in newest_first:
        if row[column] is not None:
            found.setdefault(row[column], _us(row[names.EVENT_TIMESTAMP]))
    return list(found)[:most], list(found.values())[:most]


def _us(at: datetime) -> int:
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def known(found: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """Rows as they are read, with the position of their header."""
    read = decode(list(found.values()), LIVE.columns, {LIVE.fingerprint: LIVE}, now_us=0)
    assert set(read.status.tolist()) <= {Status.PRESENT}
    columns = {name: [_plain(each) for each in values.data] for name, values in read.columns.items()}
    return {
        customer: {name: columns[name][i] for name in columns} | {"position": created_us_of(row)}
        for i, (customer, row) in enumerate(found.items())
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | list) else value.tolist()


def online_key(settings: Settings, customer: str, generation: int = 0) -> str:
    return row_key(settings.project, names.LIVE, entity_text((customer,)), generation)
