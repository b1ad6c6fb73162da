"""`motherlode demo`: the main job on real data, from raw tables to live answers."""

import shlex
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from feature_repo.features import view
from feature_repo.mart import manifest
from feature_repo.warehouse import tables
from motherlode import bundle, names
from motherlode.cli import evaluate, ingest, job, options, project
from motherlode.cli.stages import Stages
from motherlode.compute import choose
from motherlode.lock import exclusive
from motherlode.manifest import REPORT
from motherlode.redis_server import running
from motherlode.settings import Settings
from serving import server


@click.command()
@click.option("--serve", is_flag=True, help="Serve the answers over HTTP until Ctrl-C.")
@click.option("--port", type=int, help="Port to serve on (MOTHERLODE_PORT; 8000 by default).")
@options.home
@options.device
def demo(serve: bool, port: int | None, home: Path | None, device: str | None) -> None:
    """Raw tables → warehouse → features → online store → models → bundle, and with --serve, live answers.

    What an earlier run left is reused where it is still valid.
    """
    settings = Settings.from_env(home=home, device=device, port=port)
    if serve:
        server.require_free_port(settings)  # before minutes of work, not after
    console = Console()
    choose(settings.device)  # a GPU that is not there fails here, not after the first stages
    console.print(f"State: {settings.home}", soft_wrap=True, highlight=False)
    with running(settings) as bound:
        folder = run(bound, console)
        manifest = bundle.read_manifest(folder)
        evaluate.show(console, manifest)
        _next_steps(console, bound, folder)
        _warn_if_stale(console, bound)
        if serve:
            server.run(bound, on_ready=lambda: console.print(f"Serving on {server.address(bound)} until Ctrl-C."))


def run(settings: Settings, console: Console) -> Path:
    """Every stage up to the published bundle; returns its folder."""
    stages = Stages(console)
    compute = choose(settings.device)
    with exclusive(settings):
        lineage, folder = job.whole(settings, project.demo(settings), compute, stages)
    ingest.show(console, lineage)
    return folder


def _warn_if_stale(console: Console, settings: Settings) -> None:
    """The demo's dates were moved at its first landing; long after it, its features are too old to serve."""
    age = datetime.now(UTC) - manifest.read(settings).snapshots[-1]
    if age > view.TTL:
        console.print(
            f"[yellow]The newest snapshot is {age.days} days old, so every answer is flagged stale.[/] "
            f"Delete {settings.home} and run again: the demo's dates move to today.",
            soft_wrap=True,
            highlight=False,
        )


def _next_steps(console: Console, settings: Settings, folder: Path) -> None:
    example = tables.outside_ids(settings)[names.OUTSIDE_ID][0]
    url = server.address(settings)
    console.print("\nTry:", highlight=False)
    for path, body in (
        ("/v1/score", f'{{"customer_ids": [{example}], "campaign": {{"type": "Type A"}}}}'),
        ("/v1/recommend", f'{{"customer_ids": [{example}], "k": 5}}'),
    ):
        line = f"  curl -s {url}{path} -H 'Content-Type: application/json' -d {shlex.quote(body)}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"\nReport: {folder / REPORT}", highlight=False, soft_wrap=True)
