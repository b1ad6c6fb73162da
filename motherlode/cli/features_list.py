"""`motherlode features list`: every feature view, what it holds and how fresh it is."""

import ast
import inspect
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click
import polars as pl
from rich.console import Console
from rich.text import Text

from feature_repo.features import catalogue, tags, windows
from feature_repo.features.view import View, Words
from feature_repo.mart import manifest, schedule, views
from feature_repo.mart.manifest import Manifest
from motherlode.cli import options
from motherlode.settings import Settings

PLACEHOLDERS: Final = Words(
    departments={"<department>": "a department"},
    campaign_types={"<campaign type>": "a campaign type"},
    channels={"<channel>": "a channel"},
    attributes={"<attribute>": "String"},
    purposes=("<purpose>",),
)
"""Words of no company: how the documentation names features that follow a company's words."""
RULES: Final = "Labels by rules, from purchases alone:"


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: every view with its features, types, units, docs.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the catalogue as docs/features.md has it.")
@options.home
def list_views(as_json: bool, as_markdown: bool, home: Path | None) -> None:
    """Print every feature view: its entity, rows, snapshots, newest one, features, time to live."""
    if as_markdown:
        click.echo(markdown(catalogue.views(PLACEHOLDERS)), nl=False)
        return
    settings = Settings.from_env(home=place(home))
    known, built = views.load(settings), manifest.read(settings)
    if as_json:
        click.echo(json.dumps([described(view, built) for view in known], indent=1, ensure_ascii=False))
        return
    console = Console()
    tell_unbuilt(console, settings, built)
    for view in known:
        told = described(view, built)
        made = f"{told['rows']:>11,} rows, {stood(told['snapshots']):>13} to {str(told['newest'])[:10]}"
        head = f"{view.name:<18} {told['entity']:<8} {made if told['newest'] else '  not built':<46}"
        console.print(Text(f"{head} {counted(len(view.meanings), 'feature'):>12}, {view.ttl.days} d"), soft_wrap=True)
        console.print(Text(f"    {view.summary}", style="dim"), soft_wrap=True)


def tell_unbuilt(console: Console, settings: Settings, built: Manifest) -> None:
    """Say where nothing was built: a home that is mistyped looks the same."""
    if not built.views:
        console.print(Text(f"Nothing was built in {settings.home}: this is the catalogue alone."), soft_wrap=True)


def stood(snapshots: int) -> str:
    """So many snapshots, in words."""
    return counted(snapshots, "snapshot")


def counted(number: int, what: str) -> str:
    """So many of something, in words."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def place(home: Path | None) -> Path | None:
    """`--home`, whether it stands before the sub-command or after it."""
    parent = click.get_current_context().parent
    return home or (parent.params.get("home") if parent is not None else None)


def described(view: View, built: Manifest) -> dict[str, Any]:
    """A view as JSON has it."""
    made = built.views.get(view.name)
    snapshots = schedule.stood(view, built)
    return {
        "view": view.name,
        "entity": view.key.removesuffix("_id"),
        "own": view.name not in catalogue.MODULES,
        "rows": made.rows if made else 0,
        "snapshots": len(snapshots) if made else 0,
        "newest": snapshots[-1].isoformat() if made and snapshots else None,
        "built": made.created_at.isoformat() if made else None,
        "code": made.code if made else None,
        "ttl_days": view.ttl.days,
        "reads": list(view.reads),
        "doc": view.doc,
        "features": [
            {"feature": name, "type": type_name(it.dtype), "unit": it.unit, "doc": it.doc}
            for name, it in view.meanings.items()
        ],
    }


def _kept(view: View) -> str:
    if view.latest_only:
        return " The latest snapshot alone is kept."
    return f" Earlier snapshots stand {view.spacing.days} days apart." if view.spacing else ""


def declared() -> dict[str, tuple[str, str]]:
    """The constants of `windows`: name → what it is, and the docstring below it."""
    body = ast.parse(inspect.getsource(windows)).body
    found = {}
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_"):
            doc = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            found[node.target.id] = (_said(getattr(windows, node.target.id)), " ".join(str(doc).split()))
    return found


def markdown(known: Sequence[View]) -> str:
    """The catalogue as Markdown: the windows, then a heading and a table for each view, and the rules of `tags`."""
    lines = ["### Windows, half-lives and cut-offs", "", "| name | is | for |", "|---|---|---|"]
    lines += [f"| `{name}` | {_cell(value)} | {_cell(doc)} |" for name, (value, doc) in declared().items()]
    lines.append("")
    for view in known:
        entity = view.key.removesuffix("_id")
        article = "an" if entity[0] in "aeiou" else "a"
        head = f"Made of `{'`, `'.join(view.reads)}`; one row {article} {entity} and snapshot."
        note = _kept(view)
        lines += [f"### `{view.name}`", "", f"{view.summary} {head}{note}", ""]
        lines += ["| feature | type | unit | what it says |", "|---|---|---|---|"]
        lines += [
            f"| `{name}` | {type_name(it.dtype)} | {_cell(it.unit)} | {_cell(it.doc)} |"
            for name, it in view.meanings.items()
        ]
        lines.append("")
        if view.module is tags:
            lines += [RULES, "", "| label | version | holds for |", "|---|---|---|"]
            lines += [f"| `{rule.tag}` | {rule.version} | {_cell(rule.doc)} |" for rule in tags.RULES]
            lines.append("")
    return "\n".join(lines)


def type_name(dtype: pl.DataType) -> str:
    """A type in few letters: `Float32`, `List(String)`, `Datetime`."""
    if isinstance(dtype, pl.List):
        return f"List({type_name(pl.Series(dtype=dtype.inner).dtype)})"
    return "Datetime" if isinstance(dtype, pl.Datetime) else str(dtype)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _said(value: object) -> str:
    if isinstance(value, timedelta):
        return f"{value / timedelta(days=1):g} days"
    if isinstance(value, tuple):
        return ", ".join(map(_said, value))
    return str(value)
