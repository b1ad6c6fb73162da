"""`motherlode keys`: make a key, and see which keys are in use, without showing one."""

import os
import secrets
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from feature_repo.warehouse import state, vault
from motherlode import bundle, bundles, signing
from motherlode.cli import options
from motherlode.errors import BundleError, SettingsError
from motherlode.settings import Settings, read_secret

_BYTES = 32
_NONE = "none"


@click.group()
def keys() -> None:
    """Make the keys of pseudonyms and of raw files, and see which are in use."""


@keys.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write, for you alone to read; without it the key is printed.",
)
def new(out: Path | None) -> None:
    """Make a random key. Keep a copy elsewhere: without it, nothing that was made with it can be read or joined."""
    key = secrets.token_hex(_BYTES)
    if out is None:
        click.echo(key)
        return
    try:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SettingsError(f"{out} exists.", "Name another file: a key that is in use must not be lost.") from None
    with os.fdopen(handle, "w") as file:
        file.write(f"{key}\n")
    where = f"A key is in {out}. Name it by MOTHERLODE_PSEUDONYM_KEY_FILE, MOTHERLODE_RAW_KEY_FILE or, to sign bundles,"
    Console().print(where, "MOTHERLODE_SIGNING_KEY_FILE.", soft_wrap=True, highlight=False)


@keys.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def public(file: Path) -> None:
    """Print the public key of the signing key in FILE, for MOTHERLODE_TRUSTED_KEYS where bundles are served."""
    click.echo(signing.public_key(read_secret(file, "FILE")))


@keys.command()
@options.home
def show(home: Path | None) -> None:
    """Show the ids of the keys that are given, and of those that the state was made with."""
    settings = Settings.from_env(home=home)
    table = Table(title="Keys by their ids")
    for heading in ("of", "given here", "in use"):
        table.add_column(heading)
    known = state.read(settings)
    table.add_row("pseudonyms", *(_ids(each) for each in (settings.identity.key_ids, known.key_ids)))
    raw = [vault.key_id(each) for each in (settings.raw_key, settings.previous_raw_key) if each is not None]
    paths = [*(each.path for each in known.raw if each.path), *(each.path for each in known.identities)]
    used = sorted({vault.key_id_of(settings.home / path) for path in paths})
    table.add_row("raw", _ids(raw or [""]), _ids(used))
    table.add_row("the bundle", "", _bundle(settings))
    Console().print(table)


def _bundle(settings: Settings) -> str:
    try:
        return _ids([bundle.read_manifest(bundles.current(settings.models)).identity])
    except BundleError:
        return "–"


def _ids(key_ids: list[str] | tuple[str, ...]) -> str:
    return ", ".join(each or _NONE for each in key_ids) or "–"
