"""`motherlode rekey`: replace the pseudonym key, or the key that raw is encrypted by."""

from pathlib import Path

import click
from rich.console import Console

from feature_repo.erasure import renamed
from feature_repo.mart import given, manifest
from feature_repo.warehouse import privacy, reencrypt, state
from motherlode import audit, consent, people
from motherlode.cli import ingest, options, pipeline, project
from motherlode.cli.stages import Stages
from motherlode.compute import choose
from motherlode.errors import DataError
from motherlode.lock import exclusive
from motherlode.redis_server import running
from motherlode.settings import Settings
from training import publish


@click.command()
@click.option(
    "--raw", is_flag=True, help="Re-encrypt raw by MOTHERLODE_RAW_KEY; the old key: MOTHERLODE_PREVIOUS_RAW_KEY."
)
@project.mapping
@options.home
@options.device
def rekey(raw: bool, mapping: Path | None, home: Path | None, device: str | None) -> None:
    """Know every customer by the new pseudonym key alone.

    First set MOTHERLODE_PSEUDONYM_KEY to the new key, list the old one in MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS, and start
    servers anew with both: until the job has ended they find customers by either. A job that was killed is run again.
    """
    settings = Settings.from_env(home=home, mapping=mapping, device=device)
    console = Console()
    if raw:
        with exclusive(settings):
            _raw(settings, Stages(console), console)
        return
    _require_change(settings)
    with exclusive(settings), running(settings) as bound:
        _pseudonyms(bound, Stages(console), console)


def _require_change(settings: Settings) -> None:
    """Check that there is something to do, before a server is started for it."""
    known = state.read(settings)
    if not known.loads:
        raise DataError(f"Nothing was loaded in {settings.home}.", "Run `motherlode ingest`: it takes the current key.")
    privacy.check_keys(settings, known)
    if known.key_ids == settings.identity.key_ids[:1]:
        raise DataError(
            f"The customers in {settings.home} are known by the current pseudonym key alone.",
            "Set MOTHERLODE_PSEUDONYM_KEY to a new key (`motherlode keys new`) and list the current one in "
            "MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS; where both are so, the job has ended: unlist the old key.",
        )


def _pseudonyms(settings: Settings, stages: Stages, console: Console) -> None:
    """Every step can be done twice: what a killed job left out, the next one does."""
    known, now = state.read(settings), settings.identity.key_id
    keys = {"before": _named(known.key_ids), "now": _named((now,))}
    audit.record(settings, "rekey", "begun", **keys)
    customers = privacy.outside_ids(settings, known)  # with those of superseded files, that the load leaves out
    ingest.into_warehouse(settings, project.find(settings), stages)
    customers = list({*customers, *privacy.outside_ids(settings, state.read(settings))})
    given.rename(settings, settings.identity, customers)
    # In this order: what is withdrawn in between is said under the names that the ledger is about to have, or takes.
    people.rename(settings, consent.renamed(settings, customers))
    consent.rename(settings, customers)
    removed = _online(settings, stages, customers) if manifest.read(settings).views else 0
    version = publish.rebind(settings)
    privacy.conclude(settings)
    audit.record(settings, "rekey", "ended", **keys, rows_removed=removed)
    told = f"Every customer is known by {_named((now,))} alone; {removed:,} online rows of older keys were removed."
    console.print(told, "Unlist the old key, and start servers anew without it.", soft_wrap=True, highlight=False)
    if version is not None:
        console.print(f"Bundle {version} is current.", highlight=False)


def _online(settings: Settings, stages: Stages, customers: list[str]) -> int:
    """Features and online rows under the new key; returns how many rows of the old one were removed."""
    pipeline.features(settings, choose(settings.device), stages)
    pipeline.materialise(settings, stages)
    with stages.stage("old rows", 1) as advance:
        removed = renamed.remove(settings, customers)
        advance(f"{removed:,} rows")
    return removed


def _raw(settings: Settings, stages: Stages, console: Console) -> None:
    with stages.stage("raw", len(reencrypt.raw_files(settings))) as advance:
        written = reencrypt.reencrypt(settings, advance)
    console.print(f"{written:,} files were encrypted anew. MOTHERLODE_PREVIOUS_RAW_KEY is not needed any more.")


def _named(key_ids: tuple[str, ...]) -> str:
    return ", ".join(f"pseudonym key {each}" if each else "no pseudonym key" for each in key_ids)
