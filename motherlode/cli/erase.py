"""`motherlode erase`: customers out of everything, for good."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from feature_repo import store
from feature_repo.erasure import job
from feature_repo.erasure.certificate import CERTIFICATES, Certificate
from feature_repo.warehouse.places import Place
from motherlode.cli import options, project
from motherlode.cli.stages import Stages
from motherlode.errors import DataError
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings


@click.command()
@click.argument("customers", nargs=-1, metavar="[CUSTOMER]...")
@click.option(
    "--from-file",
    type=click.File("r", encoding="utf-8"),
    help="A file of ids, one a line; - for standard input. What is typed stands in the shell's history.",
)
@click.option("--person", is_flag=True, help="And everybody who was found to be one person with them.")
@click.option("--dry-run", is_flag=True, help="Show what would go; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Leave a tombstone for customers that are not known, too.")
@click.option(
    "--verify/--no-verify",
    default=None,
    help="Look through every file of home at the end; by default where it has less than 4 GB.",
)
@project.mapping
@options.home
def erase(
    customers: Sequence[str],
    from_file: Iterable[str] | None,
    person: bool,
    dry_run: bool,
    yes: bool,
    force: bool,
    verify: bool | None,
    mapping: Path | None,
    home: Path | None,
) -> int:
    """Erase customers, by the company's own ids, and keep them out.

    They go from raw, quarantine and every layer above, saved data sets, events, and the online store. A tombstone,
    from which nobody can tell who it is of, keeps out whatever brings them back: a file, a push, a restored backup.
    The certificate tells each place, and the models that were trained on them. Ends with 1 where something is left to
    do. Killed, it is run again with the same ids.
    """
    settings, console = Settings.from_env(home=home, mapping=mapping), Console()
    asked = _asked([*customers, *(from_file or ())])
    wanted = job.one_person(settings, asked) if person else asked
    _check(settings, wanted, force=force)
    if len(others := set(job.one_person(settings, wanted)) - set(wanted)):
        _say(console, f"{len(others)} more ids were found to be one person with these; --person erases them, too.")
    if dry_run:
        _show(console, job.find(settings, wanted, store.saved_elsewhere(settings)), "What would go")
        return 0
    if not yes:
        click.confirm(f"Erase {_number(len(wanted), 'customer')} for good?", abort=True)
    with Stages(console).stage("erase", len(job.STEPS)) as advance:
        told = store.erase(settings, wanted, verify=verify, on_step=advance)
    _tell(console, settings, told)
    return 0 if told.complete else 1


def _asked(texts: Iterable[str]) -> list[str]:
    """The ids, each once."""
    found = list(dict.fromkeys(text.strip() for text in texts if text.strip()))
    if not found:
        raise DataError("No customer is named.", "Give their ids, or a file of them by --from-file.")
    return found


def _check(settings: Settings, wanted: Sequence[str], *, force: bool) -> None:
    """Check that everybody is known, or was erased before."""
    if force:
        return
    known = Tombstones(settings).among("outside", wanted)
    strangers = job.strangers(settings, [each for each in wanted if each not in known])
    if strangers:
        raise DataError(
            f"Nothing is known of {', '.join(strangers[:5])}{', ...' if len(strangers) > 5 else ''}.",
            "Give the company's own ids, as raw has them; --force leaves a tombstone for later all the same.",
        )


def _show(console: Console, places: Iterable[Place], title: str) -> None:
    rows: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        rows[place.name].append(place)
    table = Table(title=title, title_justify="left")
    for heading in ("place", "files or keys", "rows"):
        table.add_column(heading, justify="left" if heading == "place" else "right")
    for name, found in rows.items():
        table.add_row(name, f"{len(found):,}", f"{sum(each.rows for each in found):,}")
    console.print(table)
    if not rows:
        _say(console, "Nothing of them is here.")


def _tell(console: Console, settings: Settings, told: Certificate) -> None:
    _show(console, told.places, "What went")
    for model in told.models:
        serving = ", which serves now" if model.current else ""
        _say(console, f"trained on them: bundle {model.version}{serving}. Run `motherlode train` and `publish`.")
    if told.outdated:
        _say(console, f"until the next `motherlode features`: sums and ranks of {', '.join(told.outdated)}.")
    for text in told.remains:
        _say(console, f"left: {text}")
    for each in told.backups:
        if not each.told:
            _say(console, f"NOT TOLD: the backups in {each.folder}: {each.problem}. Run this again once it is there.")
    for failure in told.failures:
        _say(console, f"STILL THERE: {failure}")
    _say(console, f"Certificate {settings.home / CERTIFICATES / told.id}.json")


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
