"""`motherlode score`: every customer's scores into a Parquet file."""

from pathlib import Path

import click
from rich.console import Console

from feature_repo.warehouse import state
from motherlode import audit, bundle
from motherlode.cli import options
from motherlode.errors import SettingsError
from motherlode.settings import Settings
from training.batch import score_all


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The Parquet file to write."
)
@click.option("--campaign", help="The campaign type that the response score is for; without it that score is null.")
@options.home
def score(out: Path, campaign: str | None, home: Path | None) -> None:
    """Score every customer with the current bundle, from the newest feature snapshots."""
    settings = Settings.from_env(home=home)
    state.read(settings)  # an older version's home is upgraded first
    if not out.absolute().parent.is_dir():
        raise SettingsError(f"The folder of {out} does not exist.", "Make it first.")
    serving = bundle.load(bundle.current(settings.models), settings.trusted_keys)
    bundle.require_identity(serving.manifest, settings.identity)
    audit.check(settings)
    try:
        scores = score_all(settings, serving, campaign)
    except ValueError as error:
        raise SettingsError(str(error), "Give one of them by --campaign, or none.") from None
    scratch = out.with_name(f".{out.name}.writing")
    scores.write_parquet(scratch)
    scratch.replace(out)
    audit.record(settings, "export", str(out), customers=scores.height, bundle=serving.manifest.version)
    counts = ", ".join(f"{n:,} {status}" for status, n in scores["status"].value_counts(sort=True).iter_rows())
    what = f"{scores.height:,} customers in {out} ({counts}), by bundle {serving.manifest.version}."
    Console().print(what, soft_wrap=True)
