"""`motherlode upgrade`: the state of an older version → this one's."""

from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from feature_repo import store
from feature_repo.mart import manifest
from feature_repo.warehouse import state
from feature_repo.warehouse import upgrade as warehouse
from motherlode import bundle, bundles
from motherlode.cli import options, pipeline
from motherlode.cli.stages import Stages
from motherlode.compute import choose
from motherlode.errors import MotherlodeError, StoreError
from motherlode.lock import exclusive
from motherlode.online import live
from motherlode.online.keys import complete_key
from motherlode.online.reader import mget
from motherlode.packed import FORMAT_VERSION
from motherlode.redis_server import connect, running
from motherlode.runtime import verify
from motherlode.settings import Settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@options.home
@options.device
def upgrade(dry_run: bool, home: Path | None, device: str | None) -> None:
    """Bring a home folder of an older version to this one: layers, registry, online rows and bundle.

    The old warehouse stays whole until the new one is complete; an upgrade that was killed is run again. Copy the
    folder first all the same: there is no way back to the older version.
    """
    settings = Settings.from_env(home=home, device=device)
    console = Console()
    if not settings.home.is_dir():
        raise StoreError(f"There is no state in {settings.home}.", "Name its folder by --home.")
    landed = warehouse.landing(settings)
    if landed is None:
        state.read(settings)  # an unknown layout is an error
        _upgrade_rows(settings, console, dry_run=dry_run)
        return
    if not warehouse.flipped(settings):
        warehouse.check(settings, landed)
    if dry_run:
        _plan(console, settings, landed)
        return
    with exclusive(settings), running(settings) as bound:
        _upgrade(bound, landed, console)


def _upgrade_rows(settings: Settings, console: Console, *, dry_run: bool) -> None:
    """Online rows of another version, in a home whose folders are this one's."""
    with ExitStack() as held:
        views: list[str] = []
        if manifest.read(settings).views:
            if not dry_run:
                held.enter_context(exclusive(settings))
            settings = held.enter_context(running(settings))
            views = _written_otherwise(settings)
        if not views:
            console.print(f"{settings.home} is of layout {state.VERSION}: there is nothing to upgrade.", soft_wrap=True)
            return
        told = f"Online rows of {', '.join(views)} are of another version's format"
        if dry_run:
            console.print(f"{told}: they would be sent again. Nothing was done.", soft_wrap=True, highlight=False)
            return
        console.print(f"{told}, and are sent again.", soft_wrap=True, highlight=False)
        pipeline.materialise(settings, Stages(console))


def _written_otherwise(settings: Settings) -> list[str]:
    """Views that were written whole, in another format than this version's."""
    views = sorted(manifest.read(settings).views)
    with connect(settings) as client:
        read = live.read(client, settings.project)
        marks = mget(client, [complete_key(settings.project, view, read.generation(view)) for view in views])
    mine = f"{FORMAT_VERSION}-".encode()
    return [view for view, mark in zip(views, marks, strict=True) if mark is not None and not mark.startswith(mine)]


def _upgrade(settings: Settings, landed: warehouse.Landing, console: Console) -> None:
    """Every step can be done twice: the record that an upgrade is under way goes last."""
    stages = Stages(console)
    before = warehouse.rows(settings)
    if not warehouse.flipped(settings):
        with stages.flow("warehouse") as flow:
            warehouse.rebuild(settings, landed, flow)
    if manifest.read(settings).views:
        pipeline.features(settings, choose(settings.device), stages)
        pipeline.materialise(settings, stages)
    told = _bundle(settings)
    with stages.stage("old files", 1) as advance:
        warehouse.clear(settings)
        advance("removed")
    _show(console, before, {name: table.rows for name, table in state.read(settings).integrated.items()})
    console.print(told, soft_wrap=True, highlight=False)


def _bundle(settings: Settings) -> str:
    """Whether the bundle that serves can go on serving; it is never changed here."""
    if not (settings.models / bundles.CURRENT).exists():
        return "No bundle was published."
    again = "Run `motherlode train` and `motherlode publish`."
    try:
        loaded = bundle.load(bundles.current(settings.models), settings.trusted_keys)
        bundle.require_identity(loaded.manifest, settings.identity)
        verify(loaded)
        asked = loaded.manifest.services
        changed = [name for name, service in asked.items() if store.resolve(settings, name) != service]
    except MotherlodeError as error:
        return f"The bundle cannot go on serving: {error} {again}"
    version = loaded.manifest.version
    if changed:
        return f"Bundle {version} is whole, but the features of {', '.join(changed)} are others now. {again}"
    return (
        f"Bundle {version} is verified and goes on serving: it asks for features that are all there. "
        "Its models were trained on the older version's tables; `motherlode train` makes new ones."
    )


def _plan(console: Console, settings: Settings, landed: warehouse.Landing) -> None:
    files = warehouse.old_files(settings)
    size = sum(path.stat().st_size for path in files)
    steps = [
        "clean and integrated are built anew from raw by this version's mapping of the demo; the landing of "
        f"{landed.landed_at:%Y-%m-%d %H:%M} UTC and its {landed.shift_weeks} weeks of moved dates are kept",
        f"{len(files)} files of layout 1, {size / 1e6:,.1f} MB, are removed once the new ones are the state",
    ]
    if warehouse.flipped(settings):
        steps[0] = "the warehouse is done: an upgrade that was killed goes on"
    if manifest.read(settings).views:
        steps.insert(1, "feature snapshots are computed anew, applied to the registry, and sent online again")
    steps.append("the bundle that serves is verified and kept")
    console.print(f"{settings.home} is of layout 1; this Motherlode reads {state.VERSION}.", soft_wrap=True)
    for step in steps:
        console.print(f"- {step}", soft_wrap=True, highlight=False)
    console.print("Nothing was done. Copy the folder first: there is no way back.", soft_wrap=True)


def _show(console: Console, before: dict[str, int], after: dict[str, int]) -> None:
    table = Table(title="Integrated rows")
    for heading in ("table", "before", "now"):
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for name, rows in after.items():
        table.add_row(name, f"{before[name]:,}" if name in before else "–", f"{rows:,}")
    console.print(table)
