"""A table in one file a month: months whose inputs are as they were are kept, others are made anew."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from feature_repo.warehouse import parts
from feature_repo.warehouse.integrate import imputing
from feature_repo.warehouse.integrate.table import (
    LEDGER,
    OF_MONTH,
    REJECTED,
    WHOLE,
    Clean,
    Outcome,
    Place,
    digest_of,
    write,
)
from feature_repo.warehouse.state import Integrated, Part, digest


@dataclass(frozen=True)
class Month:
    """One month in the making.

    Attributes:
        name: as in "2024-03".
        past: the columns that missing values are filled by, of all earlier months; None where nothing is filled.
        write: takes rows.
        outcome: takes what is no row.
    """

    name: str
    past: pl.DataFrame | None
    write: Callable[[pl.DataFrame], None]
    outcome: Outcome


def integrate(
    place: Place, clean: Clean, aliases: pl.DataFrame, make: Callable[[Month], None], *others: str
) -> Integrated:
    """Make the months of a table that are stale.

    Args:
        place, clean: whose, and what of.
        aliases: `customer_id`, `into_customer_id`: another set of them makes every month stale.
        make: writes one month.
        others: digests of what else every month is made from.
    """
    made: dict[str, Part] = {}
    inputs: dict[str, str] = {WHOLE: clean.inputs(digest_of(aliases), *others)}
    if (known := place.kept(clean.table, inputs[WHOLE])) is not None:
        return known
    outcome = Outcome()
    earlier = ""
    for month in clean.months:
        inputs[month] = clean.inputs_of(month, digest_of(aliases), earlier, *others)
        if clean.impute:  # what is filled in depends on every month before
            earlier = digest(earlier, inputs[month])
        part = place.kept_month(clean.table, month, inputs[month])
        if part is not None:
            _keep(place, clean, month, outcome)
        else:
            past = imputing.past(place.settings, clean, made.values()) if clean.impute else None
            with parts.writing(place.settings, f"integrated/{clean.table}", month) as draft:
                make(Month(month, past, draft.append, outcome))
            part = draft.part
        if part is not None:
            made[month] = part
    return write(place, clean, made, inputs, outcome)


def _keep(place: Place, clean: Clean, month: str, outcome: Outcome) -> None:
    """What the month's rows that were merged or rejected became stays as it is."""
    before = place.before.integrated[clean.table]
    mine = pl.col(OF_MONTH) == month
    for part, found, schema in (
        (before.ledger, outcome.merged, LEDGER),
        (before.quarantine, outcome.rejected, REJECTED),
    ):
        for frame in parts.scan(place.settings, [part]):
            found.append(frame.filter(mine).select(schema.names()).collect())
