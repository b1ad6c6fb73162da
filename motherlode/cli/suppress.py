"""`motherlode suppress`: items that nobody is recommended, from within a second on."""

from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from motherlode import audit
from motherlode.cli import options
from motherlode.online.keys import suppressed_key
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

_TOLD: Final = 100
"""Items that the log names; of more it has the number."""


@click.command()
@click.argument("items", nargs=-1, metavar="[ITEM]...")
@click.option("--release", is_flag=True, help="Let these items be recommended again; none named: all.")
@options.home
def suppress(items: tuple[str, ...], release: bool, home: Path | None) -> None:
    """Keep ITEMs, by their ids, out of every recommendation; without any, list those that are kept out.

    They lie in Redis: a server that runs has them within a second, and they outlast bundles, but not a Redis that is
    emptied.
    """
    unbound = Settings.from_env(home=home)
    with running(unbound) as settings, connect(settings) as client:
        key = suppressed_key(settings.project)
        held: Any = client.smembers(key)
        named = items or tuple(sorted(each.decode() for each in held))
        if release and named:
            client.srem(key, *named)
        elif items:
            client.sadd(key, *items)
        if named and (items or release):
            action = "release" if release else "suppress"
            audit.record(settings, action, "items", items=", ".join(named[:_TOLD]), count=len(named))
        left: Any = client.smembers(key)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{len(left)} items are kept out of every recommendation.")
    for each in sorted(each.decode() for each in left):
        console.print(each, markup=False)
