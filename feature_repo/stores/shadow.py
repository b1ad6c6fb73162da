"""A new generation of some views beside the one that is read: begun, filled, flipped to, rolled back from, dropped.

While there is a shadow every write goes to both. What was flipped from is kept until the next shadow begins, or until
it is dropped. A rollback makes it the shadow too, and it stays what is kept until the flip: whatever cuts a rollback
short, there is something to roll back to.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import msgspec
import numpy as np
import redis
from redis.cluster import RedisCluster

from feature_repo.stores.picks import NEVER
from motherlode import redis_server
from motherlode.errors import StoreError
from motherlode.online import generations, live
from motherlode.online.keys import complete_key, entity_of
from motherlode.online.live import Live
from motherlode.online.writer import OnlineWriter, Target
from motherlode.packed import HEADER_SIZE, event_us_of
from motherlode.packed.header import current

_BATCH: Final = 1000
"""Keys looked at, or removed, in one round trip."""
_TRIES: Final = 50
_PAUSE_S: Final = 0.1


def begin(client: Any, project: str, targets: Sequence[Target]) -> Mapping[str, int]:
    """Give views a new generation beside what is read; earlier shadows and previous generations of theirs go.

    When this returns, every write of these views goes to both.

    Args:
        client: a connection, to one server or a cluster.
        project: the Feast project.
        targets: the views.

    Returns:
        View → the number of its new generation.
    """
    views = [target.view for target in targets]
    _doom(client, project, views)

    def change(now: Live) -> Live:
        numbers = {view: now.last.get(view, now.generation(view)) + 1 for view in views}
        return msgspec.structs.replace(
            now,
            shadows={**now.shadows, **numbers},
            previous=_without(now.previous, views),
            last={**now.last, **numbers},
        )

    begun = live.switch(client, project, change)
    sweep(client, project, targets)
    return {view: begun.shadows[view] for view in views}


def flip(client: Any, project: str, shadows: Mapping[str, int]) -> None:
    """Read the new generations of some views from now on, all at once; what was read is kept.

    Raises:
        StoreError: one of them is no longer the view's shadow.
    """

    def change(now: Live) -> Live:
        for view, number in shadows.items():
            if now.shadows.get(view) != number:
                raise StoreError(f"Generation {number} of view {view!r} was dropped meanwhile.", "Run one at a time.")
        return msgspec.structs.replace(
            now,
            views={**now.views, **shadows},
            shadows=_without(now.shadows, shadows),
            previous={**now.previous, **{view: now.generation(view) for view in shadows}},
        )

    for view in shadows:
        generations.flipping(client, project, view)
    live.switch(client, project, change)


def abandon(client: Any, project: str, targets: Sequence[Target]) -> int:
    """Remove the shadows of views: rows first, since a server without room takes nothing else; how many rows.

    One that a rollback made of the previous generation is a shadow no more, and stays as that.
    """
    now = live.read(client, project)
    views = [target.view for target in targets if target.view in now.shadows]
    if not views:
        return 0
    names = {f"{view}/{now.shadows[view]}" for view in views if now.shadows[view] != now.previous.get(view)}
    gone = _drop(client, project, targets, names) if names else 0

    def change(now: Live) -> Live:
        return msgspec.structs.replace(now, shadows=_without(now.shadows, views))

    for attempt in range(_TRIES):
        # What was unlinked is freed in the background.
        with suppress(redis.OutOfMemoryError):
            _doom(client, project, views, previous=False)
            live.switch(client, project, change)
            break
        time.sleep(_PAUSE_S * attempt)
    return gone + sweep(client, project, targets)  # what was written meanwhile


def rollback(
    client: Any, project: str, targets: Sequence[Target], writer: OnlineWriter, since: Mapping[str, int | None]
) -> Mapping[str, int]:
    """Read again what was read before the last flip, all at once; what was read until now is kept in its place.

    Rows that were pushed since come along. The restored generation is marked as written in part, so that the next
    incremental run writes the view whole, and brings what it lacks.

    Args:
        client: a connection.
        project: the Feast project.
        targets: the views.
        writer: of the project.
        since: view → its watermark, microseconds since 1970 UTC: newer rows were pushed; None: all were.

    Returns:
        View → the number of the generation that is read now.

    Raises:
        StoreError: a view has no previous generation, or one of which no row can be read.
    """
    now = live.read(client, project)
    for target in targets:
        if target.view not in now.previous:
            raise StoreError(
                f"View {target.view!r} has no generation to roll back to.",
                "One is kept from a flip (`motherlode materialize --shadow`) until the next, or --drop-previous.",
            )
    back = {target.view: now.previous[target.view] for target in targets}
    for view, number in back.items():
        _require_readable(client, project, view, number)
    _doom(client, project, list(back), previous=False)  # a shadow that a killed run left

    # First every write goes to both, so that nothing is lost between the copy and the flip.
    def both(now: Live) -> Live:
        return msgspec.structs.replace(now, shadows={**now.shadows, **back})

    def only_live(now: Live) -> Live:
        return msgspec.structs.replace(now, shadows=_without(now.shadows, back))

    live.switch(client, project, both)
    try:
        for target in targets:
            client.unlink(complete_key(project, target.view, back[target.view]))
            after = since.get(target.view)
            carry(client, project, target, writer, now.generation(target.view), NEVER if after is None else after)
        flip(client, project, back)
    except BaseException:  # also Ctrl-C: every write would go to both for good
        # Where the server is gone, whoever clears shadows next does it.
        with suppress(redis.RedisError, StoreError):
            live.switch(client, project, only_live)
        raise
    sweep(client, project, targets)
    return back


def _require_readable(client: Any, project: str, view: str, generation: int) -> None:
    """Check that some row of a generation is of this format, by the first that are met: it was written in one, or two.

    Raises:
        StoreError: none is.
    """
    keys = next(_chunks(keys_of(client, project, view, generation)), [])
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.getrange(key, 0, HEADER_SIZE - 1)
        heads = [head for head in pipeline.execute() if head]
    if heads and not any(map(current, heads)):
        raise StoreError(
            f"Generation {generation} of view {view!r} is of another version's format: none of its rows can be read.",
            "What is read stays. `motherlode materialize --drop-previous` frees it.",
        )


def carry(client: Any, project: str, target: Target, writer: OnlineWriter, generation: int, after: int) -> int:
    """Bring rows that were pushed to a generation into the view's shadow, where they are newer; how many there were.

    Args:
        client: a connection.
        project: the Feast project.
        target: the view; it has a shadow.
        writer: of the project.
        generation: where the rows are.
        after: an event time, microseconds since 1970 UTC: rows with a later one were pushed.
    """
    number = live.read(client, project).shadows[target.view]
    into, carried = replace(target, generations=(number,)), 0
    for keys in _chunks(keys_of(client, project, target.view, generation)):
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.getrange(key, 0, HEADER_SIZE - 1)
            times = map(event_us_of, pipeline.execute())
        # A row of another format has no time, and is nothing that the shadow could take.
        newer = [key for key, at in zip(keys, times, strict=True) if at is not None and at > after]
        if not newer:
            continue
        with client.pipeline(transaction=False) as pipeline:
            for key in newer:
                pipeline.get(key)
                pipeline.pttl(key)
            found = pipeline.execute()
        now_ms = time.time_ns() // 1_000_000
        rows = [
            (key, row, now_ms + left if left > 0 else 0)
            for key, row, left in zip(newer, found[::2], found[1::2], strict=True)
            if row
        ]
        forget = np.array([at for _, _, at in rows], dtype=np.int64)
        writer.write(into, [entity_of(key) for key, _, _ in rows], [row for _, row, _ in rows], forget)
        carried += len(rows)
    return carried


def drop_previous(client: Any, project: str, targets: Sequence[Target]) -> int:
    """Remove what was kept for a rollback, and shadows that a killed run left; how many rows."""
    views = [target.view for target in targets]
    _doom(client, project, views)

    def change(now: Live) -> Live:
        return msgspec.structs.replace(
            now, previous=_without(now.previous, views), shadows=_without(now.shadows, views)
        )

    live.switch(client, project, change)
    return sweep(client, project, targets)


def sweep(client: Any, project: str, targets: Sequence[Target]) -> int:
    """Remove the rows of doomed generations that nobody reads, writes or keeps any more; how many there were.

    What a killed run left is swept by the next; so is what readers of a cluster may still ask for, a minute after a
    flip. One server answers what is live and rows at one moment, and nobody is under way there.
    """
    now = live.read(client, project)
    doomed = {name.decode() for name in client.smembers(_doomed_key(project))}
    kept = {f"{target.view}/{number}" for target in targets for number in now.kept(target.view)}
    clustered = isinstance(client, RedisCluster)
    views = {target.view for target in targets}
    views = {view for view in views if not (clustered and generations.under_way(client, project, view))}
    named = {name for name in doomed if name.rpartition("/")[0] in views}
    gone = _drop(client, project, targets, named - kept) if named - kept else 0
    if named:
        client.srem(_doomed_key(project), *named)
    return gone


def keys_of(client: Any, project: str, view: str, generation: int) -> Iterator[bytes]:
    """The row keys of one generation of a view, in no order; a few may come twice."""
    for keys in redis_server.scan(client, f"{redis_server.literal(f'{project}/{view}/{generation}/')}{{*"):
        yield from keys


def _doom(client: Any, project: str, views: Sequence[str], *, previous: bool = True) -> None:
    """Note which generations are about to go, before anything forgets them."""
    now = live.read(client, project)
    places = (now.shadows, now.previous) if previous else (now.shadows,)
    names = [f"{view}/{numbers[view]}" for numbers in places for view in views if view in numbers]
    if names:
        client.sadd(_doomed_key(project), *names)


def _doomed_key(project: str) -> str:
    """The set of `<view>/<generation>` whose rows are to go."""
    return f"{project}/@doomed"


def _drop(client: Any, project: str, targets: Sequence[Target], names: set[str]) -> int:
    """Remove the rows of generations, by `<view>/<generation>`, in one scan; how many there were."""
    split = [name.rpartition("/") for name in sorted(names)]
    indexed = [target.view for target in targets if target.indexed]
    return generations.drop(client, project, [(view, int(number)) for view, _, number in split], indexed)


def _chunks(keys: Iterator[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for key in keys:
        chunk.append(key)
        if len(chunk) == _BATCH:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _without(numbers: Mapping[str, int], views: Mapping[str, int] | Sequence[str]) -> dict[str, int]:
    return {view: number for view, number in numbers.items() if view not in views}
