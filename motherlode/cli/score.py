"""`motherlode score`: every customer's scores into a Parquet file."""

from pathlib import Path

import click
from rich.console import Console

from feature_repo.warehouse import state, tables
from motherlode import audit, bundle, bundles
from motherlode.api import SERVICE
from motherlode.cli import options
from motherlode.consent import Purposes, UnknownPurposeError
from motherlode.errors import SettingsError
from motherlode.settings import Settings
from training.batch import score_all
from training.withheld import withhold


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The Parquet file to write."
)
@click.option("--campaign", help="The campaign type that the response score is for; without it that score is null.")
@click.option(
    "--purpose",
    default=SERVICE,
    show_default=True,
    help="What the scores are for, one of MOTHERLODE_PURPOSES: who has no consent to it, or was contacted for it as "
    "often as may be, gets none.",
)
@options.home
def score(out: Path, campaign: str | None, purpose: str, home: Path | None) -> None:
    """Score every customer with the current bundle, from the newest feature snapshots."""
    settings = Settings.from_env(home=home)
    try:
        Purposes.of(settings).rule(purpose)
    except UnknownPurposeError as error:
        raise SettingsError(str(error), f"Use one of {', '.join(error.known)} (MOTHERLODE_PURPOSES).") from None
    state.read(settings)  # an older version's home is upgraded first
    if not out.absolute().parent.is_dir():
        raise SettingsError(f"The folder of {out} does not exist.", "Make it first.")
    serving = bundle.load(bundles.current(settings.models), settings.trusted_keys)
    bundle.require_identity(serving.manifest, settings.identity)
    audit.check(settings)
    try:
        scores = score_all(settings, serving, campaign)
    except ValueError as error:
        raise SettingsError(str(error), "Give one of them by --campaign, or none.") from None
    scores = withhold(settings, scores, tables.outside_ids(settings), purpose)
    scratch = out.with_name(f".{out.name}.writing")
    scores.write_parquet(scratch)
    scratch.replace(out)
    audit.record(
        settings, "export", str(out), customers=scores.height, bundle=serving.manifest.version, purpose=purpose
    )
    counts = ", ".join(f"{n:,} {status}" for status, n in scores["status"].value_counts(sort=True).iter_rows())
    what = f"{scores.height:,} customers in {out} ({counts}), by bundle {serving.manifest.version}, for {purpose!r}."
    Console().print(what, soft_wrap=True)
