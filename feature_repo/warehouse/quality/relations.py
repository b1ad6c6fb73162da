"""What tables must agree in: keys that the other table knows, times in their order, and fresh ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from feature_repo.warehouse import tables
from feature_repo.warehouse.contract import SCHEMAS, TABLES, UTC
from feature_repo.warehouse.mapping.model import Mapping
from feature_repo.warehouse.parts import together
from feature_repo.warehouse.quality import classes, layers, parquet
from feature_repo.warehouse.quality.finding import Finding, share
from feature_repo.warehouse.state import Part, State
from motherlode import names
from motherlode.settings import Settings

STALE: Final = timedelta(days=28)
"""How much older than its landing a table's newest event may be."""
_EXAMPLES: Final = 3


@dataclass(frozen=True)
class Reference:
    """A column whose values another table should know."""

    table: str
    column: str
    to: str
    what: str


REFERENCES: Final = (
    Reference(names.TRANSACTIONS, names.ITEM_ID, names.ITEMS, "items sold that the catalogue lacks"),
    Reference(names.INTERACTIONS, names.ITEM_ID, names.ITEMS, "items looked at that the catalogue lacks"),
    Reference(names.FEEDBACK, names.ITEM_ID, names.ITEMS, "items written about that the catalogue lacks"),
    *(
        Reference(table, names.CUSTOMER_ID, names.CUSTOMERS, "customers without a profile")
        for table in (
            names.TRANSACTIONS,
            names.CONTACTS,
            names.RESPONSES,
            names.INTERACTIONS,
            names.FEEDBACK,
            names.TAGS,
        )
    ),
    Reference(names.CONTACTS, names.CAMPAIGN_ID, names.CAMPAIGNS, "campaigns that nobody knows"),
    Reference(names.RESPONSES, names.CAMPAIGN_ID, names.CAMPAIGNS, "campaigns that nobody knows"),
)


def find(settings: Settings, mapping: Mapping, state: State, before: State) -> Iterator[Finding]:
    """Findings about the integrated rows that the state before did not have."""
    for reference in REFERENCES:
        parts = layers.new_parts(state, before, reference.table)
        known = [it.clean for it in state.clean if it.table == reference.to and it.clean is not None]
        if parts and known and reference.to in mapping.tables:
            visible = all(
                classes.shown(classes.classes(mapping, table), reference.column)
                for table in (reference.table, reference.to)
            )
            keys = _keys(settings, parts, reference, visible=visible)
            yield from unknown(settings, known, parts, reference, keys, visible=visible)
            if (reference.table, reference.to) == (names.TRANSACTIONS, names.CUSTOMERS):
                yield from early_purchases(settings, state, parts, keys)
    yield from early_responses(settings, state, before)
    for table in mapping.tables:
        yield from stale(settings, state, before, table)


def unknown(
    settings: Settings,
    known: Sequence[Part],
    parts: Sequence[Part],
    reference: Reference,
    keys: pl.DataFrame,
    *,
    visible: bool,
) -> Iterator[Finding]:
    """Rows whose key the other table's sources lack.

    Args:
        settings: where the files lie.
        known: the other table's clean files; its integrated rows hold what was derived from this one, too.
        parts, keys: the files looked at, and their keys.
        reference: which column of which tables.
        visible: whether keys may be shown.
    """
    named = pl.Schema({reference.column: SCHEMAS[reference.to][reference.column]})
    listed = together(settings, known, named).select(_key(reference.column, visible=visible))
    orphans = keys.lazy().join(listed, on="key", how="anti").sort("rows", "key", descending=[True, False])
    found = orphans.collect(engine="streaming")
    if not found.height:
        return
    value = f"{share(int(found['rows'].sum()), sum(part.rows for part in parts))} rows, {found.height:,} different"
    if visible:
        value += f": {', '.join(found['key'].head(_EXAMPLES).to_list())}{', ...' if found.height > _EXAMPLES else ''}"
    remedy = f"Add them to the source of `{reference.to}`; the rows are kept."
    yield Finding("warn", reference.table, reference.what, value, remedy)


def early_purchases(settings: Settings, state: State, parts: Sequence[Part], keys: pl.DataFrame) -> Iterator[Finding]:
    """Purchases before their customer was known.

    Args:
        settings, state: where the tables are.
        parts: the files of `transactions` to look at.
        keys: their customers, with their first purchases.
    """
    extent = _extent(settings, state, names.CUSTOMERS, names.REGISTERED_AT)
    if extent is None or extent.nulls == extent.rows:
        return
    customer = _key(names.CUSTOMER_ID, visible=False)
    customers = tables.scan_state(settings, state, names.CUSTOMERS)
    known = customers.select(customer, names.REGISTERED_AT).drop_nulls()
    early = keys.lazy().join(known, on="key").filter(pl.col("first") < pl.col(names.REGISTERED_AT))
    found = early.select("key", names.REGISTERED_AT).collect(engine="streaming")
    if not found.height:
        return
    # Rows are counted of those customers alone: where there are none, this second pass is saved.
    counted = (
        layers.scan(settings, parts, SCHEMAS[names.TRANSACTIONS])
        .select(customer, names.EVENT_TIMESTAMP)
        .join(found.lazy(), on="key")
        .filter(pl.col(names.EVENT_TIMESTAMP) < pl.col(names.REGISTERED_AT))
        .select(pl.len())
    )
    rows = counted.collect(engine="streaming").item()
    who = "1 customer" if found.height == 1 else f"{found.height:,} customers"
    value = f"{share(rows, sum(part.rows for part in parts))} rows, of {who}"
    remedy = "Check the dates and time zones of both sources; the rows are kept."
    yield Finding("warn", names.TRANSACTIONS, "purchases before the customer was registered", value, remedy)


def early_responses(settings: Settings, state: State, before: State) -> Iterator[Finding]:
    """Responses before the customer was first contacted in that campaign."""
    parts = layers.new_parts(state, before, names.RESPONSES)
    if not parts or not _rows(state, names.CONTACTS):
        return
    who = [names.CUSTOMER_ID, names.CAMPAIGN_ID]
    first = (
        tables.scan_state(settings, state, names.CONTACTS)
        .group_by(who)
        .agg(pl.col(names.EVENT_TIMESTAMP).min().alias("contacted_at"))
    )
    early = (
        layers.scan(settings, parts, SCHEMAS[names.RESPONSES])
        .select(*who, names.EVENT_TIMESTAMP)
        .join(first, on=who)
        .filter(pl.col(names.EVENT_TIMESTAMP) < pl.col("contacted_at"))
        .select(pl.len())
    )
    count = early.collect(engine="streaming").item()
    if count:
        value = f"{share(count, sum(part.rows for part in parts))} rows"
        remedy = "Check the dates and time zones of both sources; the rows are kept."
        yield Finding("warn", names.RESPONSES, "responses before their contact", value, remedy)


def stale(settings: Settings, state: State, before: State, table: str) -> Iterator[Finding]:
    """A table whose newest event is old already when it lands."""
    newest, landed = newest_event(settings, state, table), layers.newest_landing(state, table)
    if newest is None or landed is None or not layers.new_parts(state, before, table):
        return
    if landed - newest > STALE:
        value = f"{newest:%Y-%m-%d}, {(landed - newest).days:,} days before it was landed"
        remedy = "Check that the newest export is there; made-up or old data can be moved by `move_dates: true`."
        yield Finding("warn", table, "the newest event is old", value, remedy)


def newest_event(settings: Settings, state: State, table: str) -> datetime | None:
    """The time of a table's newest row, UTC; None for a table without times or rows."""
    time = TABLES[table].time
    extent = None if time is None else _extent(settings, state, table, time)
    if extent is None or not isinstance(extent.high, datetime):
        return None
    return extent.high


def _extent(settings: Settings, state: State, table: str, column: str) -> parquet.Extent | None:
    parts = [part for part in layers.parts(state, table) if part.rows]
    return parquet.extents(settings.home / part.path for part in parts).get(column)


def _rows(state: State, table: str) -> int:
    entry = state.integrated.get(table)
    return 0 if entry is None else entry.rows


def _keys(settings: Settings, parts: Sequence[Part], reference: Reference, *, visible: bool) -> pl.DataFrame:
    """`key`, each once, its `rows`, and the time of its `first`."""
    time = TABLES[reference.table].time
    first = pl.lit(None, UTC) if time is None else pl.col(time).min()
    rows = layers.scan(settings, parts, SCHEMAS[reference.table])
    return (
        rows.filter(pl.col(reference.column).is_not_null())
        .select(_key(reference.column, visible=visible), *((time,) if time else ()))
        .group_by("key")
        .agg(pl.len().alias("rows"), first.alias("first"))
        .collect(engine="streaming")
    )


def _key(column: str, *, visible: bool) -> pl.Expr:
    """A key, or its hash where it is not shown: a pseudonym has 64 characters, and grouping those takes far longer."""
    return (pl.col(column) if visible else pl.col(column).hash()).alias("key")
