"""Events into raw: a segment at a time, by a thread of its own, so that counting need not wait for the disk."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from feature_repo.live.state import Positioned
from feature_repo.warehouse import events
from motherlode import names
from motherlode.errors import DataError
from motherlode.events import Event
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings

_STEP: Final = 500
"""Events made columns of at a time: about a millisecond, in which nothing can be counted."""
_YIELD_S: Final = 0.0005
"""Seconds that counting gets in between. Python would else let it wait 5 ms each time that it has met the server."""


@dataclass(frozen=True)
class Landing:
    """Events on their way into raw.

    Attributes:
        positions: what the stream need not keep once they are landed.
        done: how many were landed; the others were of customers that are erased by now.
    """

    positions: tuple[int, ...]
    done: Future[int]


class Lander:
    """Lands events, one segment after the other.

    Args:
        settings: whose raw.
        tombstones: who was erased.
    """

    def __init__(self, settings: Settings, tombstones: Tombstones) -> None:
        self._settings, self._tombstones = settings, tombstones
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="landing")
        # PyArrow's first array loads modules for 200 ms: before events are counted, not in between.
        self._thread.submit(table, [])

    def close(self) -> None:
        """Wait for what is being landed."""
        self._thread.shutdown()

    def land(self, found: Sequence[Positioned], positions: Sequence[int]) -> Landing:
        """Begin to land events, in the order of their positions, behind all that were landed before.

        Args:
            found: the events.
            positions: what the stream need not keep once they are landed: theirs, and those of entries that were
                left out.
        """
        return Landing(tuple(positions), self._thread.submit(self._land, list(found)))

    def _land(self, found: Sequence[Positioned]) -> int:
        try:
            with events.quiet(self._settings):
                kept = living(self._tombstones, found)
                if kept:
                    events.write(self._settings, table(kept))
        except OSError as error:
            raise DataError(
                f"Events cannot be landed in {events.folder(self._settings)}: {error.strerror or error}.",
                "Make room, or name another home, and start again: they wait in the stream.",
            ) from error
        return len(kept)


def living(tombstones: Tombstones, found: Sequence[Positioned]) -> list[Positioned]:
    """Events of those who were not erased, be it as a customer or as a visitor."""
    if not tombstones:
        return list(found)
    customers = tombstones.among("outside", {event.customer for _, event in found if event.customer is not None})
    visitors = tombstones.among("visitor", {event.visitor_id for _, event in found if event.visitor_id is not None})
    return [each for each in found if each[1].customer not in customers and each[1].visitor_id not in visitors]


def table(found: Sequence[Positioned]) -> pa.Table:
    """Events as rows of a segment; other threads get their turn meanwhile."""
    parts = [_columns(found[:_STEP])]
    for start in range(_STEP, len(found), _STEP):
        time.sleep(_YIELD_S)
        parts.append(_columns(found[start : start + _STEP]))
    return pa.concat_tables(parts).combine_chunks()


def _columns(found: Sequence[Positioned]) -> pa.Table:
    each = [event for _, event in found]
    columns: dict[str, list[object]] = {
        events.POSITION: [position for position, _ in found],
        names.CUSTOMER_ID: [event.customer for event in each],
        names.ITEM_ID: [event.item for event in each],
        names.EVENT_TIMESTAMP: [event.at_us for event in each],
    }
    arrays = [
        pa.array(columns[field.name] if field.name in columns else [getattr(event, field.name) for event in each])
        .cast(pa.int64() if pa.types.is_timestamp(field.type) else field.type)
        .cast(field.type)
        for field in events.SCHEMA
    ]
    return pa.table(arrays, schema=events.SCHEMA)


def positioned(rows: pa.Table) -> list[Positioned]:
    """The rows of a segment as events: `table`, the other way round."""
    found = rows.drop_columns([events.POSITION]).to_pylist()
    return [
        (position, Event(**{name: value for name, value in row.items() if value is not None}))
        for position, row in zip(rows[events.POSITION].to_pylist(), found, strict=True)
    ]
