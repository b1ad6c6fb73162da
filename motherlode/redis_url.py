"""What REDIS_URL, and `redis_url` in feature_store.yaml, may say.

    redis://[user:password@]host[:port][/db]
    rediss://…                                               TLS
    unix://[user:password@]/path/to/valkey.sock[?db=0]
    redis+cluster://[user:password@]host:port,host:port      some of a cluster's nodes; it names the others
    rediss+cluster://…
    redis+sentinel://[user:password@]host:port,host:port/name[/db]
    rediss+sentinel://…                                      the sentinels, and the primary they call by that name

What is special in a user or a password is percent-encoded. After `?` stand redis-py's connection arguments:
`ssl_ca_certs=/ca.pem` (whom to trust), `ssl_certfile=/me.pem&ssl_keyfile=/me.key` (a client certificate),
`ssl_cert_reqs=none` (trust anybody), `socket_timeout=0.5`; for sentinels with users of their own also
`sentinel_username=…&sentinel_password=…`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self
from urllib.parse import unquote

import redis.asyncio
import redis.asyncio.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import HiredisRespSerializer, SSLConnection, parse_url
from redis.exceptions import RedisClusterException
from redis.retry import Retry
from redis.sentinel import Sentinel

from motherlode.errors import StoreError

Kind = Literal["server", "cluster", "sentinel"]

_REMEDY: Final = (
    "Use redis://host:port/db, rediss://…, unix:///path, redis+cluster://host:port,host:port or "
    "redis+sentinel://host:port,host:port/name."
)
_SCHEMES: Final[Mapping[str, tuple[str, Kind]]] = {
    "redis": ("redis", "server"),
    "rediss": ("rediss", "server"),
    "unix": ("unix", "server"),
    "redis+cluster": ("redis", "cluster"),
    "rediss+cluster": ("rediss", "cluster"),
    "redis+sentinel": ("redis", "sentinel"),
    "rediss+sentinel": ("rediss", "sentinel"),
}
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_NODE: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@,]+)(?::(?P<port>\d{1,5}))?")
_SENTINELS_OWN: Final = "sentinel_"
_RETRIES: Final = 24
"""Tries while a cluster or its sentinels choose a new primary: about 20 s of waiting in all."""
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


@dataclass(frozen=True)
class Address:
    """Where a Redis or Valkey is, and how it is spoken to.

    Attributes:
        kind: one server, a cluster, or a primary that sentinels know.
        url: of the server, in redis-py's own form.
        nodes: (host, port) of the cluster's nodes or of the sentinels that are named.
        primary: what the sentinels call it.
        options: keyword arguments of a connection, for a cluster and for a primary that sentinels know.
        sentinels: keyword arguments of a connection to a sentinel.
    """

    kind: Kind
    url: str = field(repr=False)
    nodes: tuple[tuple[str, int], ...] = ()
    primary: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sentinels: Mapping[str, Any] = field(default_factory=dict, repr=False)


def parse(url: str) -> Address:
    """What a URL says.

    Raises:
        StoreError: it is none of the forms above, without showing its password.
    """
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in _SCHEMES:
        raise StoreError(f"The Redis URL {shown(url)} has no scheme that is known here.", _REMEDY)
    plain, kind = _SCHEMES[scheme]
    try:
        if kind == "server":
            options = parse_url(url)  # type: ignore[no-untyped-call]
            if plain != "unix" and not 0 < options.get("port", _PORT) < 65536:
                raise ValueError("port")
            return Address(kind, url)
        return _several(plain, kind, rest)
    except ValueError:
        # Without the cause: it may quote a password that was cut at the wrong place.
        raise StoreError(f"The Redis URL {shown(url)} cannot be read.", _REMEDY) from None


def shown(url: str) -> str:
    """A URL without its user, its password and its options, for people and logs."""
    scheme, mark, rest = url.rpartition("://")
    hosts, _, query = rest.rpartition("@")[2].partition("?")
    # A question mark before the last @, or an @ after it: nobody can say where a password ends.
    unclear = "?" in rest.rpartition("@")[0] or "@" in query or "@" in scheme
    return f"{scheme}{mark}…" if unclear and "@" not in scheme else "…" if unclear else f"{scheme}{mark}{hosts}"


def _several(scheme: str, kind: Kind, rest: str) -> Address:
    """The address of a cluster, or of sentinels."""
    body, _, query = rest.partition("?")
    who, at, where = body.rpartition("@")
    hosts, _, path = where.partition("/")
    nodes = tuple(_node(part, _PORT if kind == "cluster" else _SENTINEL_PORT) for part in hosts.split(","))
    options = parse_url(f"{scheme}://{who}{at}host?{query}")  # type: ignore[no-untyped-call]
    del options["host"]
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    own = {name: options.pop(name) for name in list(options) if name.startswith(_SENTINELS_OWN)}
    if kind == "cluster":
        if path.strip("/") not in ("", "0") or own:
            raise ValueError("a cluster has one database, and no sentinels")
        return Address(kind, "", nodes, options=options)
    name, _, number = path.partition("/")
    if not name or (number and not number.isdigit()):
        raise ValueError("no name of a primary, or no database")
    sentinels = {key: value for key, value in options.items() if key.startswith(("ssl", "socket"))}
    sentinels |= {key.removeprefix(_SENTINELS_OWN): value for key, value in own.items()}
    return Address(kind, "", nodes, unquote(name), options | {"db": int(number or 0)}, sentinels)


def _node(text: str, port: int) -> tuple[str, int]:
    found = _NODE.fullmatch(text)
    if found is None or not 0 < int(found["port"] or port) < 65536:
        raise ValueError("no host and port")
    return found["host"].strip("[]"), int(found["port"] or port)


class _Cluster(RedisCluster):
    """A cluster that cannot be reached is a `redis.RedisError`, as a server is; redis-py raises another."""

    def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().execute_command(*args, **kwargs)  # type: ignore[no-untyped-call]
        except RedisClusterException as error:
            if error.__cause__ is None:  # a command that no cluster takes
                raise
            raise redis.ConnectionError(f"The cluster does not answer: {error}") from error


class _AsyncCluster(redis.asyncio.RedisCluster):
    """See `_Cluster`."""

    async def initialize(self) -> Self:
        try:
            await super().initialize()
        except RedisClusterException as error:
            raise redis.ConnectionError(f"The cluster does not answer: {error}") from error
        return self


class _Packing:
    """Packs commands in C, as redis-py's synchronous connections do: 500 keys in a twentieth of the time."""

    _serializer: Final = HiredisRespSerializer()

    def pack_command(self, *args: Any) -> list[bytes]:
        return self._serializer.pack(*args)  # type: ignore[no-any-return]


class _Connection(_Packing, redis.asyncio.Connection):
    pass


class _TlsConnection(_Packing, redis.asyncio.SSLConnection):
    pass


class _UnixConnection(_Packing, redis.asyncio.UnixDomainSocketConnection):
    pass


_PACKED: Final[Mapping[type, type]] = {
    each.__bases__[1]: each for each in (_Connection, _TlsConnection, _UnixConnection)
}


def open_client(url: str, **options: Any) -> Any:
    """A client that answers bytes: a `redis.Redis`, or a `redis.cluster.RedisCluster`.

    A server is spoken to at the first command; a cluster is asked for its nodes at once. Where there is a cluster or
    a sentinel, a command waits and tries again while a new primary is chosen, unless `options` say how to retry.

    Args:
        url: see the module.
        options: keyword arguments of redis-py's connections; what the URL says wins.

    Raises:
        StoreError: the URL cannot be read, or has an option that redis-py does not know.
        redis.ConnectionError: no node of the cluster answers.
    """
    address = parse(url)
    try:
        if address.kind == "server":
            return redis.Redis.from_url(address.url, **options)
        arguments: dict[str, Any] = {"retry": Retry(_backoff(), _RETRIES), **options, **address.options}
        if address.kind == "cluster":
            nodes = [ClusterNode(host, port) for host, port in address.nodes]  # type: ignore[no-untyped-call]
            return _Cluster(startup_nodes=nodes, **arguments)
        sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
            address.nodes, sentinel_kwargs={"retry": Retry(NoBackoff(), 0), **_brief(options), **address.sentinels}
        )
        return sentinel.master_for(address.primary, **arguments)
    except RedisClusterException as error:
        # redis-py's own is no RedisError, which is what callers look for.
        raise redis.ConnectionError(f"The cluster {shown(url)} does not answer: {error}") from error
    except (TypeError, ValueError) as error:
        raise StoreError(f"The Redis URL {shown(url)} has an option that redis-py refuses.", f"{error}") from None


def open_client_async(url: str, **options: Any) -> Any:
    """`open_client` for asyncio, which speaks to nobody before its first command.

    Raises:
        StoreError: as `open_client`.
    """
    address = parse(url)
    try:
        if address.kind == "server":
            client = redis.asyncio.Redis.from_url(address.url, **options)
            pool = client.connection_pool
            pool.connection_class = _PACKED[pool.connection_class]
            return client
        arguments: dict[str, Any] = {"retry": AsyncRetry(_backoff(), _RETRIES), **options, **address.options}
        if address.kind == "cluster":
            nodes = [redis.asyncio.cluster.ClusterNode(host, port) for host, port in address.nodes]
            return _AsyncCluster(startup_nodes=nodes, **arguments)
        sentinel: Any = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
            address.nodes, sentinel_kwargs={"retry": AsyncRetry(NoBackoff(), 0), **_brief(options), **address.sentinels}
        )
        return sentinel.master_for(address.primary, **arguments)
    except (TypeError, ValueError, RedisClusterException) as error:
        raise StoreError(f"The Redis URL {shown(url)} has an option that redis-py refuses.", f"{error}") from None


def _backoff() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(base=_FIRST_PAUSE_S, cap=_LONGEST_PAUSE_S)


def _brief(options: Mapping[str, Any]) -> dict[str, Any]:
    """Of a connection's arguments, those that hold for the connection to a sentinel too: it is asked again anyway."""
    return {name: value for name, value in options.items() if name.startswith("socket_")}
