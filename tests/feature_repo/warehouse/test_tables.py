"""Reading the warehouse."""

from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse import tables
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names
from motherlode.errors import DataError
from motherlode.settings import Settings


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_a_table_has_the_contracts_columns(thin: Settings, name: str) -> None:
    assert tables.scan(thin, name).collect_schema() == SCHEMAS[name]


def test_a_table_that_was_not_built_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'items'.*motherlode ingest"):
        tables.scan(Settings(home=tmp_path), names.ITEMS)


def test_a_table_that_nobody_knows_is_refused(thin: Settings) -> None:
    with pytest.raises(DataError, match=r"'itmes'.*items"):
        tables.scan(thin, "itmes")


def test_outside_ids_lead_from_every_join_key_back_to_the_companys_own_id(thin: Settings) -> None:
    ids = tables.outside_ids(thin)
    assert dict(ids.schema) == {names.OUTSIDE_ID: pl.Int64(), names.CUSTOMER_ID: pl.String()}
    assert ids[names.CUSTOMER_ID].to_list() == [str(outside) for outside in ids[names.OUTSIDE_ID]]
    customers = tables.scan(thin, names.CUSTOMERS).collect()[names.CUSTOMER_ID]
    assert set(ids[names.CUSTOMER_ID]) == set(customers)
    assert customers.is_unique().all()


def test_outside_ids_need_raw_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"transactions.*motherlode ingest"):
        tables.outside_ids(Settings(home=tmp_path))
