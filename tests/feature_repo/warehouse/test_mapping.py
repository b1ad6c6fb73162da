"""The demo's columns on the canonical ones."""

from datetime import UTC, date, datetime, timedelta

import polars as pl

from feature_repo.warehouse import mapping
from feature_repo.warehouse.contract import SCHEMAS
from feature_repo.warehouse.mapping import LINE, Context
from motherlode import names


def test_a_line_keeps_its_values_in_the_canonical_types(raw_lines: pl.DataFrame, context: Context) -> None:
    lines = mapping.transactions(raw_lines.lazy(), context).collect()
    assert dict(lines.schema) == {LINE: pl.UInt32(), **SCHEMAS[names.TRANSACTIONS]}
    assert lines.row(0, named=True) == {
        LINE: 1,
        names.CUSTOMER_ID: "1",
        names.BASKET_ID: "100",
        names.STORE_ID: "5",
        names.ITEM_ID: "20",
        names.QUANTITY: 2,
        names.AMOUNT: 3.0,
        names.RETAIL_DISCOUNT: 0.5,
        names.COUPON_DISCOUNT: 1.25,
        names.EVENT_TIMESTAMP: datetime(2017, 7, 1, 3, 30, tzinfo=UTC),
        names.LOCAL_TIMESTAMP: datetime(2017, 6, 30, 23, 30),
    }


def test_the_local_clock_knows_daylight_saving_and_moves_with_the_shift(
    raw_lines: pl.DataFrame, context: Context
) -> None:
    shifted = Context(timedelta(weeks=30), context.identities, context.products)
    lines = mapping.transactions(raw_lines.lazy(), shifted).collect()
    assert lines[names.LOCAL_TIMESTAMP].dt.hour().to_list() == [23, 23, 22, 22, 22], "half a year on, the hour stays"
    moved = lines[names.EVENT_TIMESTAMP] - raw_lines["transaction_timestamp"].dt.replace_time_zone("UTC")
    assert moved.unique().to_list() == [timedelta(weeks=30)]


def test_petrol_is_counted_by_the_filling_and_float_dust_is_no_money(raw_lines: pl.DataFrame, context: Context) -> None:
    lines = mapping.transactions(raw_lines.lazy(), context).collect()
    assert lines[names.QUANTITY].to_list() == [2, 1, 1, 1, 1]
    assert lines[names.AMOUNT].to_list() == [3.0, 0.0, 25.0, 1.5, 1.5]


def test_a_household_without_an_identity_maps_to_none(raw_lines: pl.DataFrame, context: Context) -> None:
    lines = mapping.transactions(raw_lines.lazy(), context).collect()
    assert lines[names.CUSTOMER_ID].to_list() == ["1", "1", "2", "2", None]


def test_campaign_days_are_whole_days_at_the_shops(context: Context) -> None:
    raw = pl.LazyFrame(
        {
            LINE: [1],
            "campaign_id": [7],
            "campaign_type": ["Type A"],
            "start_date": [date(2017, 1, 2)],
            "end_date": [date(2017, 7, 3)],
        }
    )
    row = mapping.campaigns(raw, context).collect().row(0, named=True)
    assert row[names.STARTED_AT] == datetime(2017, 1, 2, 5, tzinfo=UTC)
    assert row[names.ENDED_AT] == datetime(2017, 7, 4, 3, 59, 59, 999_999, tzinfo=UTC)
    assert row[names.CAMPAIGN_ID] == "7"


def test_a_redemption_is_known_only_when_its_day_is_over(context: Context) -> None:
    raw = pl.LazyFrame(
        {
            LINE: [1],
            "household_id": [3],
            "coupon_upc": [51380041013],
            "campaign_id": [26],
            "redemption_date": [date(2017, 1, 1)],
        }
    )
    row = mapping.responses(raw, context).collect().row(0, named=True)
    assert row[names.EVENT_TIMESTAMP] == datetime(2017, 1, 2, 4, 59, 59, 999_999, tzinfo=UTC)
    assert row[names.COUPON_ID] == "51380041013"


def test_an_item_is_named_by_the_best_that_is_known(context: Context) -> None:
    raw = pl.LazyFrame(
        {
            LINE: [1, 2, 3],
            "product_id": [1, 2, 3],
            "manufacturer_id": [9, 9, 9],
            "department": ["GROCERY", "GROCERY", "MISCELLANEOUS"],
            "brand": ["Private", "National", None],
            "product_category": ["FRZN ICE", "FRZN ICE", None],
            "product_type": ["ICE - CRUSHED/CUBED", None, None],
            "package_size": ["22 LB", None, None],
        }
    )
    items = mapping.items(raw, context).collect()
    assert items[names.ITEM_NAME].to_list() == ["ICE - CRUSHED/CUBED, 22 LB", "FRZN ICE", "MISCELLANEOUS"]
    assert items[names.OUTSIDE_ID].to_list() == [1, 2, 3]
    assert items[names.ITEM_ID].to_list() == ["1", "2", "3"]
