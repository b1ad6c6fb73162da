"""Customers out of the online store: their rows in every view and generation, and what the server has on its disk."""

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import redis

from feature_repo.warehouse.places import Place
from motherlode import redis_server
from motherlode.online.keys import entity_text, of_key, owned_key, owner, row_key
from motherlode.online.tombstones import Tombstones
from motherlode.online.writer import OnlineWriter

_REWRITE_S: Final = 600.0
_PAUSE_S: Final = 0.05
_AOF: Final = ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
_RDB: Final = ("rdb_bgsave_in_progress",)
_WORKING: Final = (*_AOF, *_RDB)
"""What a server does beside its commands, one at a time."""
_MANY: Final = "many"
"""The place of rows in views of several join keys."""


def find(client: Any, project: str, keys: Iterable[str]) -> list[Place]:
    """Where customers have rows, by view and generation; no key is looked for.

    Args:
        client: a connection that answers bytes.
        project: the Feast project.
        keys: their join keys.
    """
    rows: dict[str, int] = {}
    owned = sorted(name.decode() for name in client.smembers(owned_key(project)))
    for entity in (entity_text([key]) for key in keys):
        with client.pipeline(transaction=False) as pipeline:
            for name in owned:
                view, _, generation = name.rpartition("/")
                pipeline.exists(row_key(project, view, entity, int(generation)))
            pipeline.smembers(of_key(project, entity))
            *found, many = pipeline.execute()
        with client.pipeline(transaction=False) as pipeline:
            for key in many:  # a row that expired is named still
                pipeline.exists(key)
            there = sum(pipeline.execute()) if many else 0
        for name, count in zip([*owned, _MANY], [*found, there], strict=True):
            rows[name] = rows.get(name, 0) + int(count)
    return [Place("online", f"{project}/{name}", count) for name, count in rows.items() if count]


def erase(client: Any, project: str, keys: Sequence[str], tombstones: Tombstones, at: datetime) -> list[Place]:
    """Take customers' rows out of every view and generation, and leave their digests in the guards."""
    places = find(client, project, keys)
    erase_entities(client, project, [entity_text([key]) for key in keys], tombstones, at)
    return places


def remove(client: Any, project: str, keys: Iterable[str], tombstones: Tombstones) -> list[Place]:
    """Take customers' rows away; they may come again."""
    rows = OnlineWriter(client, project, tombstones.of_entity).remove([entity_text([key]) for key in keys])
    return [Place("online", f"{project}/*", rows)] if rows else []


def erase_entities(
    client: Any, project: str, entities: Iterable[str], tombstones: Tombstones, at: datetime
) -> list[Place]:
    """The same by entity texts: what the keys of a store that was restored tell of customers."""
    writer = OnlineWriter(client, project, tombstones.of_entity)
    rows = sum(writer.erase(entity, int(at.timestamp() * 1000)) for entity in entities)
    return [Place("online", f"{project}/*", rows)] if rows else []


def owners(client: Any, project: str) -> Iterator[str]:
    """The entity text of everybody who has rows; looks at every key, for a store that was restored."""
    owned = [name.decode() for name in client.smembers(owned_key(project))]
    for name in owned:
        known: set[str] = set()
        for keys in redis_server.scan(client, f"{redis_server.literal(f'{project}/{name}/')}{{*"):
            fresh = {owner(key.decode().partition("}")[2]) for key in keys} - known
            known |= fresh
            yield from fresh


def forget_written(client: Any) -> list[str]:
    """Have every server write its files anew: they hold commands and values of before. What could not be, and why."""
    return [problem for server in redis_server.servers(client) for problem in _rewritten(server)]


def _rewritten(server: redis.Redis) -> Iterator[str]:
    """What one server does not do."""
    try:
        # A slow command is kept with its keys, which may be these.
        server.slowlog_reset()
        state: Any = server.info("persistence")
        if state.get("aof_enabled") and not _anew(server, "BGREWRITEAOF", _AOF, "aof_last_bgrewrite_status"):
            yield "the server's append-only file could not be written anew: run BGREWRITEAOF"
        if _saves(server) and not _anew(server, "BGSAVE", _RDB, "rdb_last_bgsave_status"):
            yield "the server's snapshot could not be written anew: run BGSAVE"
        link: Any = server.info("replication")
        if copies := int(link.get("connected_slaves", 0)):
            yield f"replicas ({copies}) of the server write files of their own: run BGREWRITEAOF, BGSAVE on each"
    except redis.ResponseError as error:  # a managed server may refuse these commands
        yield f"the server does not let its files be written anew ({error}): ask its operator for BGREWRITEAOF, BGSAVE"


def _anew(server: Any, command: str, running: Sequence[str], status: str) -> bool:
    """Ask for a file that begins now; whether it ended well. One that is under way holds what was before: it does not
    count, and the server takes no other beside it."""
    until = time.monotonic() + _REWRITE_S
    while time.monotonic() < until:
        _ends(server, _WORKING, status)
        try:
            server.execute_command(command)
        except redis.ResponseError as error:
            if "in progress" not in str(error):
                raise
            time.sleep(_PAUSE_S)
            continue
        return _ends(server, running, status)
    return False


def _saves(server: redis.Redis) -> bool:
    """Whether the server writes snapshots."""
    found: Any = server.config_get("save")
    return bool(found.get("save"))


def _ends(server: redis.Redis, running: Sequence[str], status: str) -> bool:
    """Wait until a background job has ended; whether it ended well."""
    until = time.monotonic() + _REWRITE_S
    while time.monotonic() < until:
        state: Any = server.info("persistence")
        if not any(state.get(each) for each in running):
            return bool(state.get(status) == "ok")
        time.sleep(_PAUSE_S)
    return False
