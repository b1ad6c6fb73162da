"""The mart's customers: to which purposes each agreed, and the attributes that may leave the warehouse."""

import inspect
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from feature_repo.mart import manifest
from feature_repo.mart.manifest import Carried
from feature_repo.warehouse import files, state, tables
from feature_repo.warehouse.contract import Privacy
from feature_repo.warehouse.lineage import mapping_of
from feature_repo.warehouse.mapping.model import ColumnMap, Mapping
from feature_repo.warehouse.quality.classes import SHOWN, classes, entries
from motherlode import names
from motherlode.bundle import sha256
from motherlode.errors import DataError
from motherlode.settings import Settings

FILE: Final = "customers.parquet"
"""In the mart."""


def write_customers(settings: Settings) -> Carried:
    """Write `mart/customers.parquet`, sorted by `customer_id`; what is still valid is kept.

    Its columns are the join key, every purpose as `consent_<purpose>` (Boolean; null: never asked), the attributes of
    class none or quasi, and `created_timestamp`. A column that is `after_outcome` is left out: what is predicted would
    tell itself.

    Raises:
        DataError: nothing was loaded, or a purpose is not told by true and false.
    """
    created = datetime.now(UTC)
    known, loaded = manifest.read(settings), state.read(settings)
    customers = tables.scan(settings, names.CUSTOMERS)
    mapping = mapping_of(settings, loaded)
    known_in_time = customers.drop(_late(mapping), strict=False).collect_schema()
    carried = _carried(known_in_time, classes(mapping, names.CUSTOMERS))
    inputs = _inputs(loaded, carried)
    entry, path = known.customers, settings.mart / FILE
    if entry is not None and entry.inputs == inputs and path.is_file() and sha256(path) == entry.sha256:
        return entry
    frame = customers.select(carried).sort(names.CUSTOMER_ID).collect().with_columns(_created(created))
    with files.writing(path) as scratch:
        frame.write_parquet(scratch, compression="zstd")
        scratch.replace(path)
    entry = Carried(inputs=inputs, rows=frame.height, created_at=created, sha256=sha256(path))
    with manifest.flipping(settings):
        manifest.write(settings, msgspec.structs.replace(manifest.read(settings), customers=entry))
    return entry


def purposes(frame: pl.DataFrame) -> list[str]:
    """The purposes that customers were asked for, by name: `marketing` for `consent_marketing`."""
    return [column.removeprefix(names.CONSENT) for column in frame.columns if _is_purpose(column)]


def said(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """Join key, purpose, and whether the customer agreed, of whoever was asked, as the mart has it."""
    path = settings.mart / FILE
    if path.is_file():
        frame = pl.read_parquet(path, glob=False)
        for purpose in purposes(frame):
            asked = frame.select(names.CUSTOMER_ID, f"{names.CONSENT}{purpose}").drop_nulls()
            for key, agreed in asked.iter_rows():
                yield key, purpose, agreed


def _late(mapping: Mapping) -> set[str]:
    """The company's own columns that are known only after the event that one would predict."""
    return {
        name
        for entry in entries(mapping, names.CUSTOMERS)
        for name, column in entry.columns.items()
        if isinstance(column, ColumnMap) and column.after_outcome
    }


def _carried(columns: pl.Schema, known: dict[str, Privacy]) -> list[str]:
    """The join key, the purposes, then the other columns that may be carried, in their order.

    Of identifiers the mart holds the join key alone, of sensitive columns and of those that nobody classed nothing.

    Raises:
        DataError: a purpose is no Boolean: what else it may say is not for us to guess.
    """
    others = [name for name in columns if name != names.CUSTOMER_ID and known.get(name, "identifier") in SHOWN]
    asked = [name for name in others if _is_purpose(name)]
    for name in asked:
        if columns[name] != pl.Boolean:
            raise DataError(
                f"The column {name!r} of customers is {columns[name]}, not Boolean.",
                "Map it with `type: boolean`, and `values` from the company's words to true and false.",
            )
    return [names.CUSTOMER_ID, *asked, *(name for name in others if name not in asked)]


def _is_purpose(column: str) -> bool:
    return column.startswith(names.CONSENT) and not column.endswith("_missing")


def _created(created: datetime) -> pl.Expr:
    return pl.lit(created).cast(pl.Datetime("us", "UTC")).alias(names.CREATED_TIMESTAMP)


def _inputs(loaded: state.State, carried: list[str]) -> str:
    """Digest of all that the file is made from."""
    table = loaded.integrated.get(names.CUSTOMERS)
    parts = [] if table is None else [part.sha256 for part in table.parts.values()]
    return state.digest(Path(inspect.getfile(write_customers)).read_bytes(), *carried, *parts)
