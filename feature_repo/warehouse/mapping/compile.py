"""A table's mapping and a landed file's columns → the expressions that make the canonical table."""

import functools
from collections.abc import Container, Iterator, Mapping
from typing import Final

import polars as pl

from feature_repo.warehouse.contract import LINE, ROW, TABLES, Rule
from feature_repo.warehouse.mapping import casts, columns, expressions, made, model, suggest, times
from feature_repo.warehouse.mapping.casts import DTYPES, Cast, Kind, Reading
from feature_repo.warehouse.mapping.columns import Entry
from feature_repo.warehouse.mapping.expressions import Known
from feature_repo.warehouse.mapping.made import Compiled, Made
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.mapping.shape import Place
from feature_repo.warehouse.mapping.terms import by_reading
from motherlode import names
from motherlode.errors import DataError

FILE: Final = "_file"
"""The name of a row's source file, String."""
PSEUDO: Final[Mapping[str, pl.DataType]] = {ROW: pl.UInt32(), LINE: pl.UInt32(), FILE: pl.String()}
"""Columns beside the raw ones of every landed file."""

_HIDDEN: Final = "(hidden)"
_NOTHING: Final = pl.lit(None, pl.String)


def compile_table(
    project: Project,
    table: str,
    entry: model.TableMap,
    schema: Mapping[str, pl.DataType],
    lookups: Mapping[str, Mapping[str, pl.DataType]],
    found: Mapping[str, Mapping[str, str]] | None = None,
) -> Compiled:
    """One block of a table's mapping.

    Args:
        project: the mapping.
        table: the canonical table.
        entry: the block.
        schema: the landed file's columns → types.
        lookups: look-up source → its columns → types.
        found: source → `decimal` and `thousands`, where its file showed them.

    Raises:
        DataError: a column that it needs is not there, or has a type that cannot become what is wanted.
    """
    return _Compiler(project, table, entry, schema, lookups, found).table()


def compile_matching(
    project: Project,
    entry: model.TableMap,
    schema: Mapping[str, pl.DataType],
    lookups: Mapping[str, Mapping[str, pl.DataType]],
    found: Mapping[str, Mapping[str, str]] | None = None,
) -> Compiled:
    """What customers are compared by, as text: the columns of `matching`, made from a file of `customers`.

    A day of birth is written as ISO 8601. What cannot be made is null, and fails nowhere. Where `customers` has several
    blocks, a column that one of them lacks is null there.

    Args:
        project: the mapping; without `matching` there are no columns.
        entry: the block of `customers`.
        schema, lookups, found: as for `compile_table`.

    Raises:
        DataError: as `compile_table`.
    """
    return _Compiler(project, names.CUSTOMERS, entry, schema, lookups, found).matching()


def compile_some(
    project: Project,
    table: str,
    entry: model.TableMap,
    schema: Mapping[str, pl.DataType],
    lookups: Mapping[str, Mapping[str, pl.DataType]],
    wanted: Container[str],
) -> Compiled:
    """Some of a block's columns alone, without what else a table's rows must keep: what tells whose a row is.

    Args:
        project, table, entry, schema, lookups: as for `compile_table`.
        wanted: which columns; those that the block does not map are left out.

    Raises:
        DataError: as `compile_table`.
    """
    return _Compiler(project, table, entry, schema, lookups, None).some(wanted)


class _Compiler:
    """One block's compilation."""

    def __init__(
        self,
        project: Project,
        table: str,
        block: model.TableMap,
        schema: Mapping[str, pl.DataType],
        lookups: Mapping[str, Mapping[str, pl.DataType]],
        found: Mapping[str, Mapping[str, str]] | None,
    ) -> None:
        self.mapping = project.mapping
        self.places = project.places
        blocks = [it for it in columns.entries(project.mapping) if it.table == table]
        self.entry = next((it for it in blocks if it.block == block), Entry(table, ("tables", table), block))
        self.several = len(blocks) > 1
        self.raw = schema
        self.lookups = lookups
        self.found = found or {}
        looked_up = {f"{source}.{name}": dtype for source, them in lookups.items() for name, dtype in them.items()}
        self.all = {**schema, **looked_up, **PSEUDO}
        others = {f"{source}.{name}": source for source, them in lookups.items() for name in them}
        self.sources = {name: block.from_ if name in schema else others.get(name, block.from_) for name in self.all}
        self.needed: set[str] = set()
        self.secret = frozenset(self.secrets())

    def table(self) -> Compiled:
        """The block's expressions."""
        table, block = self.entry.table, self.entry.block
        mapped = {name: (place, it) for name, place, it in self.entry.columns()}
        columns_made = {name: self.column(name, place, it) for name, (place, it) in mapped.items()}
        canonical = [self.canonical(name, columns_made, mapped) for name in TABLES[table].columns]
        own = [it for name, it in columns_made.items() if name not in TABLES[table].columns]
        every = (*(it for it in canonical if it is not None), *own)
        where = self.where()
        for join in block.join:
            self.needed.update(columns.joined(join))
        return Compiled(
            columns=every,
            where=where,
            rules=tuple(self.rules(every)),
            key=tuple(block.key) if block.key is not None else TABLES[table].key,
            impute={name: it.impute for name, (_, it) in mapped.items() if it.impute is not None},
            raw_columns=frozenset(self.needed & self.raw.keys()),
            lookup_columns=self.looked_up(),
            derived=_derived(table, columns_made),
        )

    def some(self, wanted: Container[str]) -> Compiled:
        """The columns that are wanted."""
        every = tuple(self.column(name, place, it) for name, place, it in self.entry.columns() if name in wanted)
        needed = frozenset(self.needed & self.raw.keys())
        return Compiled(every, raw_columns=needed, lookup_columns=self.looked_up())

    def matching(self) -> Compiled:
        """The columns that customers are compared by."""
        matching = self.mapping.matching
        compared = []
        for name, said in (matching.columns if matching is not None else {}).items():
            it, value = columns.whole(said), _NOTHING
            if not self.several or all(raw in self.all for raw in self.named(it)):
                value = self.value(columns.MATCHED[name], ("matching", "columns", name), it).value.cast(pl.String)
            compared.append(Made(name, pl.String(), value, None, value, "", "", "identifier"))
        needed = frozenset(self.needed & self.raw.keys())
        return Compiled(tuple(compared), raw_columns=needed, lookup_columns=self.looked_up())

    def column(self, name: str, place: Place, it: model.ColumnMap) -> Made:
        """A mapped column."""
        kind = columns.kind(self.entry.table, name, it)
        cast = self.value(kind, place, it)
        rule, remedy = made.broken(kind, it, self.reading(it))
        privacy = columns.privacy(self.entry.table, name, it)
        shown = self.shown(it, secret=frozenset() if privacy == "identifier" else self.secret)
        return Made(name, DTYPES[kind], cast.value, cast.failed, shown, rule, remedy, privacy)

    def canonical(
        self, name: str, mades: Mapping[str, Made], mapped: Mapping[str, tuple[Place, model.ColumnMap]]
    ) -> Made | None:
        """A column of the contract, mapped or not; None for one that is made later."""
        column = TABLES[self.entry.table].columns[name]
        if name in mades:
            return mades[name]
        if name == names.LOCAL_TIMESTAMP:
            return self.local(mades[names.EVENT_TIMESTAMP], mapped[names.EVENT_TIMESTAMP][1])
        if name == names.OUTSIDE_ID:
            item = mades[names.ITEM_ID]
            return Made(name, pl.String(), item.value, None, item.shown, "", "", column.privacy)
        if column.derived:
            return None
        value = pl.lit(column.default, column.dtype)
        return Made(name, column.dtype, value, None, _NOTHING, "", "", column.privacy)

    def local(self, event: Made, it: model.ColumnMap) -> Made:
        """What the shop's clock showed; where that is what stands in the file, no zone is asked again."""
        zone, reading, naive = columns.local_zone(self.mapping, self.source(it), it), self.reading(it), None
        if it.from_ is not None and it.values is None and reading.zone == zone:
            naive = casts.cast("timestamp", pl.col(it.from_), self.all[it.from_], reading).naive
        value = times.clock(event.value, zone) if naive is None else pl.when(event.value.is_not_null()).then(naive)
        return Made(names.LOCAL_TIMESTAMP, times.DATETIME, value, None, event.shown, "", "", "none")

    def value(self, kind: Kind, place: Place, it: model.ColumnMap) -> Cast:
        """A column's value from its raw column, its expression, or its constant."""
        reading = self.reading(it)
        try:
            if it.from_ is not None:
                self.need(it.from_)
                return made.valued(kind, pl.col(it.from_), self.all[it.from_], it, reading)
            if it.sql is not None:
                term = expressions.build(it.sql, self.known(it))
                self.needed.update(self.named(it))
                computed = functools.partial(made.computed, kind, term.value, term.dtype, it)
                cast = by_reading(term, reading, computed)
                failures = [failed for failed in (term.failed, cast.failed) if failed is not None]
                return Cast(cast.value, pl.any_horizontal(failures) if failures else None)
            return Cast(casts.literal(kind, it.value, made.constants(reading)))
        except DataError as error:
            raise self.places.error(place, error.problem, error.remedy) from error

    def need(self, name: str) -> None:
        """Note that a raw column is needed.

        Raises:
            DataError: it is not there.
        """
        if name not in self.all:
            there = [it for it in self.all if it not in PSEUDO]
            hint = suggest.remedy(name, there, "It has")
            raise DataError(f"the source {self.entry.block.from_!r} has no column {name!r}.", hint)
        self.needed.add(name)

    def named(self, it: model.ColumnMap) -> tuple[str, ...]:
        """The raw columns that a column is made from."""
        return (it.from_,) if it.from_ is not None else expressions.references(it.sql) if it.sql is not None else ()

    def secrets(self) -> Iterator[str]:
        """The raw columns that tell who a customer is."""
        for name, _, it in self.entry.columns():
            if columns.privacy(self.entry.table, name, it) == "identifier":
                yield from self.named(it)
        if self.entry.table == names.CUSTOMERS and self.mapping.matching is not None:
            for said in self.mapping.matching.columns.values():
                yield from self.named(columns.whole(said))

    def source(self, it: model.ColumnMap) -> str:
        """The source that a column comes from; of an expression over several, the block's own."""
        sources = {self.sources.get(name, self.entry.block.from_) for name in self.named(it)}
        return sources.pop() if len(sources) == 1 else self.entry.block.from_

    def reading(self, it: model.ColumnMap) -> Reading:
        """How the column's raw values are to be understood."""
        return self.read_in(self.source(it), it)

    def read_in(self, source: str, it: model.ColumnMap) -> Reading:
        """How a source's values are to be understood, where they are in the column."""
        return columns.reading(self.mapping, source, it, self.found.get(source))

    def known(self, it: model.ColumnMap) -> Known:
        """What an expression may refer to; each raw column is understood as its source's are."""
        of = {source: self.read_in(source, it) for source in set(self.sources.values())}
        return Known(self.all, self.reading(it), readings={name: of[source] for name, source in self.sources.items()})

    def shown(self, it: model.ColumnMap, secret: frozenset[str]) -> pl.Expr:
        """The raw value, or the raw values that an expression names."""
        named = self.named(it)
        if not named:
            return pl.lit(it.sql if it.sql is not None else str(it.value))
        texts = {
            name: pl.lit(_HIDDEN) if name in secret else casts.shown(pl.col(name), self.all[name]) for name in named
        }
        if len(texts) == 1:
            return texts[named[0]]
        parts = [pl.concat_str([pl.lit(f"{name}="), text.fill_null("")]) for name, text in texts.items()]
        return pl.concat_str(parts, separator=", ")

    def where(self) -> pl.Expr | None:
        """The rows that are meant."""
        sql = self.entry.block.where
        if sql is None:
            return None
        try:
            term = expressions.condition(sql, self.known(model.ColumnMap(sql=sql)))
        except DataError as error:
            raise self.places.error((*self.entry.place, "where"), error.problem, error.remedy) from error
        self.needed.update(expressions.references(sql))
        return term.value.cast(pl.Boolean).fill_null(False)

    def rules(self, every: tuple[Made, ...]) -> Iterator[Rule]:
        """The limits of the columns, and the rules of the table."""
        for name, _, it in self.entry.columns():
            yield from made.limits(name, columns.kind(self.entry.table, name, it), it, self.reading(it))
        known = Known({it.name: it.dtype for it in every}, what="columns of the table")
        for number, rule in enumerate(self.entry.block.rules):
            try:
                kept = expressions.condition(rule.sql, known).value.cast(pl.Boolean)
            except DataError as error:
                place = (*self.entry.place, "rules", number, "sql")
                raise self.places.error(place, error.problem, error.remedy) from error
            fault = rule.column or expressions.references(rule.sql)[0]
            yield Rule(rule.name, fault, ~kept, rule.remedy, rule.severity)

    def looked_up(self) -> dict[str, frozenset[str]]:
        """The look-ups' columns that are needed."""
        return {
            source: frozenset(name for name in them if f"{source}.{name}" in self.needed - self.raw.keys())
            for source, them in self.lookups.items()
        }


def _derived(table: str, mades: Mapping[str, Made]) -> dict[str, pl.Expr]:
    """A receipt that has no number is all that one customer bought at one moment."""
    if table != names.TRANSACTIONS or names.BASKET_ID in mades:
        return {}
    time = pl.col(names.EVENT_TIMESTAMP).dt.to_string("%Y%m%dT%H%M%S%.6f")
    return {names.BASKET_ID: pl.concat_str([pl.col(names.CUSTOMER_ID), time], separator="@")}
