"""How the rows of a source tell whose they are, by what the mapping makes of them.

A row is a customer's by the column that `customer_id` is made from. A look-up's row is theirs where the id stands in
its own columns or in its key (`orders.customer`); rows that are looked up there are theirs by that key, an order's
number. A row that names no customer may be theirs by its visitor or session.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal

import polars as pl

from feature_repo.warehouse import events, lookups, raw
from feature_repo.warehouse.contract import LINE, ROW
from feature_repo.warehouse.mapping import casts, columns
from feature_repo.warehouse.mapping.compile import FILE, compile_some
from feature_repo.warehouse.mapping.identifying import named
from feature_repo.warehouse.mapping.model import Join
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.state import Landed
from motherlode import names
from motherlode.errors import DataError
from motherlode.online.tombstones import Kind
from motherlode.settings import Settings

Role = Literal["names", "follows", "gives"]
"""A row that names its customer; that follows one where it names none; that gives a key by which others follow."""

_PSEUDO: Final = (ROW, LINE, FILE)
_NOBODY: Final = pl.lit(None, pl.String)
_WHO: Final = (names.CUSTOMER_ID, names.VISITOR_ID, names.SESSION_ID)
_BATCH: Final = 500_000
_MARK: Final = "\0"


@dataclass(frozen=True)
class Way:
    """One way that a source's rows tell whose they are.

    Attributes:
        role: what the value is for.
        kind: of the digests that it is held against.
        value: the identifier as text, over a frame of the columns of `called`.
        called: column as `value` calls it → the raw column; "" stands for one that is not there.
    """

    role: Role
    kind: Kind
    value: pl.Expr
    called: Mapping[str, str] = field(default_factory=dict)

    def of(self, batch: pl.DataFrame, name: str) -> pl.Series:
        """The identifiers of a batch of `raw.batches`."""
        given = [
            (pl.col(column) if column else _NOBODY).alias(called)
            for called, column in self.called.items()
            if called not in _PSEUDO
        ]
        frame = batch.select(ROW, LINE, pl.lit(name).alias(FILE), *given)
        return frame.select(self.value.cast(pl.String).alias("value"))["value"]


class Ways:
    """The ways of every source of some mappings, made once for files of equal columns.

    Args:
        settings: whose raw.
        projects: the mapping in force, then earlier ones: a file that was landed under one may be told by it alone.
    """

    def __init__(self, settings: Settings, projects: Sequence[Project]) -> None:
        self._settings, self._projects = settings, projects
        self._made: dict[tuple[object, ...], tuple[Way, ...]] = {}

    def of(self, landed: Landed) -> tuple[Way, ...]:
        """The ways of a landed file."""
        schema = raw.schema(self._settings, landed)
        shape = (landed.source, *schema.items())
        if shape not in self._made:
            found = {_told(way): way for project in self._projects for way in _ways(project, landed.source, schema)}
            live = _live() if events.live(landed) else self._by_name(schema)
            every = tuple(found.values()) or tuple(live)
            self._made[shape] = every
        return self._made[shape]

    def read(self, landed: Landed, ways: Sequence[Way]) -> Iterator[tuple[pl.Series, list[pl.Series]]]:
        """A file's rows, a batch at a time: their `_row`, and the identifiers by each way.

        Raises:
            DataError: the file cannot be read.
        """
        wanted = {column for way in ways for column in way.called.values() if column and column not in _PSEUDO}
        for batch in raw.batches(self._settings, landed, sorted(wanted), _BATCH):
            yield batch[ROW], [way.of(batch, landed.name) for way in ways]

    def _by_name(self, schema: Mapping[str, pl.DataType]) -> Iterator[Way]:
        """Of a source that no table takes: columns that are called like those that customers' ids come from."""
        known = {
            it.from_.rpartition(".")[2]
            for project in self._projects
            for entry in columns.entries(project.mapping)
            for name, _, it in entry.columns()
            if name == names.CUSTOMER_ID and it.from_ is not None
        }
        for name in known & schema.keys():
            yield Way("names", "outside", lookups.text_key(schema[name], name), {name: name})


def _live() -> Iterator[Way]:
    """Of live events, which no mapping needs to name."""
    customer, visitor, session = (
        casts.cast("id", pl.col(name), pl.String(), casts.Reading()).value for name in _WHO
    )  # segments of an earlier version hold ids as they were sent
    yield Way("names", "outside", customer, {names.CUSTOMER_ID: names.CUSTOMER_ID})
    yield Way("follows", "visitor", visitor, {names.VISITOR_ID: names.VISITOR_ID})
    session = pl.concat_str(pl.lit(session_text()), session)
    yield Way("follows", "key", session, {names.SESSION_ID: names.SESSION_ID})


def key_text(source: str, other: Sequence[str]) -> str:
    """What stands in front of a key's values: of a source, by its columns."""
    return f"{source}{_MARK}{','.join(other)}{_MARK}"


def session_text() -> str:
    """What stands in front of a session's id."""
    return f"{names.SESSION_ID}{_MARK}"


def _told(way: Way) -> tuple[object, ...]:
    return way.role, way.kind, way.value.meta.serialize(), *sorted(way.called.items())


def _ways(project: Project, source: str, schema: Mapping[str, pl.DataType]) -> Iterator[Way]:
    """The ways of one mapping. What it cannot make of these columns tells nothing."""
    for entry in columns.entries(project.mapping):
        if entry.block.from_ == source:
            with suppress(DataError):  # of an earlier mapping, whose columns are no more; the current one was loaded
                yield from _own(project, entry, schema)
        for join in entry.block.join:
            if join.source == source:
                with suppress(DataError):
                    yield from _looked_up(project, entry, join, schema)


def _own(project: Project, entry: columns.Entry, schema: Mapping[str, pl.DataType]) -> Iterator[Way]:
    """Of a source whose rows become a table's."""
    needs = _needs(entry)
    for name in _WHO:
        if name not in needs:
            continue
        missing = needs[name] - schema.keys() - {*_PSEUDO}
        if missing != needs[name]:
            yield _way(project, entry, name, schema, {}, {each: each for each in needs[name] - missing}, missing)
    for join in entry.block.join:
        if any(each.startswith(f"{join.source}.") for each in needs.get(names.CUSTOMER_ID, ())):
            pairs = lookups.pairs(join)
            if schema.keys() >= pairs.keys():
                yield Way("follows", "key", _key(join, list(pairs), schema), {each: each for each in pairs})


def _looked_up(project: Project, entry: columns.Entry, join: Join, schema: Mapping[str, pl.DataType]) -> Iterator[Way]:
    """Of a source that a table's rows are looked up in."""
    pairs = lookups.pairs(join)
    if not schema.keys() >= set(pairs.values()):
        return
    here = {**pairs, **{f"{join.source}.{name}": name for name in schema}}
    named_here = False
    for name in (names.CUSTOMER_ID, names.VISITOR_ID):
        needs = _needs(entry).get(name, set())
        if needs & here.keys():
            named_here |= name == names.CUSTOMER_ID
            own = {mine: schema[other] for mine, other in pairs.items()}
            called = {each: here[each] for each in needs & here.keys()}
            yield _way(project, entry, name, own, {join.source: schema}, called, needs - here.keys() - {*_PSEUDO})
    if named_here:
        other = list(pairs.values())
        yield Way("gives", "key", _key(join, other, schema), {each: each for each in other})


def _needs(entry: columns.Entry) -> dict[str, set[str]]:
    """Column that says who → the raw columns that it is made from."""
    return {name: set(named(it)) for name, _, it in entry.columns() if name in _WHO and named(it)}


def _way(
    project: Project,
    entry: columns.Entry,
    name: str,
    schema: Mapping[str, pl.DataType],
    looked_up: Mapping[str, Mapping[str, pl.DataType]],
    called: Mapping[str, str],
    missing: set[str],
) -> Way:
    """A column that says who, made from the columns that are there; the missing ones are null."""
    absent = dict.fromkeys((each for each in missing if each not in schema), pl.String())
    others: dict[str, Mapping[str, pl.DataType]] = {join.source: {} for join in entry.block.join}
    others.update(looked_up)
    own = {**schema, **absent}
    made = compile_some(project, entry.table, entry.block, own, others, {name}).columns[0]
    called = {**called, **dict.fromkeys(missing, "")}
    if name == names.CUSTOMER_ID:
        return Way("names", "outside", made.value, called)
    if name == names.VISITOR_ID:
        return Way("follows", "visitor", made.value, called)
    value = pl.concat_str(pl.lit(session_text()), made.value)
    return Way("follows", "key", value, called)


def _key(join: Join, of: Sequence[str], schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """A row's key as text, equal in the two sources; null where a column of it is."""
    other = list(lookups.pairs(join).values())
    texts = [lookups.text_key(schema[name], name) for name in of]
    return pl.concat_str(pl.lit(key_text(join.source, other)), pl.concat_str(texts, separator=_MARK))
