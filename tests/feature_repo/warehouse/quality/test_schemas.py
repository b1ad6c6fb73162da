"""The contract as pandera schemas: each column, each rule, each severity."""

from datetime import timedelta
from typing import Any, cast

import pandera.polars as pa
import polars as pl
import pytest
from pandera.config import ValidationDepth, config_context
from pandera.errors import SchemaErrors, SchemaWarning

from feature_repo.warehouse.contract import LANDED_AT, RULES, SCHEMAS, TABLES, Rule
from feature_repo.warehouse.quality import schemas
from motherlode.errors import DataError

from .conftest import NOW, rows_of, sale

BROKEN: dict[str, dict[str, Any]] = {
    "missing: customer_id": {"customer_id": None},
    "missing: item_id": {"item_id": None},
    "not finite: amount": {"amount": float("nan")},
    "not finite: quantity": {"quantity": float("inf")},
    "negative: retail_discount": {"retail_discount": -0.01},
    "negative: coupon_discount": {"coupon_discount": -1.0},
    "no pieces: quantity": {"quantity": 0.0},
}


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_a_schema_of_its_columns_and_its_rules(table: str) -> None:
    schema = schemas.schema(table)
    assert list(schema.columns) == list(TABLES[table].columns)
    assert [check.name for check in schema.checks] == [schemas.name(rule) for rule in RULES.get(table, ())]
    assert list(schemas.content(pl.DataFrame(schema=SCHEMAS[table]), table, {})) == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_row_that_breaks_one_rule_is_counted_for_that_rule_alone(name: str) -> None:
    frame = rows_of("transactions", [sale(), {**sale(), **BROKEN[name]}, sale()])
    (finding,) = schemas.content(frame, "transactions", {})
    assert (finding.severity, finding.what, finding.value) == ("fail", f"rows break `{name}`", "1 of 3 (33 %)")


def test_a_coupon_line_without_pieces_keeps_the_rules() -> None:
    frame = rows_of("transactions", [sale(quantity=0.0, amount=0.0, coupon_discount=1.0)])
    assert list(schemas.content(frame, "transactions", {})) == []


def test_a_rule_over_the_landing_time_is_checked_where_it_is_known() -> None:
    frame = rows_of("transactions", [sale(days=-1.0)])
    assert list(schemas.content(frame, "transactions", {})) == []
    landed = frame.with_columns(pl.lit(NOW).alias(LANDED_AT))
    (finding,) = schemas.content(landed, "transactions", {})
    assert finding.what == "rows break `in the future: event_timestamp`"
    early = frame.with_columns(pl.lit(NOW + timedelta(days=2)).alias(LANDED_AT))
    assert list(schemas.content(early, "transactions", {})) == []


def test_a_column_of_another_type_and_a_missing_one_are_named_without_reading_a_row() -> None:
    frame = rows_of("transactions", [sale()]).with_columns(pl.col("amount").cast(pl.String)).drop("store_id").lazy()
    unreadable = frame.map_batches(lambda _: 1 / 0, schema=frame.collect_schema())  # type: ignore[arg-type,return-value]
    found = {(it.what, it.value) for it in schemas.structure(unreadable, "transactions", {})}
    assert found == {("amount has another type", "String, not Float64"), ("a column is missing", "store_id")}


def test_an_open_table_s_own_columns_are_held_to_their_types() -> None:
    frame = rows_of("customers", [{"customer_id": "1", "age": 3}], {"age": pl.Int64()})
    assert list(schemas.content(frame, "customers", {"age": pl.Int64()})) == []
    (finding,) = schemas.content(frame, "customers", {"age": pl.String()})
    assert finding.what == "age has another type"
    with pytest.raises(DataError, match="takes no columns of its own: age"):
        schemas.schema("transactions", {"age": pl.Int64()})
    with pytest.raises(DataError, match="no table 'sales'"):
        schemas.schema("sales")


@pytest.mark.parametrize("dtype", [pl.Int64(), pl.String()])
def test_an_item_s_outside_id_is_of_the_company_s_type(dtype: pl.DataType) -> None:
    frame = rows_of("items", [{"item_id": "1", "outside_id": "1"}]).with_columns(pl.col("outside_id").cast(dtype))
    assert list(schemas.content(frame, "items", {})) == []


def test_the_schema_serves_whoever_validates_by_pandera_itself() -> None:
    """Lazily and eagerly, at either depth."""
    schema, frame = schemas.schema("transactions"), rows_of("transactions", [sale(customer=None)])  # type: ignore[arg-type]
    assert isinstance(schema, pa.DataFrameSchema)
    with config_context(validation_depth=ValidationDepth.SCHEMA_ONLY):
        schema.validate(frame.lazy(), lazy=True).collect()
    with pytest.raises(SchemaErrors):
        schema.validate(frame, lazy=True)


def test_a_rule_that_warns_is_told_and_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Rule("dear", "amount", pl.col("amount") > 100, "Look again.", "warn")
    monkeypatch.setitem(cast(dict[str, Any], RULES), "transactions", (rule,))
    frame = rows_of("transactions", [sale(amount=1000.0)])
    (finding,) = schemas.content(frame, "transactions", {})
    assert (finding.severity, finding.what) == ("warn", "rows break `dear: amount` and are kept")
    with pytest.warns(SchemaWarning):
        schemas.schema("transactions").validate(frame)
