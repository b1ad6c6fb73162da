"""What a row of the view `live` knows, and what events make of it: of the same ones in the same order, the same row."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from feature_repo.live.view import COUNTED, ITEMS, SEARCHES
from motherlode.events import LIVE, Event
from motherlode.packed import Status, Values, created_us_of, decode, encode

Positioned = tuple[int, Event]
"""An event behind its position."""


@dataclass
class Latest:
    """Distinct texts with the time that each was last met, the newest first; of two of one time the later come.

    Attributes:
        most: how many are kept.
        texts, times: alike long; times in microseconds since 1970 UTC.
    """

    most: int
    texts: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)

    def meet(self, text: str, at_us: int) -> None:
        """Take a text in."""
        if text in self.texts:
            place = self.texts.index(text)
            if self.times[place] > at_us:
                return
            del self.texts[place], self.times[place]
        place = next((i for i, time in enumerate(self.times) if time <= at_us), len(self.times))
        self.texts.insert(place, text)
        self.times.insert(place, at_us)
        del self.texts[self.most :], self.times[self.most :]


@dataclass
class Row:
    """What is known of one customer.

    Attributes:
        position: of the last event that was counted.
        first_us, last_us: of the earliest and of the newest event.
        last_type: the newest event's.
        events, counts: of all events, and by counter.
        items, searches: the latest ones.
    """

    position: int = 0
    first_us: int = 0
    last_us: int = 0
    last_type: str = ""
    events: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED.values(), 0))
    items: Latest = field(default_factory=lambda: Latest(ITEMS))
    searches: Latest = field(default_factory=lambda: Latest(SEARCHES))

    def count(self, position: int, event: Event) -> bool:
        """Take an event in; False where it was counted before."""
        if position <= self.position:
            return False
        at = event.at_us
        if not self.events or at < self.first_us:
            self.first_us = at
        if not self.events or at >= self.last_us:
            self.last_us, self.last_type = at, event.event_type
        self.position = position
        self.events += 1
        if (counter := COUNTED.get(event.event_type)) is not None:
            self.counts[counter] += 1
        if event.item is not None:
            self.items.meet(event.item, at)
        if event.search_terms is not None:
            self.searches.meet(event.search_terms, at)
        return True


def pack(rows: Sequence[Row]) -> list[bytes]:
    """N rows, packed: event time the newest event's, created time the last position."""
    columns: dict[str, list[Any]] = {
        "first_seen": [row.first_us for row in rows],
        "last_seen": [row.last_us for row in rows],
        "last_event_type": [row.last_type for row in rows],
        "latest_items": [row.items.texts for row in rows],
        "latest_item_times": [row.items.times for row in rows],
        "latest_searches": [row.searches.texts for row in rows],
        "latest_search_times": [row.searches.times for row in rows],
        "events": [row.events for row in rows],
        **{counter: [row.counts[counter] for row in rows] for counter in COUNTED.values()},
    }
    there = np.ones(len(rows), dtype=np.bool_)
    return encode(
        LIVE,
        {column.name: Values(_array(columns[column.name], column.fixed), there) for column in LIVE.columns},
        np.array(columns["last_seen"], dtype=np.int64),
        np.array([row.position for row in rows], dtype=np.int64),
    )


def unpack(packed: Sequence[bytes | None]) -> list[Row | None]:
    """N rows as they lie: a new one where there is none, None where the bytes are damaged or of another schema."""
    found = decode(packed, LIVE.columns, {LIVE.fingerprint: LIVE}, now_us=0)
    columns = {name: values.data for name, values in found.columns.items()}
    rows: list[Row | None] = []
    for i, (status, data) in enumerate(zip(found.status.tolist(), packed, strict=True)):
        if data is None:
            rows.append(Row())
        elif status != Status.PRESENT:
            rows.append(None)
        else:
            rows.append(_row(columns, i, created_us_of(data) or 0))
    return rows


def _row(columns: Mapping[str, Any], i: int, position: int) -> Row:
    return Row(
        position=position,
        first_us=int(columns["first_seen"][i]),
        last_us=int(columns["last_seen"][i]),
        last_type=columns["last_event_type"][i],
        events=int(columns["events"][i]),
        counts={counter: int(columns[counter][i]) for counter in COUNTED.values()},
        items=Latest(ITEMS, list(columns["latest_items"][i]), columns["latest_item_times"][i].tolist()),
        searches=Latest(SEARCHES, list(columns["latest_searches"][i]), columns["latest_search_times"][i].tolist()),
    )


def by_customer(events: Iterable[Positioned]) -> dict[str, list[Positioned]]:
    """Events by their customers' outside ids, in their order; those of no customer are left out."""
    found: dict[str, list[Positioned]] = {}
    for position, event in events:
        if (customer := event.customer) is not None:
            found.setdefault(customer, []).append((position, event))
    return found


def _array(values: Sequence[Any], fixed: bool) -> Any:
    if fixed:
        return np.array(values, dtype=np.int64)
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
