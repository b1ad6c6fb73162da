"""`motherlode status`: what lies where, and how fresh it is."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import redis
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from feature_repo.features.view import View
from feature_repo.mart import manifest, schedule, views
from feature_repo.warehouse import state
from motherlode import bundle, online, packed, redis_server
from motherlode.cli import options
from motherlode.errors import BundleError, StoreError
from motherlode.settings import Settings

_SAMPLE = 10_000
"""Keys counted a view at the most."""


@click.command()
@options.home
def status(home: Path | None) -> None:
    """Show every view's snapshots and online rows with their ages, and the bundle that serves."""
    console = Console()
    unbound = Settings.from_env(home=home)
    if not unbound.home.is_dir():
        raise StoreError(
            f"There is no state in {unbound.home}.", "Run `motherlode demo`, or name its folder by --home."
        )
    state.read(unbound)  # an older version's home is upgraded first
    with redis_server.running(unbound) as settings:
        table = Table(title=f"State in {settings.home}", box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
        for heading in ("view", "snapshots", "rows", "built", "online", "newest", "fresh"):
            numeric = heading in ("snapshots", "rows", "online")
            table.add_column(heading, justify="right" if numeric else "left", no_wrap=heading != "fresh")
        mart = manifest.read(settings)
        with redis_server.connect(settings) as client:
            for view in views.load(settings):
                entry, times = mart.views.get(view.name), schedule.stood(view, mart)
                built = (
                    ("–", "–", "–")
                    if entry is None
                    else (f"{len(times):,}", f"{entry.rows:,}", f"{entry.created_at:%m-%d %H:%M}")
                )
                table.add_row(view.name, *built, *_online(client, settings, view))
        console.print(table)
    console.print(_bundle(settings), soft_wrap=True, highlight=False)


def _online(client: redis.Redis, settings: Settings, view: View) -> tuple[str, str, str]:
    """Online rows, the newest one's event time, and whether it is within its time to live."""
    prefix = online.row_key(settings.project, view.name, "")[:-1]
    keys: list[bytes] = []
    for key in client.scan_iter(match=f"{prefix}*", count=1000):
        keys.append(key)
        if len(keys) == _SAMPLE:
            break
    if not keys:
        return "0", "–", "–"
    heads: list[Any] = [client.getrange(key, 0, packed.HEADER_SIZE - 1) for key in keys[:: max(1, len(keys) // 100)]]
    newest = max(int.from_bytes(head[16:24], "little", signed=True) for head in heads) / 1e6
    age = time.time() - newest
    fresh = (
        "yes" if age <= view.ttl.total_seconds() else f"stale by {(age - view.ttl.total_seconds()) / 86400:.0f} days"
    )
    count = f"{len(keys):,}" if len(keys) < _SAMPLE else f"{_SAMPLE:,}+"
    return count, datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%d"), fresh


def _bundle(settings: Settings) -> str:
    try:
        manifest = bundle.read_manifest(bundle.current(settings.models))
    except BundleError as error:
        return f"Bundle: none. {error.remedy}"
    others = len(bundle.versions(settings.models)) - 1
    return (
        f"Bundle {manifest.version}, trained on the {manifest.device} ({manifest.device_reason}); {others} others kept."
    )
