"""Every integrated table, in the order in which they depend on each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl

from feature_repo.warehouse import duplicates
from feature_repo.warehouse.contract import MAPPED, TABLES
from feature_repo.warehouse.duplicates import Unit
from feature_repo.warehouse.integrate import behaviour, campaigns, items, labels, people, transactions
from feature_repo.warehouse.integrate.table import WHOLE, Clean, Place, columns
from feature_repo.warehouse.mapping.model import ColumnMap, Impute
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.quality.classes import own_columns
from feature_repo.warehouse.state import Cleaned, Integrated, Part
from feature_repo.warehouse.task import Place as Cleaning
from feature_repo.warehouse.task import Task, blocks
from motherlode import names
from motherlode.errors import DataError


@dataclass(frozen=True)
class Layer:
    """The integrated layer.

    Attributes:
        tables: by name.
        matches: customers found to be one person.
    """

    tables: Mapping[str, Integrated]
    matches: Part | None


def build(
    cleaning: Cleaning,
    place: Place,
    cleaned: Sequence[tuple[Task, Cleaned]],
    on_rows: Callable[[str, int], None],
) -> Layer:
    """Integrate every table that is mapped, and those that are made from them.

    Args:
        cleaning, place: whose.
        cleaned: every clean file, with how it was read.
        on_rows: told a table, and how many of its rows were done.

    Raises:
        DataError: a file cannot be written; blocks of one table name different keys.
    """
    found = {table: _clean(cleaning.project, place, table, cleaned) for table in MAPPED}
    of_customers = sorted((task for task, done in cleaned if done.table == names.CUSTOMERS), key=_order)
    matches = people.match(cleaning, place, found[names.CUSTOMERS], of_customers, place.before)
    aliases = people.aliases(place, matches)
    done: dict[str, Integrated] = {}

    def progress(table: str) -> Callable[[int], None]:
        return lambda rows: on_rows(table, rows)

    lines = found[names.TRANSACTIONS]
    done[names.TRANSACTIONS] = transactions.integrate(place, lines, aliases, progress(names.TRANSACTIONS))
    contacts, responses = found[names.CONTACTS], found[names.RESPONSES]
    told, runs = campaigns.campaigns(place, found[names.CAMPAIGNS], contacts, responses)
    if any(found[table].units for table in (names.CAMPAIGNS, names.CONTACTS, names.RESPONSES)):
        done[names.CAMPAIGNS] = told
    contacted = None
    if contacts.units:
        done[names.CONTACTS] = campaigns.contacts(place, contacts, runs, aliases)
        contacted = _rows(place, done[names.CONTACTS], [names.CUSTOMER_ID, names.CAMPAIGN_ID])
    if responses.units:
        done[names.RESPONSES] = campaigns.responses(place, responses, runs, contacted, aliases)
    events = found[names.INTERACTIONS]
    if events.units:
        gap = cleaning.project.mapping.session_gap_minutes
        done[names.INTERACTIONS] = behaviour.interactions(place, events, aliases, gap, progress(names.INTERACTIONS))
        done[names.SESSIONS] = behaviour.visits(place, done[names.INTERACTIONS])
    if found[names.FEEDBACK].units:
        done[names.FEEDBACK] = behaviour.feedback(place, found[names.FEEDBACK], aliases)
    if found[names.TAGS].units:
        done[names.TAGS] = labels.tags(place, found[names.TAGS], aliases)
    sold = transactions.seen(place, done[names.TRANSACTIONS], names.ITEM_ID)
    done[names.ITEMS] = items.integrate(place, found[names.ITEMS], sold)
    seen = [transactions.seen(place, done[table], names.CUSTOMER_ID) for table in _EVENTS if table in done]
    done[names.CUSTOMERS] = people.customers(place, found[names.CUSTOMERS], aliases, seen)
    for table in done:
        if not TABLES[table].monthly:
            on_rows(table, done[table].rows)
    return Layer({table: done[table] for table in TABLES if table in done}, matches)


def settled(cleaning: Cleaning, place: Place, cleaned: Sequence[tuple[Task, Cleaned]]) -> bool:
    """Whether the same clean files would give what there is: only who is one person may be told anew."""
    of_customers = sorted((task for task, done in cleaned if done.table == names.CUSTOMERS), key=_order)
    clean = _clean(cleaning.project, place, names.CUSTOMERS, cleaned)
    return people.stands(cleaning, clean, of_customers, place.before)


_EVENTS = (names.TRANSACTIONS, names.CONTACTS, names.RESPONSES, names.INTERACTIONS, names.FEEDBACK, names.TAGS)


def _order(task: Task) -> tuple[int, int]:
    return task.landed.order, task.entry


def _clean(project: Project, place: Place, table: str, cleaned: Sequence[tuple[Task, Cleaned]]) -> Clean:
    """A table's clean rows with their duplicates; those are looked for where something changed alone."""
    mine = sorted(((task, done) for task, done in cleaned if done.table == table), key=lambda each: _order(each[0]))
    own = own_columns(project.mapping, table)
    if not mine:
        return Clean(table, columns=columns(place.settings, table, (), own))
    units = tuple(Unit(number, done) for number, (_, done) in enumerate(mine))
    described = blocks(project, table)
    keys = {tuple(block.key) if block.key is not None else TABLES[table].key for block in described}
    if len(keys) > 1:
        raise DataError(f"The blocks of {table} name different keys: {sorted(keys)}.", "Give them the same `key`.")
    keep = all(block.duplicates == "keep" for block in described)
    key = keys.pop()
    time = TABLES[table].time if TABLES[table].monthly else None
    last = all(block.conflicts == "last" for block in described)
    find = partial(duplicates.find, place.settings, units, key, time, keep=keep, last=last)
    known = columns(place.settings, table, units, own)
    return Clean(table, units, known, key, keep, last, _impute(project, table), find)


def _impute(project: Project, table: str) -> dict[str, Impute]:
    found: dict[str, Impute] = {}
    for block in blocks(project, table):
        for name, column in block.columns.items():
            if isinstance(column, ColumnMap) and column.impute is not None:
                found.setdefault(name, column.impute)
    return found


def _rows(place: Place, table: Integrated, wanted: list[str]) -> pl.DataFrame:
    part = table.parts.get(WHOLE)
    if part is None:
        return pl.DataFrame(schema=dict.fromkeys(wanted, pl.String))
    return pl.read_parquet(place.settings.home / part.path, columns=wanted, glob=False)
