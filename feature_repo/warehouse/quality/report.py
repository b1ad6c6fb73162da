"""The quality report: one HTML file, readable offline, that loads nothing from anywhere."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import jinja2
from markupsafe import Markup, escape

from feature_repo.warehouse import files
from feature_repo.warehouse.quality import charts, drift
from feature_repo.warehouse.quality.drift import Change
from feature_repo.warehouse.quality.finding import percent
from feature_repo.warehouse.quality.measure import FileRejection, Quality, TableQuality
from feature_repo.warehouse.quality.profile import Column

Row = TypeVar("Row")

PAGE: Final = "report.html"
"""Its name in the folder of the figures, where no other is asked for."""

_JOINT: Final = re.compile(r"(?<=[._/])")
_FILES: Final = 30
_CHANGES: Final = 30
_LOADS: Final = 20
"""Rows of a list before the rest is counted."""


@dataclass(frozen=True)
class Shape:
    """A column as the page shows it."""

    column: Column
    drawing: Markup
    ends: tuple[str, str]
    facts: tuple[str, ...]


def write(quality: Quality, path: Path) -> Path:
    """Write the page, whole or not at all, and answer where it is."""
    files.write(path, render(quality).encode())
    return path


def render(quality: Quality) -> str:
    """The page. Whatever comes from data is escaped."""
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[[Any], object]] = {
        "count": lambda value: f"{value:,}",
        "rows": lambda value: "1 row" if value == 1 else f"{value:,} rows",
        "percent": percent,
        "moment": moment,
        "day": lambda value: "–" if value is None else f"{value:%Y-%m-%d}",
        "figure": lambda value: "–" if value is None else f"{value:,.2f}",
        "short": lambda value: "–" if value is None else short(value),
        "breakable": breakable,
        "said": said,
    }
    environment.filters.update(filters)
    return environment.get_template("template.html").render(
        quality=quality,
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),
        headline=_headline(quality),
        tables=[(table, _balance(table)) for table in quality.tables],
        files=_cut(_by_file(quality.files), _FILES),
        changes=_cut(_telling(quality.changes), _CHANGES),
        moved={(it.table, it.column) for it in quality.changes if drift.emptied(it) or drift.moved(it)},
        rows_changed=_rows_changed(quality),
        loads=_cut(quality.loads, _LOADS),
        shapes=[
            (table, [_shape(f"c-{table.name}-{place}", it) for place, it in enumerate(table.figures.columns)])
            for table in quality.tables
            if table.figures is not None and table.figures.rows
        ],
    )


def moment(value: datetime | None) -> str:
    """A time to the minute: 2026-11-22 05:49 UTC."""
    return "–" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def short(value: float) -> str:
    """A figure where there is little room: 0 · 0.133 · 84.4 · 2,970."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "−")


def breakable(name: str) -> Markup:
    """A name that may go on in the next line after an underscore, a dot or a slash."""
    return Markup("<wbr>").join(escape(part) for part in _JOINT.split(name))


def said(text: str) -> Markup:
    """A sentence whose `commands` stand as such."""
    parts = str(escape(text)).split("`")
    if len(parts) % 2 == 0:  # a single one, of a value
        return escape(text)
    return Markup("".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts)))


def _headline(quality: Quality) -> tuple[tuple[str, str], ...]:
    offered = sum(table.landed - table.excluded for table in quality.tables)
    rejected = sum(table.rejected for table in quality.tables)
    newest = max((table.newest for table in quality.tables if table.newest is not None), default=None)
    failures = sum(it.severity == "fail" for it in (*quality.findings, *quality.refused_load))
    warnings = sum(it.severity == "warn" for it in quality.findings)
    return (
        (f"{sum(table.rows for table in quality.tables):,}", "rows integrated"),
        (percent(rejected / offered) if offered else "–", "of the offered rows rejected"),
        (f"{failures} / {warnings}", "findings: fail / warn"),
        ("–" if newest is None else f"{newest:%Y-%m-%d}", "newest event"),
    )


def _balance(table: TableQuality) -> tuple[tuple[str, int], ...]:
    return (
        ("landed", table.landed),
        ("excluded", table.excluded),
        ("rejected", table.rejected),
        ("merged", sum(table.merged.values())),
        ("derived", table.derived),
        ("integrated", table.rows),
    )


def _by_file(found: Sequence[FileRejection]) -> list[tuple[str, str, int, str]]:
    """Table, file, rows and the rules, the most rows first."""
    grouped: dict[tuple[str, str], list[FileRejection]] = {}
    for it in found:
        grouped.setdefault((it.table, it.file), []).append(it)
    rows = [
        (table, file, sum(it.rows for it in its), "; ".join(f"{it.rule} {it.rows:,}" for it in its))
        for (table, file), its in grouped.items()
    ]
    return sorted(rows, key=lambda row: -row[2])


def _telling(changes: Sequence[Change]) -> list[Change]:
    """What moved most first; what did not move at all is left out."""
    weight = {id(it): max(abs(it.null_new - it.null_before), (it.psi or 0.0), abs(it.shift or 0.0)) for it in changes}
    return sorted((it for it in changes if weight[id(it)] > 0.005), key=lambda it: -weight[id(it)])


def _rows_changed(quality: Quality) -> list[tuple[str, int, int]]:
    """Table, rows before and after the newest load; nothing after a first load."""
    if len(quality.loads) < 2:
        return []
    now, before = quality.loads[0].rows, quality.loads[1].rows
    return [(table, before.get(table, 0), now.get(table, 0)) for table in {**now, **before}]


def _cut(rows: Sequence[Row], most: int) -> tuple[Sequence[Row], int]:
    return rows[:most], max(len(rows) - most, 0)


def _shape(key: str, column: Column) -> Shape:
    facts = [f"{percent(column.null_share)} null" if column.nulls else "no nulls"]
    facts.append(f"{'' if column.exact else 'at least '}{column.distinct:,} different")
    if column.counts:
        ends = (_end(column, column.edges[0]), _end(column, column.edges[-1]))
        if column.low is not None and column.high is not None:
            facts.append(f"from {_end(column, column.low)} to {_end(column, column.high)}")
        if column.quantiles and column.kind == "number":
            facts.append(f"median {short(column.quantiles[2])}, 5 % below {short(column.quantiles[0])}")
            facts.append(f"mean {short(column.mean or 0.0)}, deviation {short(column.deviation or 0.0)}")
        return Shape(column, charts.histogram(key, column, ends), ends, tuple(facts))
    if column.top:
        return Shape(column, charts.bars(key, column), ("", ""), tuple(facts))
    why = {"identifier": "an identifier: no values are shown", "sensitive": "sensitive: no values are shown"}
    facts.append(why.get(column.privacy, "every row has its own" if column.distinct > 1 else "nothing to show"))
    return Shape(column, Markup(), ("", ""), tuple(facts))


def _end(column: Column, value: float) -> str:
    if column.kind != "time":
        return short(value)
    return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d}"
