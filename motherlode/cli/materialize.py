"""`motherlode materialize`: feature snapshots → online store."""

from pathlib import Path

import click
from rich.console import Console

from motherlode.cli import options, pipeline
from motherlode.cli.stages import Stages
from motherlode.redis_server import running
from motherlode.settings import Settings


@click.command()
@options.home
def materialize(home: Path | None) -> None:
    """Write what is new in the feature snapshots into the online store, as `feast materialize-incremental` does."""
    console = Console()
    with running(Settings.from_env(home=home)) as settings:
        written = pipeline.materialise(settings, Stages(console))
    console.print(f"{sum(written.values()):,} rows written in {len(written)} views.")
