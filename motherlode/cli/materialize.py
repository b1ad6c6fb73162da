"""`motherlode materialize`: feature snapshots → online store; into what is read, or into a shadow beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from feature_repo import store
from feature_repo.stores.compare import Comparison, Feature
from feature_repo.stores.rollout import Rollout
from motherlode.cli import options, pipeline
from motherlode.cli.stages import Stages
from motherlode.lock import exclusive
from motherlode.redis_server import running
from motherlode.settings import Settings

_WORST: Final = 12
"""Features of a view that the table shows: those that differ most."""


@click.command()
@click.argument("views", nargs=-1, metavar="[VIEW]...")
@click.option("--shadow", is_flag=True, help="Write a new generation beside what is read, compare, and flip or refuse.")
@click.option("--force", is_flag=True, help="With --shadow: flip whatever the comparison says.")
@click.option("--rollback", is_flag=True, help="Read again what was read before the last flip.")
@click.option("--drop-previous", is_flag=True, help="Remove what is kept for a rollback.")
@click.option("--json", "as_json", is_flag=True, help="With --shadow: print the comparison as JSON.")
@options.home
def materialize(
    views: tuple[str, ...],
    shadow: bool,
    force: bool,
    rollback: bool,
    drop_previous: bool,
    as_json: bool,
    home: Path | None,
) -> int:
    """Write the newest feature snapshots into the online store, as `feast materialize-incremental` does.

    Rows that may have arrived late are sent again; what is older than the row in Redis changes nothing. A run that was
    killed goes on where it was. VIEWs name some views; all by default.
    """
    if shadow + rollback + drop_previous > 1:
        raise click.UsageError("--shadow, --rollback and --drop-previous are three things: give one.")
    if (force or as_json) and not shadow:
        raise click.UsageError("--force and --json belong to --shadow.")
    unbound = Settings.from_env(home=home)
    pipeline.require_features(unbound)
    # What JSON is read from must hold nothing else.
    console = Console(stderr=as_json, highlight=False)
    with exclusive(unbound), running(unbound) as settings:
        if rollback:
            _rollback(settings, views, console)
        elif drop_previous:
            console.print(f"{store.drop_previous(settings, views):,} rows of previous generations were removed.")
        elif shadow:
            return _shadow(settings, views, console, force=force, as_json=as_json)
        else:
            written = pipeline.materialise(settings, Stages(console), views)
            console.print(f"{sum(written.values()):,} rows sent in {len(written)} views.")
    return 0


def _rollback(settings: Settings, views: tuple[str, ...], console: Console) -> None:
    for view, generation in store.rollback(settings, views).items():
        console.print(f"{view}: generation {generation} is read again.")
    console.print("The next `motherlode materialize` writes what it lacks.")


def _shadow(settings: Settings, views: tuple[str, ...], console: Console, *, force: bool, as_json: bool) -> int:
    rollout = pipeline.shadow(settings, Stages(console), views, force=force)
    if as_json:
        click.echo(msgspec.json.encode(rollout).decode())
    else:
        _show(console, rollout)
    return 0 if rollout.flipped else 1


def _show(console: Console, rollout: Rollout) -> None:
    console.print(_summary(rollout.comparisons))
    for each in rollout.comparisons:
        if each.refusals:
            console.print()
            console.print(_features(each))
        for refusal in each.refusals:
            console.print(f"[red]{each.view}:[/] ", end="")
            console.print(refusal, markup=False, soft_wrap=True)
    if rollout.flipped:
        despite = ", in spite of that," if rollout.forced else ""
        console.print(f"{len(rollout.comparisons)} views were flipped{despite} to their new generations.")
        console.print("`motherlode materialize --rollback` reads the previous ones again.")
    else:
        console.print("Nothing was flipped, and the new generations were removed; --force flips all the same.")


def _summary(comparisons: Sequence[Comparison]) -> Table:
    """A view a line, with its worst feature's figures."""
    table = _table("view", "rows", "rows, new", "compared", "more null", "PSI", "unequal", "")
    for each in comparisons:
        table.add_row(
            each.view,
            f"{each.live_rows:,}",
            f"{each.shadow_rows:,}",
            f"{each.sampled:,}",
            _percent(max(map(_rise, each.features), default=None)),
            _psi(max((feature.shift for feature in each.features if feature.shift is not None), default=None)),
            _percent(max((feature.unequal for feature in each.features if feature.unequal is not None), default=None)),
            "[red]refused[/]" if each.refusals else "alike",
        )
    return table


def _features(comparison: Comparison) -> Table:
    table = _table(f"feature of {comparison.view}", "null", "null, new", "PSI", "unequal", "")
    for feature in sorted(comparison.features, key=_severity, reverse=True)[:_WORST]:
        table.add_row(
            feature.name,
            _percent(feature.nulls_live),
            _percent(feature.nulls_shadow),
            _psi(feature.shift),
            _percent(feature.unequal),
            "" if feature.what == "both" else feature.what,
        )
    if len(comparison.features) > _WORST:
        table.caption = f"The {_WORST} of {len(comparison.features)} features that differ most."
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right" if heading else "left")
    return table


def _rise(feature: Feature) -> float:
    return max(0.0, (feature.nulls_shadow or 0.0) - (feature.nulls_live or 0.0)) if feature.what == "both" else 0.0


def _severity(feature: Feature) -> float:
    return (feature.what != "both") * 10 + _rise(feature) + (feature.shift or 0.0) + (feature.unequal or 0.0)


def _psi(shift: float | None) -> str:
    return "–" if shift is None else f"{shift:.3f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
