"""`motherlode materialize`: feature snapshots → online store."""

from pathlib import Path

import click
from rich.console import Console

from motherlode.cli import options, pipeline
from motherlode.cli.stages import Stages
from motherlode.lock import exclusive
from motherlode.redis_server import running
from motherlode.settings import Settings


@click.command()
@options.home
def materialize(home: Path | None) -> None:
    """Write the newest feature snapshots into the online store, as `feast materialize-incremental` does.

    Rows that may have arrived late are sent again; what is older than the row in Redis changes nothing.
    """
    console = Console()
    unbound = Settings.from_env(home=home)
    pipeline.require_features(unbound)
    with exclusive(unbound), running(unbound) as settings:
        written = pipeline.materialise(settings, Stages(console))
    console.print(f"{sum(written.values()):,} rows sent in {len(written)} views.")
