"""What a mapping of the right shape may still have wrong, and shows without any data."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl

from feature_repo.warehouse.contract import MAPPED, TABLES
from feature_repo.warehouse.mapping import casts, columns, expressions, model, suggest, validate_column
from feature_repo.warehouse.mapping.columns import Entry
from feature_repo.warehouse.mapping.expressions import Known
from feature_repo.warehouse.mapping.shape import Place, Places
from feature_repo.warehouse.mapping.validate_source import check_source, check_zone
from motherlode import names
from motherlode.errors import DataError

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_RECORD: Final = "identities"
"""The folder of raw that holds every outside id's join key."""
_RESERVED: Final = ("into_customer_id", "into_unit", "into_row", "into_line", "into_file")
"""Columns that stand beside a table's own while it is made; all others of that kind begin with `_`."""


def validate(mapping: model.Mapping, places: Places) -> None:
    """Refuse a mapping that cannot be meant.

    Raises:
        DataError: the first fault, with its file, line, keys and value.
    """
    _check_company(mapping, places)
    for name, source in mapping.sources.items():
        check_source(name, source, places)
    if not mapping.tables:
        raise places.error(("tables",), "it maps no table.", f"The tables are {', '.join(MAPPED)}.")
    for table in mapping.tables:
        _check_table_name(table, ("tables", table), MAPPED, places)
    _check_source_names(mapping, places)
    for entry in columns.entries(mapping):
        _Block(mapping, entry, places).check()
    for table in mapping.tables:
        _check_blocks_agree([it for it in columns.entries(mapping) if it.table == table], places)
    _check_matching(mapping, places)
    _check_quality(mapping, places)
    _check_checks(mapping, places)


def table_columns(mapping: model.Mapping, table: str) -> dict[str, pl.DataType]:
    """A table's columns, as its blocks make them: the contract's, then the company's own."""
    made: dict[str, pl.DataType] = {name: column.dtype for name, column in TABLES[table].columns.items()}
    for entry in columns.entries(mapping):
        if entry.table == table:
            for name, _, it in entry.columns():
                made.setdefault(name, casts.DTYPES[columns.kind(table, name, it)])
    return made


def _check_company(mapping: model.Mapping, places: Places) -> None:
    if not mapping.company.strip():
        raise places.error(("company",), "it is empty.", "Give the company's name.")
    if mapping.currency is not None and not _CURRENCY.fullmatch(mapping.currency):
        raise places.error(
            ("currency",), f"{mapping.currency!r} is no currency.", "Give its ISO 4217 code, such as EUR."
        )
    if not 0 < mapping.session_gap_minutes < float("inf"):
        remedy = "Give the minutes of silence that end a visit, such as 30."
        raise places.error(("session_gap_minutes",), f"{mapping.session_gap_minutes:g} is no pause.", remedy)
    check_zone(mapping.time_zone, ("time_zone",), places)


def _check_source_names(mapping: model.Mapping, places: Places) -> None:
    """Refuse a source that is called like what it is not: its rows would stand under another's name."""
    fed: dict[str, set[str]] = {}
    for entry in columns.entries(mapping):
        fed.setdefault(entry.block.from_, set()).add(entry.table)
    looked_up = {join.source for entry in columns.entries(mapping) for join in entry.block.join}
    for name in mapping.sources:
        if name == _RECORD:
            raise places.error(("sources", name), f"{name!r} is the warehouse's own record.", "Rename the source.")
        if name in TABLES and name in looked_up and name not in fed.get(name, ()):
            problem = f"{name!r} is looked up in, and is no source of the table {name}, whose name it has."
            raise places.error(("sources", name), problem, "Rename the source.")


def _check_table_name(table: str, place: Place, known: Iterable[str], places: Places) -> None:
    if table in TABLES and TABLES[table].derived and table not in known:
        remedy = "Leave it out; `interactions` gives the visits."
        raise places.error(place, f"{table} is made by the warehouse, not mapped.", remedy)
    if table not in known:
        raise places.error(place, f"there is no table {table!r}.", suggest.remedy(table, known, "The tables are"))


class _Block:
    """One block of `tables`, checked."""

    def __init__(self, mapping: model.Mapping, entry: Entry, places: Places) -> None:
        self.mapping = mapping
        self.entry = entry
        self.places = places
        self.table = TABLES[entry.table]
        self.joined = [join.source for join in entry.block.join]

    def error(self, place: Place, problem: str, remedy: str) -> DataError:
        return self.places.error((*self.entry.place, *place), problem, remedy)

    def check(self) -> None:
        """Refuse what cannot be meant."""
        self.source(self.entry.block.from_, ("from",))
        self.joins()
        for name, place, it in self.entry.columns():
            self.name(name, place)
            validate_column.check(self.entry.table, name, it, place, self.places)
            self.references(it.from_, it.sql, (*place, "from" if it.sql is None else "sql"))
        self.references(None, self.entry.block.where, (*self.entry.place, "where"))
        self.required()
        self.key()
        self.rules()
        for name, place, it in self.entry.columns():
            if it.impute is not None:
                known = table_columns(self.mapping, self.entry.table)
                validate_column.check_impute(name, it.impute, known, (*place, "impute"), self.places)

    def source(self, name: str, place: Place) -> None:
        if name not in self.mapping.sources:
            hint = suggest.remedy(name, self.mapping.sources, "The sources are")
            raise self.error(place, f"there is no source {name!r}.", hint)

    def joins(self) -> None:
        for number, join in enumerate(self.entry.block.join):
            self.source(join.source, ("join", number, "source"))
            if join.source in self.joined[:number]:
                raise self.error(
                    ("join", number), f"{join.source!r} is joined twice.", "Join it once, on all its columns."
                )
            on = columns.joined(join)
            if not on or not all(on) or not all(on.values()):
                raise self.error(("join", number, "on"), "it names no column.", "Name the column that both have.")

    def name(self, name: str, place: Place) -> None:
        column = self.table.columns.get(name)
        if column is not None and column.derived:
            raise self.places.error(place, f"{name} is made by the warehouse, not mapped.", "Leave it out.")
        if column is not None:
            return
        known = [it for it, column in self.table.columns.items() if not column.derived]
        if not self.table.open:
            hint = suggest.remedy(name, known, "Its columns are")
            raise self.places.error(place, f"{self.entry.table} takes no columns of a company's own.", hint)
        if name in _RESERVED:
            raise self.places.error(place, f"the warehouse itself has a column {name!r}.", "Give it another name.")
        if not name.isidentifier() or name.startswith("_") or name.endswith("_missing"):
            remedy = "Use letters, digits and _, a letter first; `_missing` is the ending of imputation's flags."
            raise self.places.error(place, f"{name!r} is no name for a column.", remedy)

    def references(self, raw: str | None, sql: str | None, place: Place) -> None:
        """What is looked up must be joined, and SQL must be readable."""
        try:
            named = [raw] if raw is not None else list(expressions.references(sql)) if sql is not None else []
        except DataError as error:
            raise self.places.error(place, error.problem, error.remedy) from error
        for name in named:
            source, dot, _ = name.partition(".")
            if dot and source in self.mapping.sources and source not in self.joined:
                remedy = f"Add `join: [{{source: {source}, on: ...}}]` to the table."
                raise self.places.error(place, f"{name} looks up {source!r}, which is not joined.", remedy)

    def required(self) -> None:
        mapped = self.entry.block.columns
        for name, column in self.table.columns.items():
            # A receipt without a number is its customer and its moment.
            if column.required and column.default is None and name not in mapped and name != names.BASKET_ID:
                remedy = f"Map it: it holds {column.doc}."
                raise self.error(("columns",), f"{self.entry.table} needs the column {name!r}.", remedy)
        if self.entry.table == names.INTERACTIONS and not {names.CUSTOMER_ID, names.VISITOR_ID} & mapped.keys():
            raise self.error(("columns",), "interactions are nobody's.", "Map customer_id, visitor_id, or both.")

    def key(self) -> None:
        for number, name in enumerate(self.entry.block.key or ()):
            if name not in self.entry.block.columns and name != names.BASKET_ID:
                hint = suggest.remedy(name, self.entry.block.columns, "The mapped columns are")
                raise self.error(("key", number), f"{name!r} is not mapped.", hint)

    def rules(self) -> None:
        known = table_columns(self.mapping, self.entry.table)
        seen: set[str] = set()
        for number, rule in enumerate(self.entry.block.rules):
            place: Place = (*self.entry.place, "rules", number)
            if rule.name in seen or not rule.name.strip():
                raise self.places.error((*place, "name"), f"{rule.name!r} does not tell the rule apart.", "Rename it.")
            seen.add(rule.name)
            _check_condition(rule.sql, known, (*place, "sql"), self.places)
            if rule.column is None and not expressions.references(rule.sql):
                raise self.places.error(place, "it names no column.", "Name the `column` at fault.")
            if rule.column is not None and rule.column not in known:
                hint = suggest.remedy(rule.column, known, "The columns are")
                raise self.places.error((*place, "column"), f"there is no column {rule.column!r}.", hint)


def _check_condition(sql: str, known: Mapping[str, pl.DataType], place: Place, places: Places) -> None:
    try:
        expressions.condition(sql, Known(known, what="columns of the table"))
    except DataError as error:
        raise places.error(place, error.problem, error.remedy) from error


def _told_apart(block: model.TableMap) -> tuple[object, ...]:
    return (block.key, block.duplicates, block.conflicts)


def _check_blocks_agree(blocks: list[Entry], places: Places) -> None:
    """Blocks of one table make one table."""
    first: dict[str, tuple[str, str, bool]] = {}
    for block in blocks:
        if _told_apart(block.block) != _told_apart(blocks[0].block):
            raise places.error(
                block.place, "its `key`, `duplicates` or `conflicts` differ from the first block's.", "Make them equal."
            )
        for name, place, it in block.columns():
            kind, privacy = columns.kind(block.table, name, it), columns.privacy(block.table, name, it)
            told = (columns.said(kind), privacy, it.after_outcome)
            if first.setdefault(name, told) != told:
                problem = "its `type`, `class` or `after_outcome` differ from another block's."
                raise places.error(place, problem, "Make them equal: the blocks make one column.")


def _check_matching(mapping: model.Mapping, places: Places) -> None:
    matching, place = mapping.matching, ("matching",)
    if matching is None:
        return
    if names.CUSTOMERS not in mapping.tables:
        raise places.error(place, "there are no customers to match.", "Map the table `customers`, or leave it out.")
    if not 0 < matching.threshold <= 1:
        raise places.error((*place, "threshold"), f"{matching.threshold:g} is no probability.", "Give one from 0 to 1.")
    if not matching.columns:
        raise places.error((*place, "columns"), "it compares nothing.", f"Map one of {', '.join(columns.MATCHED)}.")
    for name, said in matching.columns.items():
        here: Place = (*place, "columns", name)
        if name not in columns.MATCHED:
            hint = suggest.remedy(name, columns.MATCHED, "They are compared by")
            raise places.error(here, f"customers are not compared by {name!r}.", hint)
        validate_column.check_made(columns.MATCHED[name], columns.whole(said), here, places)


def _check_quality(mapping: model.Mapping, places: Places) -> None:
    for table, threshold in mapping.quality.items():
        place: Place = ("quality", table)
        _check_table_name(table, place, mapping.tables, places)
        for key, share in (("warn", threshold.warn), ("fail", threshold.fail)):
            if not 0 <= share <= 1:
                raise places.error((*place, key), f"{share:g} is no share.", "Give one from 0 to 1: 0.05 is 5 %.")
        if threshold.warn > threshold.fail:
            problem = f"it warns at {threshold.warn:g}, above {threshold.fail:g} where it fails."
            raise places.error(place, problem, "Warn at or below the share that fails.")


def _check_checks(mapping: model.Mapping, places: Places) -> None:
    seen: set[str] = set()
    for number, check in enumerate(mapping.checks):
        place: Place = ("checks", number)
        if check.name in seen or not check.name.strip():
            raise places.error((*place, "name"), f"{check.name!r} does not tell the check apart.", "Rename it.")
        seen.add(check.name)
        if not 0 <= check.tolerance < float("inf"):
            remedy = "Give a share: 0.01 is 1 %."
            raise places.error((*place, "tolerance"), f"{check.tolerance:g} is no tolerance.", remedy)
        for side, total in (("left", check.left), ("right", check.right)):
            _check_total(mapping, total, (*place, side), places)


def _check_total(mapping: model.Mapping, total: model.Total, place: Place, places: Places) -> None:
    known = [*mapping.tables, *([names.SESSIONS] if names.INTERACTIONS in mapping.tables else [])]
    _check_table_name(total.table, (*place, "table"), known, places)
    there = table_columns(mapping, total.table)
    for key, name in (("by", total.by), ("column", total.column)):
        if name is not None and name not in there:
            hint = suggest.remedy(name, there, f"The columns of {total.table} are")
            raise places.error((*place, key), f"{total.table} has no column {name!r}.", hint)
    if total.column is not None and not there[total.column].is_numeric():
        raise places.error(
            (*place, "column"), f"{total.column} is no number.", "Sum a number, or leave it out to count."
        )
    if total.where is not None:
        _check_condition(total.where, there, (*place, "where"), places)
