"""Raw to clean: every row kept, or rejected with what is wrong with it; files that are broken in many ways."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from feature_repo.warehouse.parts import KEY
from motherlode import names

COLUMNS = ("customer", "receipt", "line", "item", "pieces", "money", "coupon", "sold")
GOOD = ("anna", "r1", 1, "tea", 2, 7.0, 0, "2024-01-05T10:00:00Z")


def wrong(**cells: Any) -> tuple[Any, ...]:
    """A good row but for some cells."""
    return tuple(cells.get(name, cell) for name, cell in zip(COLUMNS, GOOD, strict=True))


def test_each_broken_row_is_told_with_its_column_value_and_rule_and_the_good_ones_go_on(company: Any) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    company.mapping = "quality: { transactions: { fail: 1 } }\n" + company.mapping
    company.sales(
        "sales_1.csv",
        GOOD,
        wrong(customer=None, receipt="r2"),
        wrong(receipt="r3", money="cheap"),
        wrong(receipt="r4", sold="2024-02-30T10:00:00Z"),
        wrong(receipt="r5", sold=tomorrow),
        wrong(receipt="r6", pieces="NaN"),
        wrong(receipt="r7", coupon=-1),
        wrong(receipt="r8", pieces=0),
        wrong(receipt="r9", pieces=-2, money=-7.0),
        wrong(receipt="r10", money=0),
        wrong(receipt="r11", money="cheap", sold="never"),
    )
    company.load()
    rejected = company.quarantine().sort("line")
    assert rejected.select("line", "row", "column", "value").rows() == [
        (3, 2, names.CUSTOMER_ID, None),
        (4, 3, names.AMOUNT, "cheap"),
        (5, 4, names.EVENT_TIMESTAMP, "2024-02-30T10:00:00Z"),
        (6, 5, names.EVENT_TIMESTAMP, tomorrow),
        (7, 6, names.QUANTITY, "NaN"),
        (8, 7, names.COUPON_DISCOUNT, "-1"),
        (9, 8, names.QUANTITY, "0"),
        (12, 11, names.AMOUNT, "cheap"),
    ]
    assert rejected["rule"][0] == "missing"
    assert rejected["rule"][3] == "in the future"
    assert rejected["remedy"].is_not_null().all()
    # Returns and free items stay.
    assert company.table(names.TRANSACTIONS)[names.BASKET_ID].to_list() == ["r1", "r9", "r10"]


def test_a_rule_of_the_company_rejects_or_counts(company: Any) -> None:
    company.mapping = company.mapping.replace("amount: money", "amount: { from: money, max: 100 }")
    company.mapping += (
        "    rules:\n"
        '      - { name: dear, sql: "amount < 50", severity: warn }\n'
        '      - { name: no gifts, sql: "amount <> 0", column: amount }\n'
    )
    company.sales(
        "sales_1.csv", GOOD, wrong(receipt="r2", money=70), wrong(receipt="r3", money=0), wrong(receipt="r4", money=101)
    )
    company.load()
    assert company.quarantine().sort("line").select("line", "rule").rows() == [(4, "no gifts"), (5, "above 100")]
    [cleaned] = company.state.clean
    assert cleaned.warnings == {"dear": 1}


def test_the_companys_limits_speak_of_the_companys_dates_although_dates_move(company: Any) -> None:
    company.mapping = "move_dates: true\n" + company.mapping.replace(
        "event_timestamp: sold", "event_timestamp: { from: sold, max: 2024-12-31 }"
    )
    company.sales("sales_1.csv", GOOD)
    company.load()
    assert company.table(names.TRANSACTIONS).height == 1


def test_a_line_that_is_no_row_is_in_quarantine_too(company: Any) -> None:
    path = company.sales("sales_1.csv", GOOD, wrong(receipt="r2"))
    path.write_text(path.read_text() + "anna,r3\n" + ",".join(map(str, wrong(receipt="r4"))) + "\n")
    company.load()
    assert company.count(names.TRANSACTIONS) == {
        "landed": 4, "excluded": 0, "quarantined": 1, "merged": 0, "derived": 0, "integrated": 3
    }  # fmt: skip
    [row] = company.quarantine().rows(named=True)
    assert (row["file"], row["line"], row["row"]) == ("sales_1.csv", 4, None)
    assert "anna,r3" in row["value"]
    keyed = company.keyed("a secret of enough bytes")
    keyed.settings = type(keyed.settings)(
        home=company.settings.home / "keyed", pseudonym_key="a secret of enough bytes"
    )
    keyed.load()
    assert keyed.quarantine()["value"].to_list() == ["(hidden)"]


def test_an_id_with_a_nul_is_no_text(company: Any) -> None:
    company.write("more.jsonl", json.dumps(dict(zip(COLUMNS, wrong(customer="an\0na"), strict=True))) + "\n")
    company.mapping = company.mapping.replace('files: "sales*.csv"', 'files: "more.jsonl"')
    company.mapping = "quality: { transactions: { fail: 1 } }\n" + company.mapping
    company.load()
    [row] = company.quarantine().rows(named=True)
    assert (row["column"], row["rule"]) == (names.CUSTOMER_ID, "not text")


def test_an_empty_file_and_a_column_of_nulls_stop_nothing(company: Any) -> None:
    company.sales("sales_1.csv", GOOD)
    company.sales("sales_2.csv")
    company.sales("sales_3.csv", wrong(receipt="r2", coupon=None, line=None))
    company.load()
    assert company.table(names.TRANSACTIONS).height in (1, 2)
    assert company.count(names.TRANSACTIONS)["landed"] == 2


def test_a_column_that_changes_its_type_between_files_is_read_alike(company: Any) -> None:
    company.mapping = company.mapping.replace("sales*.csv", "sales*.parquet")
    rows = {
        "customer": [7], "receipt": [1], "line": [1], "item": [10], "pieces": [1.0], "money": [3.5], "coupon": [0.0],
        "sold": [datetime(2024, 1, 5)],
    }  # fmt: skip
    pl.DataFrame(rows).write_parquet(company.folder / "sales_1.parquet")
    other = rows | {
        "customer": ["7"],
        "receipt": ["2"],
        "item": [10.0],
        "money": ["4.5"],
        "sold": ["2024-01-06 10:00:00"],
    }
    pl.DataFrame(other).write_parquet(company.folder / "sales_2.parquet")
    company.load()
    lines = company.table(names.TRANSACTIONS)
    assert lines.select(names.CUSTOMER_ID, names.ITEM_ID, names.AMOUNT).rows() == [("7", "10", 3.5), ("7", "10", 4.5)]


def test_a_truncated_parquet_file_is_refused_and_the_others_go_on(company: Any) -> None:
    company.mapping = company.mapping.replace("sales*.csv", "sales*")
    company.sales("sales_1.csv", GOOD)
    pl.DataFrame({"customer": ["anna"] * 1000}).write_parquet(company.folder / "sales_2.parquet")
    path = company.folder / "sales_2.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    assert [file.name for file in company.load().refused] == ["sales_2.parquet"]
    assert company.table(names.TRANSACTIONS).height == 1


def test_every_row_group_of_a_clean_file_is_of_one_month_and_hashes_are_unsigned(company: Any) -> None:
    company.sales("sales_1.csv", *(wrong(receipt=f"r{n}", sold=f"2024-0{1 + n % 3}-05T10:00:00Z") for n in range(30)))
    company.load()
    [cleaned] = company.state.clean
    assert cleaned.months == {"2024-01": 10, "2024-02": 10, "2024-03": 10}
    path = company.settings.home / cleaned.clean.path
    with pq.ParquetFile(path) as file:
        column = file.schema_arrow.names.index(names.EVENT_TIMESTAMP)
        spans = [file.metadata.row_group(n).column(column).statistics for n in range(file.num_row_groups)]
    assert [(span.min.month, span.max.month) for span in spans] == [(1, 1), (2, 2), (3, 3)]
    assert pl.read_parquet_schema(path)[KEY] == pl.UInt64


def test_a_shop_without_receipts_gets_one_of_customer_and_time(company: Any) -> None:
    company.mapping = company.mapping.replace("      basket_id: receipt\n", "").replace(
        "[basket_id, line_id]", "[customer_id, item_id, event_timestamp]"
    )
    company.sales("sales_1.csv", GOOD, wrong(item="milk"), wrong(customer="ben"))
    company.load()
    baskets = company.table(names.TRANSACTIONS)[names.BASKET_ID].to_list()
    assert baskets[0] == baskets[1] != baskets[2]
