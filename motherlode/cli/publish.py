"""`motherlode publish`: make a bundle the one that serves."""

from pathlib import Path

import click
from rich.console import Console

from motherlode import bundles
from motherlode.cli import options
from motherlode.cli.labels import give_segments
from motherlode.errors import BundleError
from motherlode.lock import exclusive
from motherlode.settings import Settings, read_secret
from training.publish import publish as put_in_place


@click.command()
@click.argument("version", required=False)
@click.option(
    "--sign-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Sign it by the key in this file (MOTHERLODE_SIGNING_KEY_FILE).",
)
@options.home
def publish(version: str | None, sign_key: Path | None, home: Path | None) -> None:
    """Verify a bundle and make it current; the newest by default. A running server takes it up by itself."""
    signing_key = None if sign_key is None else read_secret(sign_key, "--sign-key")
    settings = Settings.from_env(home=home, signing_key=signing_key)
    console = Console()
    known = bundles.versions(settings.models)
    if version is None:
        if not known:
            raise BundleError(f"No bundle was written in {settings.models}.", "Run `motherlode train` first.")
        version = known[-1]
    with exclusive(settings):
        gone = put_in_place(settings, version)
        console.print(f"Bundle {version} is current.")
        labels = give_segments(settings)
    if labels:
        console.print(f"Labels given or withdrawn, of the segments that it tells: {labels:,}.", highlight=False)
    if gone:
        console.print(f"Collected: {', '.join(gone)}.")
