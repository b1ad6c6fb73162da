"""`motherlode features describe`: what each feature says, over what, in what unit, and how often it is missing."""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path

import click
import polars as pl
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feature_repo.features import tags
from feature_repo.features.view import View
from feature_repo.mart import manifest, views
from feature_repo.mart.manifest import Manifest
from motherlode import names
from motherlode.cli import options
from motherlode.cli.features_list import RULES, declared, described, place, stood, tell_unbuilt, type_name
from motherlode.errors import DataError
from motherlode.settings import Settings


@click.command()
@click.argument("name", required=False, metavar="[VIEW[.FEATURE]]")
@options.home
def describe(name: str | None, home: Path | None) -> None:
    """Print the catalogue, one VIEW of it, or one FEATURE: grain, types, units, sources, windows, missing values."""
    settings, console = Settings.from_env(home=place(home)), Console()
    known, built = {view.name: view for view in views.load(settings)}, manifest.read(settings)
    tell_unbuilt(console, settings, built)
    if name is None:
        console.print(_constants(declared(), "Windows, half-lives and cut-offs"))
        for view in known.values():
            _show(console, settings, view, built, tuple(view.meanings))
        return
    wanted, _, feature = name.partition(".")
    if wanted not in known:
        raise DataError(f"There is no view {wanted!r}.", f"Known: {', '.join(known)}.")
    view = known[wanted]
    if feature and feature not in view.meanings:
        raise DataError(f"The view {wanted!r} has no feature {feature!r}.", f"It has {', '.join(view.meanings)}.")
    _show(console, settings, view, built, (feature,) if feature else tuple(view.meanings))
    code = inspect.getsource(view.module)
    if used := {it: said for it, said in declared().items() if re.search(rf"\b{it}\b", code)}:
        console.print(_constants(used, "Declared in feature_repo/features/windows.py"))


def missing(settings: Settings, view: View, built: Manifest) -> Mapping[str, float]:
    """The share of nulls of each feature in the view's newest snapshot; empty where it has no rows."""
    if view.name not in built.views or built.views[view.name].rows == 0:
        return {}
    rows = manifest.scan(settings, view.name)
    newest = rows.select(pl.col(names.EVENT_TIMESTAMP).max()).collect().item()
    shares = rows.filter(pl.col(names.EVENT_TIMESTAMP) == newest).select(
        pl.col(name).is_null().mean() for name in view.meanings
    )
    return shares.collect().row(0, named=True)


def flowing(doc: str) -> str:
    """A docstring with each paragraph and each point of a list on one line, to be broken where the terminal ends."""
    return re.sub(r"(?<!\n)\n(?!\n|- )\s*", " ", inspect.cleandoc(doc))


def _show(console: Console, settings: Settings, view: View, built: Manifest, features: tuple[str, ...]) -> None:
    told = described(view, built)
    console.rule(Text(view.name), align="left")
    console.print(Text(flowing(view.doc)))
    facts = {"entity": told["entity"], "reads": ", ".join(view.reads), "time to live": f"{view.ttl.days} days"}
    if told["newest"]:
        facts["built"] = f"{told['built'][:16]} UTC, code {told['code'][:12]}"
        facts["holds"] = f"{told['rows']:,} rows, {stood(told['snapshots'])}, the newest of {told['newest'][:16]}"
    console.print(Text("\n".join(f"{name}: {value}" for name, value in facts.items()), style="dim"))
    shares = missing(settings, view, built)
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("feature", overflow="fold", min_width=16)
    for heading in ("type", "unit"):
        table.add_column(heading)
    table.add_column("missing", justify="right", no_wrap=True)
    table.add_column("what it says", overflow="fold", min_width=20)
    for name in features:
        it = view.meanings[name]
        share = f"{shares[name]:.1%}" if name in shares else "–"
        table.add_row(*map(Text, (name, type_name(it.dtype), it.unit, share, it.doc)))
    console.print(table)
    if view.module is tags:
        console.print(_rules())


def _rules() -> Table:
    table = Table("label", "version", "holds for", title=RULES, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for rule in tags.RULES:
        table.add_row(*map(Text, (rule.tag, rule.version, rule.doc)))
    return table


def _constants(said: Mapping[str, tuple[str, str]], title: str) -> Table:
    table = Table("name", "is", "for", title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for name, (value, doc) in said.items():
        table.add_row(*map(Text, (name, value, doc)))
    return table
