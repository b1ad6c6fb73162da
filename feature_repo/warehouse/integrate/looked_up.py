"""Sources that are looked up in and are no table's: what became of each of their rows."""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

import polars as pl

from feature_repo.warehouse import contract, duplicates, lookups, parts
from feature_repo.warehouse.integrate.table import WHOLE, Place
from feature_repo.warehouse.lookups import LookUps
from feature_repo.warehouse.mapping.model import Join
from feature_repo.warehouse.state import Integrated, digest
from feature_repo.warehouse.task import Task


def account(place: Place, look_ups: LookUps, sources: Iterable[str], tasks: Sequence[Task]) -> dict[str, Integrated]:
    """Every source's record: `clean` are its rows, `rows` those that a row refers to.

    Args:
        place: whose, and what was there before.
        look_ups: the sources, read.
        sources: which of them.
        tasks: every file that may refer to them.
    """
    return {source: _source(place, look_ups, source, tasks) for source in sorted(sources)}


def _source(place: Place, look_ups: LookUps, source: str, tasks: Sequence[Task]) -> Integrated:
    referring = [(task, join) for task in tasks for join in task.joins if join.source == source]
    inputs = digest(str(contract.VERSION), source, *(task.inputs for task, _ in referring))
    known = place.before.lookups.get(source)
    if known is not None and not place.again and known.inputs.get(WHOLE) == inputs and _whole(place, known):
        return known
    if not referring:
        return Integrated(table=source, parts={}, inputs={WHOLE: inputs}, rows=0)
    # Joins by several keys all count as references; the first one's key tells the source's own rows apart.
    joins: dict[tuple[str, ...], list[tuple[Task, Join]]] = {}
    for task, join in referring:
        joins.setdefault(tuple(lookups.pairs(join).values()), []).append((task, join))
    look_up, _ = look_ups.of(referring[0][1])
    used = [
        lookups.used(place.settings, look_ups.of(mine[0][1])[0], [(task.landed, join) for task, join in mine])
        for mine in joins.values()
    ]
    found = lookups.account(place.settings, look_up, pl.concat(used).unique(maintain_order=True))
    names = {unit: landed.name for unit, landed in enumerate(look_up.files)}
    folder = quote(source, safe=" ")
    ledger = parts.write(
        place.settings, f"integrated/{folder}", "merged", duplicates.ledger(source, found.merged, names)
    )
    quarantine = parts.write(place.settings, f"quarantine/{folder}", "integrated", [found.rejected])
    return Integrated(
        table=source,
        parts={},
        inputs={WHOLE: inputs},
        rows=found.used,
        clean=sum(landed.rows for landed in look_up.files),
        merged=ledger.rows if ledger is not None else 0,
        rejected=quarantine.rows if quarantine is not None else 0,
        ledger=ledger,
        quarantine=quarantine,
    )


def _whole(place: Place, known: Integrated) -> bool:
    return parts.holds(place.settings, known.ledger) and parts.holds(place.settings, known.quarantine)
