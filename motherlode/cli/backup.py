"""`motherlode backup`: an encrypted copy of the home, kept for a stated time."""

import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from motherlode import audit
from motherlode.backup.folder import KEEP_DAYS
from motherlode.backup.restore import listed
from motherlode.backup.restore import verify as verified
from motherlode.backup.take import take
from motherlode.cli import options
from motherlode.cli.stages import Stages
from motherlode.settings import Settings


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--full", is_flag=True, help="Read every file, and store anew what is damaged in FOLDER.")
@click.option(
    "--keep-days",
    type=click.IntRange(min=1),
    help=f"Remove backups older than this, from now on ({KEEP_DAYS} where it was never said).",
)
@click.option("--list", "show", is_flag=True, help="List the backups in FOLDER, and take none.")
@click.option("--verify", is_flag=True, help="Read and authenticate all that lies in FOLDER, and take none.")
@options.home
def backup(folder: Path, full: bool, keep_days: int | None, show: bool, verify: bool, home: Path | None) -> None:
    """Back the home up into FOLDER, encrypted by MOTHERLODE_BACKUP_KEY.

    Every backup can be restored by itself; contents that several hold are stored once. The first reads every file,
    those after it the files that were written since. Online rows are not in it: after a restore, `motherlode
    materialize` writes them from the mart.
    """
    settings = Settings.from_env(home=home)
    console = Console(highlight=False)
    if show or verify:
        if verify:
            _verify(console, settings, folder)
        if show:
            _list(console, settings, folder)
        return
    started = time.perf_counter()
    audit.check(settings)
    with Stages(console).flow("backup") as flow:
        taken = take(
            settings, folder, full=full, keep_days=keep_days, advance=lambda done, size: flow("", done, size or 1)
        )
    made = taken.manifest
    audit.record(settings, "backup", made.id, kind=made.kind, files=len(made.files), bytes=made.size)
    console.print(
        f"Backup {made.id} ({made.kind}): {len(made.files):,} files, {made.size / 1e6:,.1f} MB; {taken.read:,} read, "
        f"{taken.stored / 1e6:,.1f} MB stored anew, in {time.perf_counter() - started:.1f} s.",
        soft_wrap=True,
    )
    if taken.expired:
        console.print(f"{len(taken.expired)} older ones were removed, {taken.freed / 1e6:,.1f} MB.", soft_wrap=True)
    for name in taken.dropped:
        console.print(f"{name} could not be read, and was removed.", soft_wrap=True)
    if taken.problem:
        console.print(f"[bold]Nothing old was removed[/]: {taken.problem}", soft_wrap=True)


def _verify(console: Console, settings: Settings, folder: Path) -> None:
    with Stages(console).flow("verify") as flow:
        size = verified(settings, folder, lambda done, size: flow("", done, size or 1))
    console.print(f"Every backup in {folder} is whole: {size / 1e6:,.1f} MB read, none changed.", soft_wrap=True)


def _list(console: Console, settings: Settings, folder: Path) -> None:
    opened, manifests, damaged = listed(settings, folder)
    days = opened.header.keep_days
    table = Table()
    for heading in ("id", "taken at (UTC)", "kind", "files", "MB"):
        table.add_column(heading, justify="right" if heading in ("files", "MB") else "left")
    for each in manifests:
        cells = (each.id, f"{each.at:%Y-%m-%d %H:%M:%S}", each.kind, f"{len(each.files):,}", f"{each.size / 1e6:,.1f}")
        table.add_row(*cells)
    console.print(f"Backups in {folder}, kept for {days} days; the newest one is kept however old.", soft_wrap=True)
    console.print(table)
    for problem in damaged:
        console.print(f"Cannot be read: {problem}", soft_wrap=True, markup=False)
