"""Customers out of the online store: their rows in every view and generation, and what the server has on its disk."""

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import redis
from redis.cluster import RedisCluster

from feature_repo.warehouse.places import Place
from motherlode import redis_server
from motherlode.online.keys import entity_text, of_key, owned_key, owner, row_key
from motherlode.online.tombstones import Tombstones
from motherlode.online.writer import OnlineWriter

_REWRITE_S: Final = 600.0
_PAUSE_S: Final = 0.05
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
            pipeline.scard(of_key(project, entity))
            for name, count in zip([*owned, _MANY], pipeline.execute(), strict=True):
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
    return [problem for server in _servers(client) for problem in _rewritten(server)]


def _rewritten(server: redis.Redis) -> Iterator[str]:
    """What one server does not do."""
    try:
        # A slow command is kept with its keys, which may be these.
        server.slowlog_reset()
        state: Any = server.info("persistence")
        if state.get("aof_enabled"):
            _asked(server, "BGREWRITEAOF")
            if not _ends(server, ("aof_rewrite_in_progress", "aof_rewrite_scheduled"), "aof_last_bgrewrite_status"):
                yield "the server's append-only file could not be written anew: run BGREWRITEAOF"
        if _saves(server):
            server.bgsave(schedule=True)
            if not _ends(server, ("rdb_bgsave_in_progress",), "rdb_last_bgsave_status"):
                yield "the server's snapshot could not be written anew: run BGSAVE"
    except redis.ResponseError as error:  # a managed server may refuse these commands
        yield f"the server does not let its files be written anew ({error}): ask its operator for BGREWRITEAOF, BGSAVE"


def _asked(server: Any, command: str) -> None:
    server.execute_command(command)


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


def _servers(client: Any) -> list[redis.Redis]:
    if not isinstance(client, RedisCluster):
        return [client]
    cluster: Any = client
    return [cluster.get_redis_connection(node) for node in cluster.get_primaries()]
