"""A mapping and a file's columns become the canonical table; what cannot be made is told, row by row."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_repo.warehouse import contract
from feature_repo.warehouse.mapping import model
from feature_repo.warehouse.mapping.compile import compile_matching, compile_table
from feature_repo.warehouse.mapping.made import Compiled
from feature_repo.warehouse.mapping.read import Project, parse
from motherlode import names
from motherlode.errors import DataError

ORDERS = {
    "customer_no": ["17.0", " 18 ", "19", "20", "21"],
    "order_no": ["A1", "A1", "A2", "", "A4"],
    "sku": ["007", "8", "9", "10", "n/a"],
    "pieces": ["3", "-1", "two", "1.000", ""],
    "cents": ["1.999", "-500", "100", "x", "7,5"],
    "channel": ["W", "007", "?", "phone", None],
    "ordered_at": ["29.02.2024 10:00", "31.03.2024 02:30", "2024-10-27 02:30:00", "30.02.2024 10:00", ""],
    "state": ["paid", "paid", "void", None, "paid"],
}
PRODUCTS = {"products.kind": ["bulk", "unit", None, "unit", None]}
LOOKUPS: Mapping[str, Mapping[str, pl.DataType]] = {
    "products": {"product_no": pl.String(), "kind": pl.String(), "title": pl.String()}
}


def block(project: Project, table: str) -> model.TableMap:
    """A table's only block."""
    found = project.mapping.tables[table]
    assert isinstance(found, model.TableMap)
    return found


def compiled(project: Project, table: str, raw: pl.DataFrame, **found: str) -> Compiled:
    """A table's expressions for a file."""
    entry = block(project, table)
    return compile_table(project, table, entry, raw.schema, LOOKUPS, {entry.from_: found})


def run(made: Compiled, raw: pl.DataFrame, beside: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """Every column, its failure as `<column>!` and what it shows as `<column>?`."""
    frame = raw.lazy().with_row_index("_row", 1).with_columns(pl.col("_row").alias("_line"), pl.lit("f").alias("_file"))
    frame = frame.with_columns(pl.Series(name, values) for name, values in (beside or {}).items())
    exprs = [pl.col("_row")]
    for column in made.columns:
        failed = pl.lit(False) if column.failed is None else column.failed
        exprs += [
            column.value.alias(column.name),
            failed.alias(f"{column.name}!"),
            column.shown.alias(f"{column.name}?"),
        ]
    done = frame.select(exprs).collect(engine="streaming")
    assert {it.name: it.dtype for it in made.columns} == {it.name: done.schema[it.name] for it in made.columns}
    return done


@pytest.fixture
def orders() -> pl.DataFrame:
    """The shop's orders as landed: text, with everything wrong in it."""
    return pl.DataFrame(ORDERS)


def test_text_becomes_the_contracts_columns(shop: Project, orders: pl.DataFrame) -> None:
    made = compiled(shop, names.TRANSACTIONS, orders)
    rows = run(made, orders, PRODUCTS)
    utc = dt.UTC
    assert rows.select(pl.exclude("^.*[!?]$", "_row")).to_dict(as_series=False) == {
        "customer_id": ["17", "18", "19", "20", "21"],
        "basket_id": ["A1", "A1", "A2", None, "A4"],
        "line_id": [None] * 5,
        "store_id": [None] * 5,
        "channel": ["web", "store", None, "phone", None],
        "item_id": ["007", "8", "9", "10", None],
        "quantity": [1.0, -1.0, None, 1000.0, None],
        "amount": [19.99, -5.0, 1.0, None, 0.075],
        "retail_discount": [0.0] * 5,
        "coupon_discount": [0.0] * 5,
        "event_timestamp": [
            *(dt.datetime(2024, 2, 29, 9, tzinfo=utc), None, dt.datetime(2024, 10, 27, 0, 30, tzinfo=utc), None, None)
        ],
        "local_timestamp": [dt.datetime(2024, 2, 29, 10), None, dt.datetime(2024, 10, 27, 2, 30), None, None],
    }
    failed = rows.select("_row", pl.selectors.ends_with("!")).unpivot(index="_row").filter(pl.col("value"))
    assert set(zip(failed["_row"], failed["variable"], strict=True)) == {
        *((3, "quantity!"), (4, "amount!"), (2, "event_timestamp!"), (4, "event_timestamp!"))
    }


def test_quarantine_is_shown_what_stands_there(shop: Project, orders: pl.DataFrame) -> None:
    made = compiled(shop, names.TRANSACTIONS, orders)
    rows = run(made, orders, PRODUCTS)
    assert rows["amount?"][3] == "x"
    assert rows["event_timestamp?"][1] == "31.03.2024 02:30"
    assert rows["quantity?"][2] == "products.kind=, pieces=two"
    told = {it.name: (it.rule, it.remedy) for it in made.columns}
    assert told["amount"][0] == "not a number"
    assert "'.' between thousands" in told["amount"][1]
    assert told["event_timestamp"][0] == "not a timestamp"
    assert "clock of Europe/Berlin, in the format %d.%m.%Y %H:%M or %Y-%m-%d %H:%M:%S" in told["event_timestamp"][1]


def test_what_is_needed_is_said(shop: Project, orders: pl.DataFrame) -> None:
    made = compiled(shop, names.TRANSACTIONS, orders.with_columns(unused=pl.lit(1)))
    assert made.raw_columns == set(ORDERS)
    assert made.lookup_columns == {"products": frozenset({"kind"})}
    assert made.key == ("basket_id", "item_id")
    assert compiled(shop, names.ITEMS, pl.DataFrame({"product_no": [1], "title": [""], "price": [5]})).key == (
        "item_id",
    )


def test_rows_that_are_not_meant_are_told_and_never_null(shop: Project, orders: pl.DataFrame) -> None:
    made = compiled(shop, names.TRANSACTIONS, orders)
    assert made.where is not None
    assert orders.select(made.where).to_series().to_list() == [True, True, False, False, True]


def test_limits_and_rules_are_broken_where_they_are(shop: Project, orders: pl.DataFrame) -> None:
    made = compiled(shop, names.TRANSACTIONS, orders)
    rules = {rule.name: rule for rule in made.rules}
    assert list(rules) == ["below -5000", "above 5000", "price per piece"]
    rows = pl.DataFrame({"amount": [-5001.0, 5000.0, None], "quantity": [1.0, 2.0, 3.0]})
    broken = rows.select(**{name: rule.broken for name, rule in rules.items()})
    assert broken["below -5000"].to_list() == [True, False, None]
    assert broken["price per piece"].to_list() == [True, True, None]
    assert rules["below -5000"].severity == "warn"
    assert rules["price per piece"].severity == "fail"
    assert rules["price per piece"].column == "amount"


def test_the_same_mapping_makes_the_same_of_typed_columns(shop: Project, orders: pl.DataFrame) -> None:
    clean = orders.head(1).with_columns(cents=pl.lit("1.999"), pieces=pl.lit("3"))
    typed = pl.DataFrame(
        {
            "customer_no": [17.0],
            "order_no": ["A1"],
            "sku": pl.Series(["007"], dtype=pl.Categorical),
            "pieces": pl.Series([3], dtype=pl.Int16),
            "cents": pl.Series([1999], dtype=pl.Int32),
            "channel": pl.Series(["W"], dtype=pl.Enum(["W", "S"])),
            "ordered_at": [dt.datetime(2024, 2, 29, 10)],
            "state": ["paid"],
        }
    )
    looked_up = {"products.kind": ["bulk"]}
    one = run(compiled(shop, names.TRANSACTIONS, clean), clean, looked_up)
    other = run(compiled(shop, names.TRANSACTIONS, typed), typed, looked_up)
    assert one.select(pl.exclude("^.*[?]$")).equals(other.select(pl.exclude("^.*[?]$")))


def test_a_column_of_nulls_makes_nulls(shop: Project, orders: pl.DataFrame) -> None:
    empty = orders.with_columns(pl.lit(None).alias(name) for name in ("cents", "ordered_at", "channel", "pieces"))
    rows = run(compiled(shop, names.TRANSACTIONS, empty), empty, PRODUCTS)
    for name in ("amount", "event_timestamp", "local_timestamp", "channel", "quantity"):
        assert rows[name].null_count() == 5
    assert not rows.select(pl.any_horizontal(pl.selectors.ends_with("!").any())).item()


def test_a_missing_column_is_told_with_those_there_are(shop: Project, orders: pl.DataFrame) -> None:
    with pytest.raises(DataError) as caught:
        compiled(shop, names.TRANSACTIONS, orders.rename({"cents": "Cent"}))
    assert (
        "motherlode.yaml, line 26: tables.transactions.columns.amount: the source 'orders' has no column 'cents'"
        in (caught.value.problem)
    )
    assert caught.value.remedy.startswith(
        "Did you mean 'Cent'? It has: customer_no, order_no, sku, pieces, Cent, channel"
    )
    with pytest.raises(DataError, match=r"columns\.quantity: there is no column 'pieces'"):
        compiled(shop, names.TRANSACTIONS, orders.drop("pieces"))
    with pytest.raises(DataError, match=r"transactions\.where: there is no column 'state'"):
        compiled(shop, names.TRANSACTIONS, orders.drop("state"))


def test_a_type_that_cannot_be_meant_is_told(shop: Project, orders: pl.DataFrame) -> None:
    with pytest.raises(
        DataError, match=r"columns\.amount: it holds List\(String\), which cannot become a money|number"
    ):
        compiled(shop, names.TRANSACTIONS, orders.with_columns(cents=pl.concat_list("cents")))


def test_signs_that_the_file_showed_count_where_none_are_stated(shop_text: str, orders: pl.DataFrame) -> None:
    text = shop_text.replace('    decimal: ","\n    thousands: "."\n', "")
    project = parse(text.encode(), Path("motherlode.yaml"))
    shown = run(compiled(project, names.TRANSACTIONS, orders, decimal=",", thousands="."), orders, PRODUCTS)
    assert shown["amount"].to_list() == [19.99, -5.0, 1.0, None, 0.075]
    plain = run(compiled(project, names.TRANSACTIONS, orders), orders, PRODUCTS)
    assert plain["amount"].to_list() == [0.01999, -5.0, 1.0, None, None]


def test_a_receipt_without_a_number_is_its_customer_and_moment(shop_text: str, orders: pl.DataFrame) -> None:
    text = shop_text.replace("      basket_id: order_no\n", "").replace("key: [basket_id, item_id]", "key: [item_id]")
    made = compiled(parse(text.encode(), Path("motherlode.yaml")), names.TRANSACTIONS, orders)
    pseudonyms = pl.DataFrame(
        {
            "customer_id": ["k1", "k1", "k2"],
            "event_timestamp": [dt.datetime(2024, 1, day, tzinfo=dt.UTC) for day in (1, 1, 2)],
        }
    )
    baskets = pseudonyms.select(made.derived[names.BASKET_ID]).to_series().to_list()
    assert baskets == ["k1@20240101T000000.000000"] * 2 + ["k2@20240102T000000.000000"]
    assert next(it for it in made.columns if it.name == names.BASKET_ID).failed is None
    # The outside id must not reach the receipt's: it is made from the canonical columns, after pseudonyms.
    assert made.derived[names.BASKET_ID].meta.root_names() == ["customer_id", "event_timestamp"]


def test_an_identifier_is_not_shown_by_another_column(shop_text: str, orders: pl.DataFrame) -> None:
    text = shop_text.replace(
        "basket_id: order_no", "basket_id: {sql: \"customer_no || '-' || CAST(pieces AS BIGINT)\"}"
    )
    made = compiled(parse(text.encode(), Path("motherlode.yaml")), names.TRANSACTIONS, orders)
    assert run(made, orders, PRODUCTS)["basket_id?"][2] == "customer_no=(hidden), pieces=two"
    assert run(made, orders, PRODUCTS)["customer_id?"][2] == "19"


@pytest.mark.parametrize(
    ("otherwise", "values", "failed"),
    [
        ("keep", ["web", "store", None, "phone", None], [False] * 5),
        ("null", ["web", "store", None, None, None], [False] * 5),
        ("reject", ["web", "store", None, None, None], [False, False, False, True, False]),
    ],
)
def test_texts_outside_of_values_are_kept_nulled_or_rejected(
    shop_text: str, orders: pl.DataFrame, otherwise: str, values: list[str | None], failed: list[bool]
) -> None:
    project = parse(shop_text.replace("otherwise: keep", f"otherwise: {otherwise}").encode(), Path("motherlode.yaml"))
    made = compiled(project, names.TRANSACTIONS, orders)
    rows = run(made, orders, PRODUCTS)
    assert rows["channel"].to_list() == values
    assert rows["channel!"].to_list() == failed
    rule = next(it.rule for it in made.columns if it.name == "channel")
    assert rule == ("not in values" if otherwise == "reject" else "not a string")


def test_own_columns_follow_the_contracts(shop: Project) -> None:
    raw = pl.DataFrame(
        {
            "id": ["1", "2"],
            "since": [dt.date(2024, 3, 30), None],
            "newsletter": ["ja", "perhaps"],
            "birth": ["1990-02-28", "2021-01-01"],
            "income": ["1e4", "NaN"],
            "segment": ["A", "D"],
        }
    )
    made = compiled(shop, names.CUSTOMERS, raw)
    assert [it.name for it in made.columns] == [
        *contract.TABLES[names.CUSTOMERS].columns,
        *("consent_marketing", "born", "income", "segment"),
    ]
    rows = run(made, raw)
    assert rows["registered_at"].to_list() == [dt.datetime(2024, 3, 30, 22, 59, 59, 999999, tzinfo=dt.UTC), None]
    assert rows["consent_marketing"].to_list() == [True, None]
    assert rows["consent_marketing!"].to_list() == [False, True]
    assert rows["born"].to_list() == [dt.date(1990, 2, 28), dt.date(2021, 1, 1)]
    assert rows["income!"].to_list() == [False, True]
    broken = [(rule.name, rows.select(rule.broken).to_series().to_list()) for rule in made.rules]
    assert broken == [("above 2020-01-01", [False, True]), ("not allowed", [False, True])]
    assert dict(made.impute) == {"income": model.Impute(by="median", within=["segment"])}
    assert {it.name: it.privacy for it in made.columns} == {
        "customer_id": "identifier",
        "registered_at": "none",
        "consent_marketing": "none",
        "born": "quasi",
        "income": "none",
        "segment": "none",
    }


def test_items_keep_the_companys_id_beside_the_key(shop: Project) -> None:
    raw = pl.DataFrame({"product_no": [7, 8], "title": ["Lamp", "Bulb"], "price": [5, None]})
    rows = run(compiled(shop, names.ITEMS, raw), raw)
    assert rows["outside_id"].to_list() == rows["item_id"].to_list() == ["7", "8"]


def test_an_epoch_is_shown_on_the_companys_clock(shop: Project) -> None:
    raw = pl.DataFrame({"cookie": ["c"], "url": ["/"], "ts": [1_709_197_200_000]})
    rows = run(compiled(shop, names.INTERACTIONS, raw), raw)
    assert rows["event_timestamp"].to_list() == [dt.datetime(2024, 2, 29, 9, tzinfo=dt.UTC)]
    assert rows["event_type"].to_list() == ["view"]


@pytest.mark.parametrize(
    ("company", "source", "column", "local"),
    [
        ("America/New_York", None, "UTC", 5),
        ("UTC", None, "America/New_York", 10),
        ("Asia/Shanghai", "America/New_York", None, 10),
        ("UTC", None, None, 10),
        ("America/New_York", "UTC", None, 5),
    ],
)
def test_local_time_is_the_nearest_zone_that_is_not_utc(
    company: str, source: str | None, column: str | None, local: int
) -> None:
    zone = f", time_zone: {source}" if source else ""
    own = f", time_zone: {column}" if column else ""
    text = (
        f"company: C\ntime_zone: {company}\nsources:\n  s: {{files: s.csv{zone}}}\n"
        "tables:\n  transactions:\n    from: s\n"
        f"    columns: {{customer_id: c, item_id: i, amount: a, event_timestamp: {{from: t{own}}}}}\n"
    )
    raw = pl.DataFrame({"c": [1], "i": [1], "a": [1.0], "t": [dt.datetime(2024, 1, 15, 10)]})
    rows = run(compiled(parse(text.encode(), Path("m.yaml")), names.TRANSACTIONS, raw), raw)
    assert rows["local_timestamp"][0].hour == local
    # On whichever clock: both columns tell the same moment.
    assert rows["event_timestamp"][0].astimezone(dt.UTC).minute == 0


def test_people_are_compared_by_text_that_fails_nowhere(shop: Project) -> None:
    raw = pl.DataFrame(
        {"id": ["1", "2"], "full_name": ["Ada ", ""], "mail": ["a@x", None], "birth": ["1990-02-28", "?"]}
    )
    made = compile_matching(shop, block(shop, names.CUSTOMERS), raw.schema, {})
    rows = run(made, raw)
    assert rows.select("name", "email", "birth_date").rows() == [("Ada", "a@x", "1990-02-28"), (None, None, None)]
    assert all(it.failed is None and it.dtype == pl.String and it.privacy == "identifier" for it in made.columns)
    assert made.raw_columns == {"full_name", "mail", "birth"}
    with pytest.raises(DataError, match=r"matching\.columns\.email: the source 'crm' has no column 'mail'"):
        compile_matching(shop, block(shop, names.CUSTOMERS), raw.drop("mail").schema, {})


def test_a_rows_file_and_line_can_be_mapped(shop_text: str, orders: pl.DataFrame) -> None:
    text = shop_text.replace("basket_id: order_no", "basket_id: order_no\n      line_id: _line\n      store_id: _file")
    project = parse(text.encode(), Path("motherlode.yaml"))
    rows = run(compiled(project, names.TRANSACTIONS, orders), orders, PRODUCTS)
    assert rows["line_id"].to_list() == ["1", "2", "3", "4", "5"]
    assert rows["store_id"].to_list() == ["f"] * 5
