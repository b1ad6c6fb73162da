"""The plans that a build of the mart runs on the device: of each view, in every form that the engine gives it."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from feature_repo.features import frames, own
from feature_repo.features.view import View, Words
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names

Tables = Mapping[str, pl.LazyFrame]
Plan = Callable[[Tables], pl.LazyFrame]
"""Integrated tables by name → a plan."""

INTEGRATED: Final = "integrated"
"""The folder of a home that holds the integrated tables."""

WORDS: Final = Words(
    departments={"grocery": "GROCERY", "drug_gm": "DRUG GM"},
    campaign_types={"type_a": "Type A", "type_b": "Type B"},
    channels={"store": "store", "web": "web"},
    attributes={"age": "String", "household_size": "Int64", "income": "Float64", "owns_home": "Boolean"},
    purposes=("marketing", "profiling"),
)
"""Some of every kind of word that a company can have."""

_TYPES: Final[Mapping[str, pl.DataType]] = {
    "String": pl.String(),
    "Int64": pl.Int64(),
    "Float64": pl.Float64(),
    "Boolean": pl.Boolean(),
}
_ROWS: Final = 2


def tables(folder: Path, home: Path | None = None) -> Tables:
    """The integrated tables as a run reads them: scans of Parquet files.

    Args:
        folder: where files may be written.
        home: a home with integrated tables, whose own columns are taken too; None: the contract's and WORDS' alone.
    """
    found = {}
    for name, schema in SCHEMAS.items():
        columns = dict(schema)
        if name == names.CUSTOMERS:
            columns |= {word: _TYPES[dtype] for word, dtype in WORDS.attributes.items()}
            columns |= {f"{names.CONSENT}{purpose}": pl.Boolean() for purpose in WORDS.purposes}
        for path in sorted((home / INTEGRATED / name).glob("*.parquet")) if home else ():
            columns |= pl.read_parquet_schema(path)
        empty = pl.DataFrame({column: [None] * _ROWS for column in columns}, schema=columns)
        empty.write_parquet(folder / f"{name}.parquet")
        found[name] = pl.scan_parquet(folder / f"{name}.parquet", glob=False)
    return found


def plans(project: Path) -> Iterator[tuple[str, Plan]]:
    """Name → plan: the catalogue's views, then those of a project of one's own (`features/` in its folder)."""
    weeks = [datetime(2017, 2, 1, tzinfo=UTC), datetime(2017, 2, 8, tzinfo=UTC)]
    snapshots = pl.LazyFrame({names.EVENT_TIMESTAMP: weeks}, schema={names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC")})
    yield "baskets", frames.baskets
    for view in own.load(project, WORDS):
        yield f"view {view.name}", partial(_whole, view, snapshots)
        if view.apart:
            yield f"view {view.name}, some keys' rows", partial(_bucket, view, snapshots)
        if not view.whole:
            yield f"view {view.name}, a partition's customers", partial(_partition, view, snapshots)
        if view.across is not None and (view.apart or not view.whole):
            yield f"view {view.name}, customers compared", partial(_compared, view)


def _whole(view: View, snapshots: pl.LazyFrame, integrated: Tables) -> pl.LazyFrame:
    """From files; views that compare do so in the same plan."""
    return view.plan(integrated, snapshots)


def _partition(view: View, snapshots: pl.LazyFrame, integrated: Tables) -> pl.LazyFrame:
    """From memory, customers by number, baskets computed before."""
    coded = {name: _in_memory(table) for name, table in integrated.items()}
    return view.build({**coded, frames.BASKETS: _in_memory(frames.baskets(coded))}, snapshots)


def _bucket(view: View, snapshots: pl.LazyFrame, integrated: Tables) -> pl.LazyFrame:
    """From files that hold the columns which the view takes and no others; nothing is compared yet."""
    taken = {name: integrated[name].select(columns) for name, columns in view.apart.items()}
    return view.build({**integrated, **taken}, snapshots)


def _compared(view: View, _integrated: Tables) -> pl.LazyFrame:
    """The rows of all partitions, or of all keys with what their builds hand on, from memory."""
    assert view.across is not None
    plain = {name: dtype for name, dtype in view.features.items() if name not in view.compared}
    schema = {view.key: pl.String(), names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC"), **plain, **view.beside}
    return view.across(_nothing(schema).lazy())


def _in_memory(table: pl.LazyFrame) -> pl.LazyFrame:
    schema = dict(table.collect_schema())
    if names.CUSTOMER_ID in schema:
        schema[names.CUSTOMER_ID] = pl.Int64()
    return _nothing(schema).lazy()


def _nothing(schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame({column: [None] * _ROWS for column in schema}, schema=schema)
