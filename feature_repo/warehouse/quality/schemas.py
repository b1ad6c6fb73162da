"""The contract of each canonical table as a pandera schema for Polars."""

import re
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

import pandera.polars as pa
import polars as pl
from pandera.config import ValidationDepth, config_context
from pandera.errors import SchemaErrors, SchemaWarning

from feature_repo.warehouse.contract import RULES, TABLES, Rule, Severity
from feature_repo.warehouse.quality.finding import Finding, share
from motherlode import names
from motherlode.errors import DataError

_NAMED: Final = re.compile(r"<Check ([^>]*)>")
_REBUILD: Final = (
    "The warehouse's own files break its contract: rebuild it by `motherlode ingest --rebuild`, and report it."
)


def schema(table: str, own: Mapping[str, pl.DataType] | None = None) -> pa.DataFrameSchema:
    """A canonical table's schema: its columns with their types, and each rule as a check named `<rule>: <column>`.

    A rule of severity `warn` warns (pandera's `SchemaWarning`), one of `fail` fails. A rule over a column that the
    frame lacks, as `_landed_at` in integrated, counts as kept.

    An item's `outside_id` may be of any type: it is as the company has it.

    Args:
        table: a name of `contract.TABLES`.
        own: the columns that a mapping adds to an open table.

    Raises:
        DataError: there is no such table, or it takes no columns of its own.
    """
    if table not in TABLES:
        raise DataError(f"There is no table {table!r}.", f"Known: {', '.join(TABLES)}.")
    if own and not TABLES[table].open:
        raise DataError(f"{table!r} takes no columns of its own: {', '.join(own)}.", "Leave them out.")
    columns = {
        name: pa.Column(None if name == names.OUTSIDE_ID else column.dtype, nullable=True)
        for name, column in TABLES[table].columns.items()
    }
    columns |= {name: pa.Column(dtype, nullable=True) for name, dtype in (own or {}).items()}
    checks = [_check(rule) for rule in RULES.get(table, ())]
    return pa.DataFrameSchema(columns, checks=checks, name=table, strict=False, ordered=False)


def structure(frame: pl.DataFrame | pl.LazyFrame, table: str, own: Mapping[str, pl.DataType]) -> Iterator[Finding]:
    """What is wrong with a frame's columns and types; reads no row."""
    yield from _broken(frame.lazy(), table, own, ValidationDepth.SCHEMA_ONLY)


def content(frame: pl.DataFrame, table: str, own: Mapping[str, pl.DataType]) -> Iterator[Finding]:
    """What is wrong with a frame's columns and types, or else with its values. Works on what it is given: bound the
    frame."""
    found = list(structure(frame, table, own))
    yield from found or _broken(frame.lazy(), table, own, ValidationDepth.SCHEMA_AND_DATA)


def name(rule: Rule) -> str:
    """A rule's check's name."""
    return f"{rule.name}: {rule.column}"


def _check(rule: Rule) -> pa.Check:
    return pa.Check(partial(_kept, rule.broken), name=name(rule), raise_warning=rule.severity == "warn")


def _kept(broken: pl.Expr, data: Any) -> pl.LazyFrame:
    frame: pl.LazyFrame = data.lazyframe
    there = set(broken.meta.root_names()) <= set(frame.collect_schema().names())
    return frame.select((~broken).fill_null(True) if there else pl.lit(True))


def _broken(
    frame: pl.LazyFrame, table: str, own: Mapping[str, pl.DataType], depth: ValidationDepth
) -> Iterator[Finding]:
    with config_context(validation_depth=depth), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SchemaWarning)
        try:
            schema(table, own).validate(frame, lazy=True)
        except SchemaErrors as errors:
            yield from (_finding(error, table, frame) for error in errors.schema_errors)
    for warning in caught:
        # Its message goes on with the rows at fault: they may hold what must not be shown.
        if issubclass(warning.category, SchemaWarning) and (broken := _NAMED.search(str(warning.message))):
            yield Finding("warn", table, f"rows break `{broken[1]}` and are kept", "some", "Correct the source.")


def _finding(error: Any, table: str, frame: pl.LazyFrame) -> Finding:
    """A pandera error, without the rows that it would show: they may hold what must not be shown."""
    severity: Severity = "fail"
    reason = error.reason_code.name
    if reason == "DATAFRAME_CHECK":
        rows = frame.select(pl.len()).collect().item()
        bad = error.failure_cases.lazy().select(pl.len()).collect().item()
        return Finding(severity, table, f"rows break `{error.check.name}`", share(bad, rows), _REBUILD)
    column = getattr(error, "column_name", None) or str(error.failure_cases)
    if reason == "COLUMN_NOT_IN_DATAFRAME":
        return Finding(severity, table, "a column is missing", column, _REBUILD)
    if reason == "WRONG_DATATYPE":
        found = frame.collect_schema()[column]
        wanted = {**{key: it.dtype for key, it in TABLES[table].columns.items()}}.get(column)
        value = f"{found}" + (f", not {wanted}" if wanted is not None else "")
        return Finding(severity, table, f"{column} has another type", value, _REBUILD)
    return Finding(severity, table, f"the schema is broken: {reason.lower()}", column, _REBUILD)
