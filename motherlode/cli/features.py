"""`motherlode features`: warehouse → feature snapshots, applied to Feast."""

from pathlib import Path

import click
from rich.console import Console

from motherlode.cli import options, pipeline
from motherlode.cli.stages import Stages
from motherlode.compute import choose
from motherlode.lock import exclusive
from motherlode.settings import Settings


@click.command()
@options.home
@options.device
def features(home: Path | None, device: str | None) -> None:
    """Compute the weekly feature snapshots and apply their definitions to Feast's registry."""
    settings = Settings.from_env(home=home, device=device)
    with exclusive(settings):
        pipeline.features(settings, choose(settings.device), Stages(Console()))
