"""What is wrong with the files themselves: refused, missing, empty, of other columns than the ones before."""

from collections.abc import Iterator, Mapping
from typing import Final

from feature_repo.warehouse.contract import Severity
from feature_repo.warehouse.mapping import model
from feature_repo.warehouse.quality import classes, layers
from feature_repo.warehouse.quality.finding import Finding, share
from feature_repo.warehouse.state import Landed, State
from motherlode import names

_NEEDED: Final = (names.TRANSACTIONS, names.CUSTOMERS)
"""Tables that nothing can be made without, where they are mapped."""


def find(mapping: model.Mapping, state: State, before: State) -> Iterator[Finding]:
    """Findings about the files landed since the state before."""
    yield from refused(state, before)
    yield from missing(mapping, state)
    yield from damaged(state, before)
    yield from changed(state, before)


def refused(state: State, before: State) -> Iterator[Finding]:
    """Files that could not be used at all, and that no later one of the same name stands in for."""
    healed = {(it.source, it.name): it.order for it in state.raw if it.status == "active"}
    for it in layers.new_landed(state, before):
        if it.status == "refused" and healed.get((it.source, it.name), 0) < it.order:
            yield Finding("warn", it.source, f"file {it.name} was refused", it.problem, it.remedy)


def missing(mapping: model.Mapping, state: State) -> Iterator[Finding]:
    """Sources that a table is made from and that have no usable file."""
    there = {it.source for it in state.raw if it.status == "active"}
    for table in mapping.tables:
        sources = {entry.from_ for entry in classes.entries(mapping, table)}
        looked_up = {join.source for entry in classes.entries(mapping, table) for join in entry.join}
        severity: Severity = "fail" if table in _NEEDED and not sources & there else "warn"
        for source in sorted((sources | looked_up) - there):
            files = mapping.sources[source].files if source in mapping.sources else None
            value = "a query" if files is None else files if isinstance(files, str) else ", ".join(files)
            refused = [it for it in state.raw if it.source == source and it.status == "refused"]
            if refused:  # the newest one's reason stands for all
                value = f"{value}; {refused[-1].name} was refused: {refused[-1].problem} {refused[-1].remedy}"
            remedy = f"Give the source {source!r} a file that can be read, or take it out of the mapping."
            yield Finding(severity, table, f"the source {source} has no usable file", value, remedy)


def damaged(state: State, before: State) -> Iterator[Finding]:
    """Files without a row, and lines that are no row."""
    for it in layers.new_landed(state, before):
        if it.status != "active":
            continue
        if not it.rows:
            remedy = "Check the export: it has a header and nothing below."
            yield Finding("warn", it.source, f"file {it.name} is empty", "0 rows", remedy)
        if it.malformed:
            remedy = "Look at them by `motherlode quarantine list`; correct the delimiter, the quotes or the lines."
            yield Finding(
                "warn", it.source, f"file {it.name} has lines that are no row", share(it.malformed, it.rows), remedy
            )


def changed(state: State, before: State) -> Iterator[Finding]:
    """Columns that came, went, or are of another type than in the source's file before."""
    for it in layers.new_landed(state, before):
        earlier = [one for one in state.raw if _compares(one, it)]
        if it.status != "refused" and it.columns and earlier:
            last = max(earlier, key=lambda one: one.order)
            yield from _differences(last, it)


def _compares(earlier: Landed, now: Landed) -> bool:
    """Whether a file came before another of its source, and was good."""
    same = earlier.source == now.source and earlier.order < now.order
    return same and earlier.status != "refused" and bool(earlier.columns)


def _differences(last: Landed, now: Landed) -> Iterator[Finding]:
    where = f"{now.name}, against {last.name}"
    for column, (old, new) in _retyped(last.columns, now.columns).items():
        remedy = "Export the column as before, or state its `type` in the mapping, so that both are read alike."
        yield Finding("warn", now.source, f"column {column} changed its type", f"{old} → {new} in {where}", remedy)
    for column in last.columns.keys() - now.columns.keys():
        remedy = "Export it again, or take it out of the mapping."
        yield Finding("warn", now.source, f"column {column} is gone", where, remedy)
    for column in now.columns.keys() - last.columns.keys():
        remedy = "Map it, or leave it: nothing reads it so far."
        yield Finding("warn", now.source, f"column {column} is new", where, remedy)


def _retyped(last: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Columns of another type; one that was or is wholly null has none."""
    both = [name for name in last if name in now and last[name] != now[name]]
    return {name: (last[name], now[name]) for name in both if "Null" not in (last[name], now[name])}
