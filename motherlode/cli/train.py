"""`motherlode train`: feature snapshots → a bundle."""

from pathlib import Path

import click
from rich.console import Console

from motherlode import bundle, bundles
from motherlode.cli import options, pipeline
from motherlode.cli.evaluate import show
from motherlode.cli.stages import Stages
from motherlode.compute import choose
from motherlode.lock import exclusive
from motherlode.settings import Settings


@click.command()
@options.home
@options.device
@click.option("--again", is_flag=True, help="Train even where the data has not changed since the current bundle.")
def train(home: Path | None, device: str | None, again: bool) -> None:
    """Train every model on the feature snapshots and write a verified bundle.

    It is not served before `motherlode publish`.
    """
    settings = Settings.from_env(home=home, device=device)
    console = Console()
    with exclusive(settings):
        before = bundles.versions(settings.models)
        folder = pipeline.train(settings, choose(settings.device), Stages(console), again=again)
    show(console, bundle.read_manifest(folder))
    what = "is still valid, nothing was trained (--again trains)" if folder.name in before else "is written"
    console.print(f"Bundle {folder.name} {what}. Serve it with: motherlode publish {folder.name}", soft_wrap=True)
