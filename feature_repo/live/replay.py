"""The view `live` made anew from raw: the same rows, bit by bit, in a generation of their own, then one flip."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from feature_repo.live.landing import living, positioned
from feature_repo.live.rows import LiveRows
from feature_repo.warehouse import events
from motherlode import names
from motherlode.events import LIVE, consumer_key
from motherlode.online import live as generations
from motherlode.online.live import Live
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings

_STEP: Final = 2000
"""Events counted at a time."""
_KEYS: Final = 1000


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
    live = generations.switch(client, settings.project, _begun)
    number = live.shadows[names.LIVE]
    rows = LiveRows(client, settings.project, settings.identity, tombstones.of_entity, number)
    rows.declare()
    total = 0
    for table in events.read(settings):
        for start in range(0, table.num_rows, _STEP):
            total += rows.count(living(tombstones, positioned(table.slice(start, _STEP)))).events
            on_events(total)
    generations.switch(client, settings.project, _ended)
    client.hset(consumer_key(settings.project), "state", made_by(settings))
    _drop(client, settings.project, number)
    return total


def made_by(settings: Settings) -> str:
    """Tells states of the view apart that are not made alike: by other columns, or under another pseudonym key."""
    return f"{LIVE.fingerprint:016x}/{settings.identity.key_id}"


def _begun(live: Live) -> Live:
    """A new generation beside the one that is read."""
    number = max(live.last.get(names.LIVE, 0), *live.kept(names.LIVE)) + 1
    return msgspec.structs.replace(
        live, shadows={**live.shadows, names.LIVE: number}, last={**live.last, names.LIVE: number}
    )


def _ended(live: Live) -> Live:
    """The new generation is read; the one before is not kept, as it knows less."""
    shadows = {view: number for view, number in live.shadows.items() if view != names.LIVE}
    previous = {view: number for view, number in live.previous.items() if view != names.LIVE}
    return msgspec.structs.replace(
        live, views={**live.views, names.LIVE: live.shadows[names.LIVE]}, shadows=shadows, previous=previous
    )


def _drop(client: Any, project: str, kept: int) -> None:
    """Delete the rows of other generations, those of a replay that was killed among them."""
    mine = f"{project}/{names.LIVE}/{kept}/".encode()
    gone: list[bytes] = []
    for key in client.scan_iter(match=f"{project}/{names.LIVE}/*", count=_KEYS):
        if not key.startswith(mine):
            gone.append(key)
        if len(gone) == _KEYS:
            _unlink(client, gone)
            gone = []
    _unlink(client, gone)


def _unlink(client: Any, keys: list[bytes]) -> None:
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.unlink(key)
        pipeline.execute()
