"""Dropping generations that are over: their rows, and every note that names them, once no reader can be under way.

A reader asks for the rows of the generation that was live when it made its keys. One server answers `@live` and rows at
one moment, so the reader sees a flip and asks anew; a cluster answers slot by slot, and rows that were gone in between
would read as unknown. So whoever flips notes it, and what was read before stays for a minute.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from motherlode import redis_server
from motherlode.online import live
from motherlode.online.keys import complete_key, entity_of, of_key, owned_key, owner

UNDER_WAY_S: Final = 60
"""Seconds after a flip for which a reader may still ask for what was read before: far above any reader's timeout."""


def flipping(client: Any, project: str, view: str) -> None:
    """Note that a view is about to be flipped; call it right before."""
    client.set(flipped_key(project, view), b"", ex=UNDER_WAY_S)


def under_way(client: Any, project: str, view: str) -> bool:
    """Whether a reader may be under way with keys of what was read before the view's last flip."""
    return bool(client.exists(flipped_key(project, view)))


def flipped_key(project: str, view: str) -> str:
    """There for `UNDER_WAY_S` after a flip of the view."""
    return f"{project}/@flipped/{view}"


def over(client: Any, project: str, view: str) -> frozenset[int]:
    """The generations of a view of customers that are neither read, written nor kept, and may have rows.

    Those that a killed run began are among them: whoever writes rows of customers enters their generation first.
    """
    # In this order: a generation is written to, and so entered, after it is live or a shadow.
    entered = [name.decode().rpartition("/") for name in client.smembers(owned_key(project))]
    kept = live.read(client, project).kept(view)
    return frozenset({int(number) for named, _, number in entered if named == view} - kept)


def drop(client: Any, project: str, generations: Collection[tuple[str, int]], indexed: Collection[str] = ()) -> int:
    """Remove generations: their rows first, then what names them, so that whoever is killed is followed by the next.

    Args:
        client: a connection that answers bytes, to one server or a cluster.
        project: the Feast project.
        generations: views and numbers, neither read, written nor kept; with no reader under way.
        indexed: views whose rows are named in sets of their customers.

    Returns:
        How many rows there were.
    """
    return sum(dropping(client, project, generations, indexed))


def dropping(
    client: Any, project: str, generations: Collection[tuple[str, int]], indexed: Collection[str] = ()
) -> Iterator[int]:
    """`drop` a batch at a time, so that the caller may end it in between: how many rows each batch had."""
    names = {f"{view}/{number}" for view, number in generations}
    if not names:
        return
    prefixes = tuple(f"{project}/{name}/".encode() for name in names)
    of_many = tuple(f"{project}/{view}/".encode() for view in indexed)
    only = f"{redis_server.literal(next(iter(names)))}/*" if len(names) == 1 else "*"
    for found in redis_server.scan(client, f"{redis_server.literal(project)}/{only}"):
        yield remove(client, project, [key for key in found if key.startswith(prefixes)], of_many)
    for view, number in generations:
        client.unlink(complete_key(project, view, number))
    client.srem(owned_key(project), *names)


def remove(client: Any, project: str, keys: Sequence[bytes], of_many: tuple[bytes, ...]) -> int:
    """Remove keys, and their names from the sets of their customers; returns how many there were.

    Args:
        client, project: as of `drop`.
        keys: of any views.
        of_many: what keys begin with whose names may be in such sets.
    """
    gone = redis_server.unlink(client, keys)
    named = [key for key in keys if b"}" in key and b"|" in key and key.startswith(of_many)] if of_many else []
    if named:
        with client.pipeline(transaction=False) as pipeline:
            for key in named:
                pipeline.srem(of_key(project, owner(entity_of(key))), key)
            pipeline.execute()
    return gone
