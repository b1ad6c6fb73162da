"""`motherlode audit`: who did what to the data, and whether the log of it is whole."""

from datetime import datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feature_repo.warehouse import state as states
from motherlode import audit as log
from motherlode.chain import FIRST
from motherlode.cli import options
from motherlode.errors import DataError
from motherlode.settings import Settings
from serving import audit as access

_LAST: Final = 20


@click.group(invoke_without_command=True)
@click.pass_context
def audit(context: click.Context) -> None:
    """Show or verify the audit log: who loaded, released, exported, published, erased what, and when."""
    if context.invoked_subcommand is None:
        context.invoke(show)


@audit.command()
@click.option("--last", type=click.IntRange(min=1), default=_LAST, show_default=True, help="How many entries.")
@options.home
def show(last: int, home: Path | None) -> None:
    """Print the newest entries, after the whole log was verified."""
    settings = Settings.from_env(home=home)
    entries = log.read(settings)
    table = Table(title=f"{len(entries):,} entries in {settings.home / log.LOG}")
    for heading in ("", "at (UTC)", "who", "did", "to", "details"):
        table.add_column(heading, justify="left" if heading else "right", overflow="fold")
    for entry in entries[-last:]:
        details = ", ".join(f"{name} {value}" for name, value in entry.details.items())
        cells = (str(entry.seq), entry.at[:19], entry.actor, entry.action, entry.subject, details)
        table.add_row(*map(Text, cells))
    Console().print(table)


@audit.command()
@options.home
def verify(home: Path | None) -> None:
    """Check that no entry was changed, removed, inserted or moved, here and in the logs of who asked for whom.

    Print the last one's hash, to keep elsewhere.
    """
    settings = Settings.from_env(home=home)
    entries, loads = log.read(settings), len(states.read(settings).loads)
    if loads and not entries:
        raise DataError(
            f"There is no audit log in {settings.home}, and {loads} loads were made there: it was removed.",
            "Restore audit.jsonl and audit.head from a backup.",
        )
    last = entries[-1].hash if entries else FIRST
    Console().print(f"{len(entries):,} entries, none changed. The last one's hash: {last}", soft_wrap=True)
    if asked := access.verify(settings):
        Console().print(f"{asked:,} entries of who asked for whom, none changed.", highlight=False)


@audit.command()
@click.argument("customer")
@options.home
def asked(customer: str, home: Path | None) -> None:
    """Print who asked for CUSTOMER, by the company's id, after the access logs were verified."""
    settings = Settings.from_env(home=home)
    entries = access.asked_for(settings, customer)
    table = Table("at (UTC)", "caller", "route", "purpose", "bundle", "request", title=f"{len(entries):,} requests")
    for entry in entries:
        more = (str(entry.details[name]) for name in ("purpose", "bundle", "request"))
        table.add_row(*map(Text, (entry.at[:19], entry.actor, entry.subject, *more)))
    Console().print(table)


@audit.command()
@click.option("--before", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The first day that is kept.")
@options.home
def drop(before: datetime, home: Path | None) -> None:
    """Remove the access logs of days before one; the audit log keeps that they were."""
    gone = access.drop(Settings.from_env(home=home), before.strftime("%Y-%m-%d"))
    Console().print(f"{len(gone):,} access logs were removed.", highlight=False)
