"""A view's rows: the tables that it declares and nothing else, its plan on the device, its declaration kept."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import polars as pl

from feature_repo.features import catalogue, frames, own
from feature_repo.features.view import View
from feature_repo.mart import pieces
from feature_repo.mart.timeline import Timeline
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names
from motherlode.errors import DataError, MotherlodeError

_MISSING: Final = re.compile(r"\"([^\"]+)\"")
_TIMES: Final = (names.EVENT_TIMESTAMP, frames.SNAPSHOT)


class Collector(Protocol):
    """The one thing wanted of a compute room."""

    def collect(self, lf: pl.LazyFrame) -> pl.DataFrame:
        """Run a plan."""
        ...


class Declared(Mapping[str, pl.LazyFrame]):
    """The tables that a view declares in READS, by name; to ask for another is an error.

    A row of a view whose READS lack a table would stay as it is when that table changes.
    """

    def __init__(self, view: View, tables: Mapping[str, pl.LazyFrame]) -> None:
        self._view, self._tables = view, tables
        reads = view.reads
        self._names = (*reads, frames.BASKETS) if names.TRANSACTIONS in reads else reads

    def __getitem__(self, name: str) -> pl.LazyFrame:
        if name in self._names:
            return self._tables[name]
        if name in self._tables:
            raise DataError(
                f"The view {self._view.name!r} reads the table {name!r}, that it does not declare.",
                f"Add it to READS in {self._view.module.__file__}.",
            )
        raise DataError(f"The view {self._view.name!r} reads {name!r}.", f"The tables are {', '.join(SCHEMAS)}.")

    def __contains__(self, name: object) -> bool:
        return name in self._names and name in self._tables

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._tables if name in self._names)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def declared(view: View, tables: Mapping[str, pl.LazyFrame], timeline: Timeline) -> Mapping[str, pl.LazyFrame]:
    """What a view is handed: its tables.

    The catalogue's views ask for canonical columns by name: those that may not be seen are null to them. A company's
    own view that asks for one is told so.
    """
    if view.name not in catalogue.MODULES:
        return Declared(view, tables)
    return Declared(view, {name: _filled(name, table, timeline) for name, table in tables.items()})


def _filled(name: str, table: pl.LazyFrame, timeline: Timeline) -> pl.LazyFrame:
    schema = SCHEMAS.get(name, pl.Schema())
    lacking = [column for column in timeline.withheld.get(name, ()) if column in schema]
    return table.with_columns(pl.lit(None, dtype=schema[column]).alias(column) for column in lacking)


@dataclass(frozen=True)
class Plans:
    """Runs views.

    Attributes:
        room: the device's.
        timeline: what rows are made from.
    """

    room: Collector
    timeline: Timeline

    def rows(
        self,
        view: View,
        tables: Mapping[str, pl.LazyFrame],
        times: Sequence[datetime],
        *,
        named: bool = False,
        apart: bool = False,
    ) -> pl.DataFrame:
        """A view's rows at some snapshots; a whole view's are compared, another's still lack what is compared.

        Args:
            view: which.
            tables: what it may see.
            times: the snapshots.
            named: whether the tables have the customers' ids; else numbers, as the rows of a partition have.
            apart: whether the tables hold some keys' rows alone: nothing is compared yet, and what the view hands on
                to `across` follows the features.

        Raises:
            DataError: the view asks for what it may not see, or does not keep to its declaration.
            DeviceError: its plan does not run on the device.
        """
        snapshots = pieces.series(times).to_frame().lazy()
        schema = pieces.schema(view)
        compared = view.across is not None and view.whole and not apart
        left_out = () if compared else view.compared
        beside = view.beside if apart else {}
        plan = self._plan(view, lambda: view.build(tables, snapshots))
        if compared:
            plan = self._across(view, plan).select(view.key, names.EVENT_TIMESTAMP, *view.meanings)
        found = self._collect(view, plan)
        wanted = {name: dtype for name, dtype in schema.items() if name not in (*left_out, names.CREATED_TIMESTAMP)}
        wanted |= beside
        if not (named or view.whole):
            wanted[view.key] = pl.Int64()
        return checked(view, found, wanted, times)

    def compared(self, view: View, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of all customers, with the features that compare them.

        Raises:
            DataError, DeviceError: as in `rows`.
        """
        found = self._collect(view, self._across(view, rows.lazy()))
        schema = {name: dtype for name, dtype in pieces.schema(view).items() if name != names.CREATED_TIMESTAMP}
        lacking = [name for name in schema if name not in found.columns]
        if not lacking:
            found = found.select(list(schema))
        return checked(view, found, schema, rows[names.EVENT_TIMESTAMP].unique().to_list())

    def _across(self, view: View, rows: pl.LazyFrame) -> pl.LazyFrame:
        across = view.across
        assert across is not None
        return self._plan(view, lambda: across(rows), "across")

    def _plan(self, view: View, make: Callable[[], object], name: str = "build") -> pl.LazyFrame:
        with self._blamed(view, Exception):  # a company's own code: it may fail in any way
            made = make()
        if not isinstance(made, pl.LazyFrame):
            what = "nothing" if made is None else f"a {type(made).__name__}"
            remedy = "Return a LazyFrame, such as what `finish` gives." if made is None else "Return a LazyFrame."
            raise own.wrong(_file(view), own.line(_file(view), f"def {name}"), f"has {name} give {what}", remedy)
        return made

    def _collect(self, view: View, plan: pl.LazyFrame) -> pl.DataFrame:
        with self._blamed(view, pl.exceptions.PolarsError):
            return self.room.collect(plan)

    @contextmanager
    def _blamed(self, view: View, kind: type[Exception]) -> Iterator[None]:
        """Tell a mistake in a company's own view by its file; one in the catalogue's is ours, and stays as it is."""
        try:
            yield
        except MotherlodeError:
            raise
        except pl.exceptions.ColumnNotFoundError as error:
            raise self._no_column(view, error) from error
        except kind as error:
            if view.name in catalogue.MODULES:
                raise
            raise own.failed(_file(view), error, "cannot be computed") from error

    def _no_column(self, view: View, error: Exception) -> DataError:
        told = str(error)
        match = _MISSING.search(told)
        column = match.group(1) if match else ""
        for table in view.reads:
            if (why := self.timeline.withheld.get(table, {}).get(column)) is not None:
                return DataError(
                    f"The view {view.name!r} asks for the column {column!r} of {table}, which {why}.",
                    f"Leave it out of the view in {view.module.__file__}; what a mapping says of a column stands in "
                    "`after_outcome` and `class`.",
                )
        line = own.failed_line(_file(view), error)
        where = f"{view.module.__file__}{'' if line is None else f', line {line}'}"
        hint = " `frames` calls the time 'snapshot', until `finish` renames it." if column in _TIMES else ""
        return DataError(
            f"The view {view.name!r} asks a frame for a column that it lacks: {told.splitlines()[0]}",
            f"Correct {where}.{hint}",
        )


def _file(view: View) -> Path:
    return Path(view.module.__file__ or "")


def checked(
    view: View, found: pl.DataFrame, wanted: Mapping[str, pl.DataType], times: Sequence[datetime]
) -> pl.DataFrame:
    """A view's rows, if they are what it declares.

    Raises:
        DataError: other columns or types, a row twice, or at a time that was not asked for.
    """
    told = f"The view {view.name!r} gave"
    where = f"Correct {view.module.__file__}."
    if dict(found.schema) != dict(wanted):
        ours, theirs = dict(wanted), dict(found.schema)
        wrong = [f"{name} as {theirs.get(name, 'nothing')}" for name in ours if theirs.get(name) != ours[name]]
        more = [name for name in theirs if name not in ours]
        declared_ = ", ".join(f"{name} as {ours[name]}" for name in ours if theirs.get(name) != ours[name])
        raise DataError(
            f"{told} {', '.join([*wrong, *(f'{name}, undeclared' for name in more)])}.",
            f"It declares {declared_ or 'no more than the others'}. {where}",
        )
    found = found.select(list(wanted))
    rows = found.select(view.key, names.EVENT_TIMESTAMP)
    if rows.null_count().sum_horizontal().item():
        raise DataError(f"{told} rows without {view.key} or {names.EVENT_TIMESTAMP}.", where)
    if rows.n_unique() != rows.height:
        key, time = rows.filter(rows.is_duplicated()).sort(names.EVENT_TIMESTAMP, view.key).row(0)
        # Inside a partition a customer is a number that says nothing to anybody.
        first = f"{time.isoformat()}{f' for {view.key} {key!r}' if isinstance(key, str) else ''}"
        raise DataError(
            f"{told} {rows.height - rows.n_unique()} rows twice, the first at {first}.",
            f"One a {view.key} and snapshot. {where}",
        )
    if not rows[names.EVENT_TIMESTAMP].is_in(pieces.series(times).implode()).all():
        raise DataError(f"{told} rows at times that are no snapshots.", f"Use those that it is given. {where}")
    return found
