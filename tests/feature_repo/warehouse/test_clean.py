"""Rules and duplicates: every row comes out once, as clean, rejected or merged."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.warehouse.clean import QUARANTINE, Cleaned, clean
from feature_repo.warehouse.contract import SCHEMAS
from feature_repo.warehouse.mapping import LINE
from motherlode import names

LANDED_AT = datetime(2025, 1, 1, tzinfo=UTC)
GOOD: dict[str, Any] = {
    names.CUSTOMER_ID: "1",
    names.BASKET_ID: "b",
    names.STORE_ID: "s",
    names.ITEM_ID: "i",
    names.QUANTITY: 1,
    names.AMOUNT: 2.0,
    names.RETAIL_DISCOUNT: 0.0,
    names.COUPON_DISCOUNT: 0.0,
    names.EVENT_TIMESTAMP: datetime(2024, 1, 1, tzinfo=UTC),
    names.LOCAL_TIMESTAMP: datetime(2024, 1, 1),
}


def cleaned(*lines: dict[str, Any]) -> Cleaned:
    schema = {LINE: pl.UInt32(), **SCHEMAS[names.TRANSACTIONS]}
    rows = [{LINE: number, **GOOD, **line} for number, line in enumerate(lines, start=1)]
    return clean(names.TRANSACTIONS, "lines.parquet", pl.LazyFrame(rows, schema=schema), LANDED_AT)


@pytest.mark.parametrize(
    ("fault", "column", "value", "rule"),
    [
        ({names.CUSTOMER_ID: None}, names.CUSTOMER_ID, None, "missing"),
        ({names.EVENT_TIMESTAMP: None}, names.EVENT_TIMESTAMP, None, "missing"),
        ({names.AMOUNT: float("nan")}, names.AMOUNT, "NaN", "not finite"),
        ({names.AMOUNT: float("inf")}, names.AMOUNT, "inf", "not finite"),
        ({names.RETAIL_DISCOUNT: -0.5}, names.RETAIL_DISCOUNT, "-0.5", "negative"),
        ({names.QUANTITY: 0, names.AMOUNT: 0.0}, names.QUANTITY, "0", "no pieces"),
        ({names.QUANTITY: 0, names.AMOUNT: 0.01}, names.QUANTITY, "0", "no pieces"),
        ({names.QUANTITY: 0, names.COUPON_DISCOUNT: 1.0}, names.QUANTITY, "0", "no pieces"),
        (
            {names.EVENT_TIMESTAMP: LANDED_AT + timedelta(microseconds=1)},
            names.EVENT_TIMESTAMP,
            "2025-01-01 00:00:00.000001+00:00",
            "in the future",
        ),
    ],
)
def test_a_bad_row_is_rejected_with_its_place_value_rule_and_remedy(
    fault: dict[str, Any], column: str, value: str | None, rule: str
) -> None:
    done = cleaned({}, {names.BASKET_ID: "bad", **fault})
    assert done.rows[LINE].to_list() == [1]
    assert dict(done.rejected.schema) == dict(QUARANTINE)
    row = done.rejected.row(0, named=True)
    assert row.pop("remedy")
    assert row == {"file": "lines.parquet", "line": 2, "column": column, "value": value, "rule": rule}


@pytest.mark.parametrize(
    "kept",
    [
        {names.QUANTITY: -1, names.AMOUNT: -2.0},  # a return
        {names.AMOUNT: 0.0},  # a free item
        {names.QUANTITY: 0, names.AMOUNT: 0.0, names.COUPON_DISCOUNT: 1.0},  # a coupon on the whole basket
        {names.STORE_ID: None},
        {names.EVENT_TIMESTAMP: LANDED_AT},
    ],
)
def test_an_odd_row_that_can_be_true_stays(kept: dict[str, Any]) -> None:
    done = cleaned(kept)
    assert done.rows.height == 1
    assert done.rejected.is_empty()


def test_a_line_landed_twice_merges_into_the_first() -> None:
    done = cleaned({}, {names.BASKET_ID: "other"}, {}, {})
    assert done.rows[LINE].to_list() == [1, 2]
    assert done.merged.rows() == [("lines.parquet", 3, 1, "landed twice"), ("lines.parquet", 4, 1, "landed twice")]
    assert done.rejected.is_empty()


def test_two_different_rows_of_one_key_keep_the_first_and_reject_the_second() -> None:
    done = cleaned({}, {names.AMOUNT: 9.0})
    assert done.rows[LINE].to_list() == [1]
    assert done.merged.is_empty()
    assert done.rejected.select("line", "column", "rule").rows() == [(2, names.ITEM_ID, "two rows of one key")]


def test_nulls_do_not_hide_a_duplicate() -> None:
    done = cleaned({names.STORE_ID: None}, {names.STORE_ID: None})
    assert done.rows[LINE].to_list() == [1]
    assert done.merged["line"].to_list() == [2]


def test_an_empty_table_is_clean() -> None:
    done = cleaned()
    assert (done.rows.height, done.rejected.height, done.merged.height) == (0, 0, 0)


LINES = st.fixed_dictionaries(
    {
        names.CUSTOMER_ID: st.sampled_from(["1", "2", None]),
        names.BASKET_ID: st.sampled_from(["a", "b"]),
        names.ITEM_ID: st.sampled_from(["x", "y"]),
        names.QUANTITY: st.sampled_from([-1, 0, 1, None]),
        names.AMOUNT: st.sampled_from([0.0, 1.0, float("nan")]),
        names.COUPON_DISCOUNT: st.sampled_from([0.0, 1.0, -1.0]),
    }
)


@given(st.lists(LINES, max_size=25))
def test_every_line_is_found_again_exactly_once(lines: list[dict[str, Any]]) -> None:
    done = cleaned(*lines)
    found = [*done.rows[LINE], *done.rejected["line"], *done.merged["line"]]
    assert sorted(found) == list(range(1, len(lines) + 1))
    assert set(done.merged["into_line"]) <= set(done.rows[LINE])
