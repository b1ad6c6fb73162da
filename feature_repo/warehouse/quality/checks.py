"""What two sources must agree in: the mapping's `checks`, number against number for every key."""

from collections.abc import Iterator
from typing import Final

import msgspec
import polars as pl

from feature_repo.warehouse import tables
from feature_repo.warehouse.contract import Severity
from feature_repo.warehouse.mapping import expressions
from feature_repo.warehouse.mapping.model import Check, Mapping, Total
from feature_repo.warehouse.quality import classes
from feature_repo.warehouse.quality.finding import Finding, share
from feature_repo.warehouse.state import State
from motherlode import names
from motherlode.errors import DataError
from motherlode.settings import Settings

WORST: Final = 10
"""Differences that are listed."""
_ROUNDING: Final = 1e-9
"""The difference, as a share, that the order of a sum's terms may make."""


class Difference(msgspec.Struct, frozen=True):
    """A key whose numbers differ; a key that one side lacks has None there, which counts as 0."""

    key: str
    left: float | None
    right: float | None


class Comparison(msgspec.Struct, frozen=True):
    """What a check has found.

    Attributes:
        name, severity: the check's.
        left, right: what was compared, in words.
        keys: that either side has.
        differing: keys beyond the tolerance.
        total_left, total_right: over all keys.
        worst: the largest differences, at most WORST.
        problem: why it could not be computed; empty where it could.
    """

    name: str
    severity: Severity
    left: str
    right: str
    keys: int = 0
    differing: int = 0
    total_left: float = 0.0
    total_right: float = 0.0
    worst: tuple[Difference, ...] = ()
    problem: str = ""


def find(comparisons: Iterator[Comparison] | tuple[Comparison, ...], mapping: Mapping) -> Iterator[Finding]:
    """A finding for each comparison that does not hold."""
    tables = {check.name: check.left.table for check in mapping.checks}
    for it in comparisons:
        table, what = tables.get(it.name, ""), f"`{it.name}` does not hold"
        if it.problem:
            remedy = "Correct the check in the mapping."
            yield Finding(it.severity, table, f"`{it.name}` cannot be computed", it.problem, remedy)
        elif it.differing:
            first = it.worst[0]
            value = (
                f"{share(it.differing, it.keys)} keys differ; in all {_both(it.total_left, it.total_right)}; "
                f"most: {first.key} {_both(first.left, first.right)}"
            )
            remedy = f"Compare {it.left} with {it.right} in the sources; one misses rows or counts otherwise."
            yield Finding(it.severity, table, what, value, remedy)


def compare_all(settings: Settings, mapping: Mapping, state: State) -> Iterator[Comparison]:
    """Every check of the mapping."""
    for check in mapping.checks:
        visible = _visible(mapping, check.left) and _visible(mapping, check.right)
        left, right = (tables.scan_state(settings, state, side.table) for side in (check.left, check.right))
        yield compare(check, left, right, visible=visible)


def compare(check: Check, left: pl.LazyFrame, right: pl.LazyFrame, *, visible: bool = True) -> Comparison:
    """One check.

    Args:
        check: what to compare.
        left, right: its tables.
        visible: whether its keys may be shown.
    """
    told = Comparison(check.name, check.severity, _words(check.left), _words(check.right))
    try:
        return _compare(check, left, right, told, visible=visible)
    except pl.exceptions.PolarsError as error:
        return msgspec.structs.replace(told, problem=str(error).splitlines()[0])
    except DataError as error:
        return msgspec.structs.replace(told, problem=str(error))


def _compare(check: Check, left: pl.LazyFrame, right: pl.LazyFrame, told: Comparison, *, visible: bool) -> Comparison:
    a, b = pl.col("left").fill_null(0.0), pl.col("right").fill_null(0.0)
    larger = pl.max_horizontal(a.abs(), b.abs())
    distance = (a - b).abs()
    both = (
        _numbers(check.left, left, "left")
        .join(_numbers(check.right, right, "right"), on="key", how="full", coalesce=True)
        .with_columns(distance=distance, differs=distance > larger * (check.tolerance + _ROUNDING))
        .collect(engine="streaming")
    )
    worst = both.filter("differs").sort("distance", "key", descending=[True, False]).head(WORST)
    return msgspec.structs.replace(
        told,
        keys=both.height,
        differing=int(both["differs"].sum()),
        total_left=float(both["left"].sum()),
        total_right=float(both["right"].sum()),
        worst=tuple(
            Difference(key if visible else classes.HIDDEN, *numbers)
            for key, *numbers in worst.select("key", "left", "right").iter_rows()
        ),
    )


def _numbers(side: Total, frame: pl.LazyFrame, name: str) -> pl.LazyFrame:
    """`key`, as text, and its number. Rows without a key belong to nobody."""
    if side.where is not None:
        known = expressions.Known(dict(frame.collect_schema()), what="columns")
        frame = frame.filter(expressions.condition(side.where, known).value)
    value = pl.len() if side.column is None else pl.col(side.column).cast(pl.Float64).sum()
    key = pl.col(side.by).cast(pl.String).alias("key")
    return frame.filter(pl.col(side.by).is_not_null()).group_by(key).agg(value.cast(pl.Float64).alias(name))


def _visible(mapping: Mapping, side: Total) -> bool:
    """Whether keys may be shown: join keys may, since clean holds no others; another identifier or a sensitive
    column may not."""
    return side.by == names.CUSTOMER_ID or classes.shown(classes.classes(mapping, side.table), side.by)


def _words(side: Total) -> str:
    what = f"the rows of {side.table}" if side.column is None else f"{side.table}.{side.column}"
    return f"{what} by {side.by}" + (f" where {side.where}" if side.where else "")


def _both(left: float | None, right: float | None) -> str:
    return f"{_shown(left)} against {_shown(right)}"


def _shown(value: float | None) -> str:
    return "nothing" if value is None else f"{value:,.2f}"
