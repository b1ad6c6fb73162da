"""The report's drawings, as inline SVG: colours are CSS classes, so that light and dark share them."""

from typing import Final

from markupsafe import Markup

from feature_repo.warehouse.quality.profile import Column

_WIDTH: Final = 160.0
_HEIGHT: Final = 48.0
_VALUES: Final = 6
"""Frequent values drawn; the rest are few."""


def histogram(key: str, column: Column, ends: tuple[str, str]) -> Markup:
    """A column's distribution as one small shape.

    Args:
        key: unique on the page; letters, digits, hyphens and underscores.
        column: with `counts`.
        ends: its first and last edge, in words.
    """
    most, wide = max(column.counts), _WIDTH / len(column.counts)
    path = "".join(
        f"V{_HEIGHT - (_HEIGHT - 1) * count / most:.1f}H{(place + 1) * wide:.1f}"
        for place, count in enumerate(column.counts)
    )
    shape = Markup('<path class="bars" d="M0 {0:g}{1}V{0:g}Z"/>').format(_HEIGHT, path)
    description = f"{sum(column.counts):,} rows between {ends[0]} and {ends[1]}."
    return _drawing(key, f"Distribution of {column.name}", description, shape)


def bars(key: str, column: Column) -> Markup:
    """A column's most frequent values, a bar and a figure each: a list, since its words must be read."""
    whole = max(round(column.looked_at * (1 - column.null_share)), 1)
    rows = Markup("").join(
        Markup(
            '<li><span class="value">{0}</span><span class="bar" style="--length:{1:.1f}%"></span>'
            '<span class="share">{2}</span></li>'
        ).format(it.text if it.text.strip() else "(blank)", 100 * it.rows / column.top[0].rows, _share(it.rows, whole))
        for it in column.top[:_VALUES]
    )
    return Markup('<ol class="top" id="{0}" aria-label="Frequent values of {1}">{2}</ol>').format(
        key, column.name, rows
    )


def _share(rows: int, whole: int) -> str:
    points = 100 * min(rows / whole, 1.0)
    return f"{points:.0f} %" if points >= 10 else f"{points:.1f} %"


def _drawing(key: str, title: str, description: str, body: Markup) -> Markup:
    return Markup(
        '<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="{key}-title {key}-desc">'
        '<title id="{key}-title">{title}</title><desc id="{key}-desc">{description}</desc>{body}</svg>'
    ).format(width=_WIDTH, height=_HEIGHT, key=key, title=title, description=description, body=body)
