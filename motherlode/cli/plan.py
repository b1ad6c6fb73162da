"""`motherlode plan`: what a materialisation will take of time and of Redis' memory, before it writes."""

from pathlib import Path
from typing import Final

import click
import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from feature_repo import store
from feature_repo.stores.plan import Kind, Plan
from motherlode.cli import options, pipeline
from motherlode.redis_server import running
from motherlode.settings import Settings

_TOLD: Final = {
    "incremental": "the next run",
    "full": "all there is, into what is read",
    "shadow": "all there is, beside what is read",
}


@click.command()
@click.argument("views", nargs=-1, metavar="[VIEW]...")
@click.option("--full", is_flag=True, help="Everything that the snapshots hold, not the next run alone.")
@click.option("--shadow", is_flag=True, help="A new generation, as `materialize --shadow` writes it.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@options.home
def plan(views: tuple[str, ...], full: bool, shadow: bool, as_json: bool, home: Path | None) -> None:
    """Predict rows, Redis' memory and time of the next `motherlode materialize`.

    A few rows of each view are packed; keys and zeros as long as these lie in Redis for a moment to be weighed, where
    it evicts nothing. Nothing else is written.
    """
    if full and shadow:
        raise click.UsageError("--full and --shadow are two things: give one.")
    kind: Kind = "full" if full else "shadow" if shadow else "incremental"
    unbound = Settings.from_env(home=home)
    pipeline.require_features(unbound)
    with running(unbound) as settings:
        planned = store.plan(settings, kind, views=views)
    if as_json:
        click.echo(msgspec.json.encode(planned).decode())
    else:
        _show(Console(highlight=False), planned)


def _show(console: Console, planned: Plan) -> None:
    table = Table(title=f"Plan: {_TOLD[planned.kind]}", box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("view", "rows", "new", "bytes a row", "MiB", "seconds", "by"):
        table.add_column(heading, justify="left" if heading in ("view", "by") else "right")
    for view in planned.views:
        table.add_row(
            view.view,
            f"{view.rows:,}",
            f"{view.new:,}",
            f"{view.row_bytes:,.0f}",
            _mib(view.bytes),
            f"{view.seconds:.1f}",
            view.by,
        )
    console.print(table)
    limit = f" of {_mib(planned.limit)}" if planned.limit else ""
    freed = f", after {_mib(planned.freed)} MiB of the previous generation went" if planned.freed else ""
    console.print(
        f"{planned.rows:,} rows in about {planned.seconds:.0f} s. Redis holds {_mib(planned.used)}{limit} MiB and "
        f"grows by {_mib(planned.bytes)}{freed}; this process by {_mib(planned.writer_bytes)} at the most.",
        soft_wrap=True,
    )
    for warning in planned.warnings:
        console.print("[yellow]warning:[/] ", end="")
        console.print(warning, markup=False, soft_wrap=True)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f}"
