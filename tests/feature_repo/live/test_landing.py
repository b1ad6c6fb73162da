"""Events as rows of raw and back: all of them, in their order, while other threads go on."""

import threading
import time

import pytest

from feature_repo.live import landing
from feature_repo.live.landing import positioned, table
from feature_repo.live.state import Positioned
from feature_repo.warehouse.events import SCHEMA
from tests.feature_repo.live.shop import some


def found(count: int) -> list[Positioned]:
    return [(10 * i + 1, each) for i, each in enumerate(some(count))]


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1700])
def test_events_are_the_same_when_they_are_read_back(count: int) -> None:
    events = found(count)
    rows = table(events)
    assert (rows.schema, rows.num_rows) == (SCHEMA, count)
    assert rows["position"].num_chunks <= 1
    # A number and its text are the same id.
    assert [(position, event.customer, event.item, event.at, event.search_terms) for position, event in events] == [
        (position, event.customer, event.item, event.at, event.search_terms) for position, event in positioned(rows)
    ]


def test_others_get_their_turn_while_events_are_made_rows() -> None:
    """Counting meets the server every few milliseconds; each time it asks for Python's lock anew."""
    events, turns, over = found(20_000), 0, threading.Event()
    table(events[:1])

    def landed() -> None:
        table(events)
        over.set()

    working = threading.Thread(target=landed)
    working.start()
    while not over.is_set():
        time.sleep(0.0001)
        turns += 1
    working.join()
    assert turns >= len(events) // landing._STEP // 2
