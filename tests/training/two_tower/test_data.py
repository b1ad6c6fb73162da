from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from feature_repo.features import history
from motherlode import names
from motherlode.errors import DataError
from training.two_tower import data

START = datetime(2026, 1, 1, tzinfo=UTC)
TIME = {names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC")}


def purchases(baskets: Sequence[tuple[str, float, str]]) -> pl.DataFrame:
    """Baskets of (customer, day, items, a letter each)."""
    rows = [
        (customer, f"b{number}", item, 1, START + timedelta(days=day))
        for number, (customer, day, items) in enumerate(baskets)
        for item in items
    ]
    columns = [names.CUSTOMER_ID, names.BASKET_ID, names.ITEM_ID, names.QUANTITY, names.EVENT_TIMESTAMP]
    return pl.DataFrame(rows, schema=columns, orient="row", schema_overrides=TIME)


def items(keys: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            names.ITEM_ID: list(keys),
            names.OUTSIDE_ID: range(100, 100 + len(keys)),
            names.ITEM_NAME: [f"item {key}" for key in keys],
            names.DEPARTMENT: ["GROCERY" if key < "c" else None for key in keys],
            names.CATEGORY: ["MILK"] * len(keys),
            names.BRAND: ["Private"] * len(keys),
        }
    )


def snapshots(rows: list[tuple[str, float, float | None]]) -> pl.DataFrame:
    """Snapshots of (customer, day, value)."""
    return pl.DataFrame(
        [(customer, START + timedelta(days=day), value) for customer, day, value in rows],
        schema=[names.CUSTOMER_ID, names.EVENT_TIMESTAMP, "rfm__value"],
        orient="row",
        schema_overrides={names.CUSTOMER_ID: pl.String, **TIME, "rfm__value": pl.Float32},
    )


NO_FEATURES = snapshots([]).drop("rfm__value")
# Four customers of five baskets of three items: every item is in 20 baskets.
ENOUGH = [(customer, day, "abc") for customer in "wxyz" for day in range(5)]


def prepare(baskets: Sequence[tuple[str, float, str]], features: pl.DataFrame = NO_FEATURES) -> data.Dataset:
    return data.prepare(purchases(baskets), items("abcdefg"), features)


def of(dataset: data.Dataset, rows: Any) -> str:
    """A padded row as letters."""
    return "".join(dataset.catalogue.table.keys[row - 1] for row in rows if row)


def test_rare_items_small_baskets_and_rare_customers_go_in_that_order() -> None:
    """A basket that only a rare item fills up to three is too small; customers count what is left."""
    kept = data.keep_protocol(purchases([*ENOUGH, ("w", 9, "abd"), ("v", 1, "abc"), ("v", 2, "abc"), ("v", 3, "abc")]))
    assert kept[names.ITEM_ID].unique().sort().to_list() == ["a", "b", "c"]
    assert kept[names.CUSTOMER_ID].unique().sort().to_list() == ["w", "x", "y", "z"]
    assert kept.group_by(names.CUSTOMER_ID).agg(pl.col(names.BASKET_ID).n_unique())["basket_id"].to_list() == [5] * 4


def test_returns_and_lines_without_an_item_are_no_purchases() -> None:
    lines = purchases([*ENOUGH, ("w", 7, "abc")])
    returned = lines.with_columns(pl.when(pl.col(names.BASKET_ID) == "b20").then(-1).otherwise(1).alias(names.QUANTITY))
    assert data.keep_protocol(returned)[names.BASKET_ID].n_unique() == 20
    unknown = lines.with_columns(pl.when(pl.col(names.ITEM_ID) != "c").then(pl.col(names.ITEM_ID)))
    with pytest.raises(DataError, match="No purchases are left"):
        data.keep_protocol(unknown)


def test_history_sees_only_what_came_before() -> None:
    """Newest first, ties by item; the first basket sees nothing."""
    dataset = prepare([*ENOUGH, *((c, d, "bde") for c in "wxyz" for d in range(10, 15))])
    w = dataset.examples.take(np.flatnonzero(dataset.examples.customers == 0))
    assert [of(dataset, row) for row in w.history] == [""] + ["abc"] * 5 + ["bdeac"] * 4
    assert w.ages.tolist() == list(range(9, -1, -1))
    assert [w.baskets[i].tolist() for i in (0, 9)] == [[0, 1, 2], [1, 3, 4]]


def test_weights_halve_in_a_half_life() -> None:
    dataset = prepare([*ENOUGH[:15], *(("z", day, "abc") for day in (0.0, 0.0, 120.0, 360.0))])
    z = dataset.examples.take(np.flatnonzero(dataset.examples.customers == 3))
    np.testing.assert_allclose(z.weights[:, 0], [0.0, 1.0, 1.0, 0.5], rtol=1e-6)
    assert of(dataset, z.top[3]) == "abc"


def test_what_comes_later_decides_neither_items_nor_customers() -> None:
    """Item d becomes common and customer v regular only afterwards; known ones keep their later baskets."""
    later = [(customer, 10 + day, "abd") for customer in "wxyz" for day in range(5)]
    new = [("v", 20 + day, "abc") for day in range(4)]
    lines = purchases([*ENOUGH, *later, *new, ("w", 30, "abc")])
    kept = data.keep_protocol(lines, START + timedelta(days=10))
    assert kept[names.ITEM_ID].unique().sort().to_list() == ["a", "b", "c"]
    assert kept[names.CUSTOMER_ID].unique().sort().to_list() == ["w", "x", "y", "z"]
    assert kept[names.EVENT_TIMESTAMP].max() == START + timedelta(days=30)
    assert data.keep_protocol(lines)[names.ITEM_ID].n_unique() == 4
    assert data.keep_protocol(lines)[names.CUSTOMER_ID].n_unique() == 5


def test_latest_are_each_customer_s_last_among_those_asked() -> None:
    examples = prepare(ENOUGH).examples.latest(4)
    assert examples.ages.tolist() == [3, 2, 1, 0] * 4
    assert examples.take(np.flatnonzero(examples.ages > 0)).latest(1).history.astype(bool).sum() == 4 * 3


def test_snapshot_is_the_latest_not_after_the_basket() -> None:
    """At the very time counts, a microsecond later does not; before the first nothing is known."""
    later = 2 + 1e-6 / 86_400
    features = snapshots([("w", 1, 10.0), ("w", later, 20.0), ("w", 3, None), ("x", 0, 40.0)])
    dataset = prepare(ENOUGH, features)
    nan = np.float32("nan")
    np.testing.assert_array_equal(dataset.examples.features[:10, 0], [nan, 10.0, 10.0, nan, nan, *[40.0] * 5])
    assert dataset.columns == ("rfm__value",)


def test_defaults_are_the_medians_of_what_they_are_learned_from() -> None:
    features = snapshots([("w", 1, 10.0), ("x", 0, 40.0), ("y", 0, 1e6)])
    dataset = prepare(ENOUGH, features)
    (learned,) = data.learn_inputs(dataset.columns, dataset.examples.features[:10])
    assert (learned.view, learned.name, learned.default) == (names.RFM, "value", 40.0)
    assert max(learned.edges) == pytest.approx(40.0, rel=1e-5)  # y bought later
    assert sum(learned.shares) == 1
    assert learned.nulls == pytest.approx(0.1)
    values = dataset.examples.imputed((learned,)).features[:, 0]
    assert values.tolist() == [40.0, *[10.0] * 4, *[40.0] * 5, *[1e6] * 5, *[40.0] * 5]


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="rfm__value"):
        prepare(ENOUGH, snapshots([("w", 1, 1.0)]).with_columns(pl.col("rfm__value").cast(pl.String)))


def test_catalogue_keeps_the_company_s_ids_and_numbers_missing_attributes() -> None:
    catalogue = prepare(ENOUGH).catalogue
    assert catalogue.table.ids == (100, 101, 102)
    assert catalogue.table.names == ("item a", "item b", "item c")
    assert catalogue.cardinalities == (2, 2, 2)
    assert catalogue.attributes[:, 0].tolist() == [1, 1, 0]


def test_attributes_are_numbered_alike_whatever_was_sold() -> None:
    """So that a catalogue can grow; null has a number even where every item says what it is."""
    lines = data.keep_protocol(purchases(ENOUGH))
    table = items("abc").with_columns(pl.Series(names.CATEGORY, ["TEA", "MILK", "RICE"]))
    whole = data.build_catalogue(lines, table)
    part = data.build_catalogue(lines.filter(pl.col(names.ITEM_ID) != "b"), table)
    assert whole.cardinalities == part.cardinalities == (2, 4, 2)
    np.testing.assert_array_equal(part.attributes, whole.attributes[[0, 2]])


def test_items_not_in_the_table_of_items_go_by_their_key() -> None:
    dataset = data.prepare(purchases(ENOUGH), items("ab"), NO_FEATURES)
    assert dataset.catalogue.table.ids == (100, 101, "c")


def test_an_item_that_stands_twice_is_refused() -> None:
    with pytest.raises(DataError, match="Item 'a'"):
        data.prepare(purchases(ENOUGH), pl.concat([items("abc"), items("a")]), NO_FEATURES)


def test_histories_are_those_of_the_feature_view(integrated: dict[str, pl.LazyFrame]) -> None:
    """What is trained on is what serving reads: the view `history`, on purchases that pass every cut."""
    one = pl.lit(1).alias(names.QUANTITY)
    landed = data.keep_protocol(integrated[names.TRANSACTIONS].collect()).with_columns(one)
    dataset = data.prepare(landed, integrated[names.ITEMS].collect(), NO_FEATURES)
    # The cuts are made once, so a second time they may take a little more.
    kept = data.keep_protocol(landed).with_columns(one)
    customers = kept[names.CUSTOMER_ID].unique(maintain_order=True).to_list()
    for number in (0, 57, 120):
        own = kept.filter(pl.col(names.CUSTOMER_ID) == customers[number])
        at = own[names.EVENT_TIMESTAMP].max()
        view = history.build({names.TRANSACTIONS: own.lazy()}, pl.LazyFrame({names.EVENT_TIMESTAMP: [at]})).collect()
        test = dataset.examples.latest(1).take(np.array([number]))
        keys = [dataset.catalogue.table.keys[row - 1] for row in test.history[0] if row]
        assert keys == view["latest_items"][0].to_list()
        expected = view["top_weights"][0].to_numpy()
        np.testing.assert_allclose(test.weights[0, : len(expected)], expected, atol=1e-5)
