"""The integrated tables, and the way back from a join key to an outside id."""

from typing import Final

import polars as pl

from feature_repo.warehouse.contract import SCHEMAS
from feature_repo.warehouse.demo import HOUSEHOLD, SOURCES, raw_path
from motherlode import names
from motherlode.errors import DataError
from motherlode.identity import Identity
from motherlode.settings import Settings

_REBUILD: Final = "Run `motherlode ingest`."


def scan(settings: Settings, name: str) -> pl.LazyFrame:
    """An integrated table, with the columns of `contract.SCHEMAS[name]`.

    Raises:
        DataError: there is no such table, or it was not built.
    """
    if name not in SCHEMAS:
        raise DataError(f"There is no table {name!r}.", f"Known: {', '.join(SCHEMAS)}.")
    path = settings.integrated / f"{name}.parquet"
    if not path.is_file():
        raise DataError(f"The integrated table {name!r} is not in {settings.integrated}.", _REBUILD)
    return pl.scan_parquet(path)


def scan_all(settings: Settings) -> dict[str, pl.LazyFrame]:
    """Every integrated table, by name.

    Raises:
        DataError: one was not built.
    """
    return {name: scan(settings, name) for name in SCHEMAS}


def outside_ids(settings: Settings) -> pl.DataFrame:
    """Every customer of the raw tables: `outside_id` as the company has it, and `customer_id`, its join key.

    Raises:
        DataError: nothing was landed.
    """
    identities = customer_ids(settings)
    return identities.rename({HOUSEHOLD: names.OUTSIDE_ID})


def customer_ids(settings: Settings) -> pl.DataFrame:
    """The demo's households: `household_id`, `customer_id`, sorted by the former."""
    found = []
    for source in SOURCES.values():
        path = raw_path(settings, source)
        if not path.is_file():
            raise DataError(f"The raw table {source!r} is not in {settings.raw}.", _REBUILD)
        table = pl.scan_parquet(path)
        if HOUSEHOLD in table.collect_schema():
            found.append(table.select(pl.col(HOUSEHOLD).drop_nulls().unique()))
    households = pl.concat(found).unique().sort(HOUSEHOLD).collect()
    identity = Identity(settings.pseudonym_key)
    keys = [identity.join_key(household) for household in households[HOUSEHOLD].to_list()]
    return households.with_columns(pl.Series(names.CUSTOMER_ID, keys, pl.String))
