"""`motherlode rollback`: serve the bundle before."""

from pathlib import Path

import click
from rich.console import Console

from motherlode import bundle
from motherlode.cli import options
from motherlode.errors import BundleError
from motherlode.settings import Settings
from training.publish import publish


@click.command()
@options.home
def rollback(home: Path | None) -> None:
    """Make the bundle before the current one current. A running server takes it up by itself."""
    settings = Settings.from_env(home=home)
    now = bundle.current(settings.models).name
    older = [version for version in bundle.versions(settings.models) if version < now]
    if not older:
        raise BundleError(f"There is no bundle before {now}.", "Train and publish a new one.")
    publish(settings, older[-1])
    Console().print(f"Bundle {older[-1]} is current; {now} is kept.")
