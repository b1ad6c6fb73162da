"""The view `live` made anew from raw: the same rows, bit by bit, in a generation of their own, then one flip.

The rows before are dropped by `drop_over`, once no reader can be under way with their keys.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from feature_repo.live.landing import living, positioned
from feature_repo.live.rows import LiveRows
from feature_repo.warehouse import events
from motherlode import names
from motherlode.events import LIVE, consumer_key
from motherlode.online import generations, live
from motherlode.online.live import Live
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings

_STEP: Final = 2000
"""Events counted at a time."""


def replay(client: Any, settings: Settings, on_events: Callable[[int], None] = lambda _: None) -> int:
    """Count every landed event into rows of a new generation, and have that one read.

    The caller is the only consumer: events that come in meanwhile wait in the stream. Readers read the old rows until
    the flip. Memory holds a slice of the events.

    Args:
        client: a connection that answers bytes, to one server or a cluster.
        settings: whose raw, and whose view.
        on_events: told how many events were counted so far.

    Returns:
        How many events were counted.

    Raises:
        DataError: a segment cannot be read; the old rows go on being read.
        redis.RedisError: the server is gone; likewise.
    """
    tombstones = Tombstones(settings)
    drop_over(client, settings.project)
    number = live.switch(client, settings.project, _begun).shadows[names.LIVE]
    rows = LiveRows(client, settings.project, settings.identity, tombstones.of_entity, number)
    rows.declare()
    total = 0
    for table in events.read(settings):
        for start in range(0, table.num_rows, _STEP):
            total += rows.count(living(tombstones, positioned(table.slice(start, _STEP)))).events
            on_events(total)
    generations.flipping(client, settings.project, names.LIVE)
    live.switch(client, settings.project, _ended)
    client.hset(consumer_key(settings.project), "state", made_by(settings))
    return total


def drop_over(client: Any, project: str, on_batch: Callable[[], bool] = lambda: True) -> bool:
    """Drop the rows of earlier generations of the view, those of a replay that was killed among them.

    Args:
        client: a connection that answers bytes, to one server or a cluster.
        project: the Feast project.
        on_batch: asked after each batch whether to go on.

    Returns:
        Whether nothing is left to drop; not while a reader may be under way with their keys.
    """
    if not (gone := generations.over(client, project, names.LIVE)):
        return True
    if generations.under_way(client, project, names.LIVE):
        return False
    return all(on_batch() for _ in generations.dropping(client, project, [(names.LIVE, number) for number in gone]))


def made_by(settings: Settings) -> str:
    """Tells states of the view apart that are not made alike: by format, columns or pseudonym key."""
    return f"{LIVE.mark}/{settings.identity.key_id}"


def _begun(now: Live) -> Live:
    """A new generation beside the one that is read."""
    number = max(now.last.get(names.LIVE, 0), *now.kept(names.LIVE)) + 1
    return msgspec.structs.replace(
        now, shadows={**now.shadows, names.LIVE: number}, last={**now.last, names.LIVE: number}
    )


def _ended(now: Live) -> Live:
    """The new generation is read; the one before is not kept, as it knows less."""
    shadows = {view: number for view, number in now.shadows.items() if view != names.LIVE}
    previous = {view: number for view, number in now.previous.items() if view != names.LIVE}
    return msgspec.structs.replace(
        now, views={**now.views, names.LIVE: now.shadows[names.LIVE]}, shadows=shadows, previous=previous
    )
