"""`motherlode rollback`: serve the bundle before."""

from pathlib import Path

import click
from rich.console import Console

from motherlode import bundles
from motherlode.cli import options
from motherlode.lock import exclusive
from motherlode.settings import Settings
from training.publish import take_back


@click.command()
@options.home
def rollback(home: Path | None) -> None:
    """Make the bundle that was published before the current one current again.

    A running server takes it up by itself.
    """
    settings = Settings.from_env(home=home)
    withdrawn = bundles.current(settings.models).name
    with exclusive(settings):
        version = take_back(settings)
    Console().print(f"Bundle {version} is current; {withdrawn} is kept.")
