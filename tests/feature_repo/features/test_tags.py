"""The view `tags` against a reference in plain Python."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from feature_repo.features import tags
from feature_repo.stores import dtypes
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names

Row = dict[str, Any]
Rows = dict[str, list[Row]]
Label = tuple[str, str, float, str, int]

DAY = timedelta(days=1)
WHO, TIME = "customer_id", "event_timestamp"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORIGINS = ["person", "model", "rule"]
AT = datetime(2024, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def rows(rows: Rows) -> Rows:
    """The random tables, and customers whose habits the rules are about."""
    rng = random.Random(str(rows["transactions"][0]))
    line = next(row for row in rows["transactions"] if row["quantity"] > 0)
    base = line | {"quantity": 1.0, "amount": 2.0, "retail_discount": 0.0, "coupon_discount": 0.0}
    start = datetime(2024, 2, 3, 15, tzinfo=UTC)  # a Saturday
    habits = []
    for basket in range(rng.randint(4, 20)):
        time = start + basket * 7 * DAY + rng.choice([0, 1, 3]) * DAY * (basket % 3 == 0)
        more = {TIME: time, "local_timestamp": time.replace(tzinfo=None), "basket_id": f"b{basket}"}
        habits.append(base | more | {WHO: "weekender", "amount": rng.choice([1.0, 3.0, 9.0])})
        habits.append(base | more | {WHO: "hunter", "retail_discount": 0.5, "coupon_discount": rng.choice([0.0, 0.5])})
        habits += [base | more | {WHO: "filler"}] * rng.randint(18, 26)
    return {**rows, "transactions": [*rows["transactions"], *habits]}


def reference(rows: Rows, at: datetime) -> dict[str, Row]:
    tables = ("transactions", "contacts", "responses", "interactions", "feedback", "tags")
    timed = [(row[WHO], row[TIME]) for table in tables for row in rows.get(table, [])]
    timed += [(row[WHO], row["registered_at"]) for row in rows.get("customers", [])]
    answers = {}
    for customer in {who for who, time in timed if who is not None and time is not None and time < at}:
        labels = [*given(rows, customer, at), *found(rows, customer, at)]
        once: dict[tuple[str, int], Label] = {}
        for label in sorted(labels, key=lambda it: it[1]):
            tag, (time, version, confidence, origin) = label
            day = (time - EPOCH) // DAY
            once[tag, ORIGINS.index(origin)] = (tag, origin, confidence, version, day)
        on = [once[key] for key in sorted(once)]
        columns = [list(column) for column in zip(*on, strict=True)] if on else [None] * 5
        answers[customer] = dict(zip(tags.FEATURES, columns, strict=True))
    return answers


def given(rows: Rows, customer: str, at: datetime) -> list[tuple[str, tuple[Any, ...]]]:
    return [
        (row["tag"], (row[TIME], row["version"] or "", row["confidence"], row["origin"]))
        for row in rows.get("tags", [])
        if row[WHO] == customer and row[TIME] < at and (row["ended_at"] is None or row["ended_at"] >= at)
    ]


def found(rows: Rows, customer: str, at: datetime) -> list[tuple[str, tuple[Any, ...]]]:
    lines = [row for row in rows.get("transactions", []) if row[WHO] == customer and row[TIME] < at]
    lines = [row for row in lines if row["quantity"] > 0]
    if not lines:
        return []
    begins: dict[str, Row] = {}
    for row in sorted(lines, key=lambda row: (row[TIME], row["local_timestamp"])):
        begins.setdefault(row["basket_id"], row)
    first, last = min(row[TIME] for row in lines), max(row[TIME] for row in lines)
    recent = [row for row in lines if row[TIME] >= at - 84 * DAY]
    month = sum(cents(row["amount"]) for row in recent if row[TIME] >= at - 28 * DAY)
    before = sum(cents(row["amount"]) for row in recent) - month
    baskets = [row for row in begins.values() if row[TIME] >= at - 84 * DAY]
    cut = sum(cents(row["retail_discount"]) for row in recent)
    saved = cut + sum(cents(row["coupon_discount"]) for row in recent)
    weekend = sum(row["local_timestamp"].isoweekday() >= 6 for row in baskets)
    on: dict[str, datetime] = {}
    if at - first <= 28 * DAY:
        on["newcomer"] = first
    if len(begins) >= 4:
        patience = max(28 * DAY, 2 * (last - first) // (len(begins) - 1))
        if patience < at - last <= 182 * DAY:
            on["lapsing"] = last + patience
    if len(baskets) >= 3:
        if len(recent) >= 20 * len(baskets):
            on["big_baskets"] = last
        if saved > 0 and 100 * saved >= 30 * (month + before + cut):
            on["price_hunter"] = last
        if before > 0 and 200 * month >= 150 * before:
            on["spending_up"] = last
        if 100 * weekend >= 60 * len(baskets):
            on["weekend_shopper"] = last
    return [(tag, (time, "1", 1.0, "rule")) for tag, time in on.items()]


def cents(money: float) -> int:
    return round(money * 100)


def test_tags_are_what_their_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("tags", reference)


def test_a_row_is_the_same_whatever_else_is_built(batches: Callable[[str], None]) -> None:
    batches("tags")


def test_the_random_customers_meet_and_miss_every_rule(rows: Rows) -> None:
    start = min(row[TIME] for row in rows["transactions"])
    buyers = {row[WHO] for row in rows["transactions"]}
    times = [start + days * DAY for days in range(7, 320, 14)]
    on = [{tag for tag, _ in found(rows, customer, at)} for at in times for customer in buyers]
    for rule in tags.RULES:
        assert {rule.tag in each for each in on} == {True, False}, rule.tag
        assert rule.version
        assert rule.doc


def labelled(*labels: Row) -> Row:
    """The row of one customer at AT."""
    told = [{WHO: "c", names.CONFIDENCE: 1.0} | label for label in labels]
    tables = {name: pl.LazyFrame(schema=schema) for name, schema in SCHEMAS.items()}
    tables[names.TAGS] = pl.LazyFrame(told, schema=SCHEMAS[names.TAGS])
    snapshots = pl.LazyFrame({TIME: [AT]}, schema={TIME: pl.Datetime("us", "UTC")})
    [row] = tags.build(tables, snapshots).collect(engine="streaming").to_dicts()
    return row


def test_each_origin_stands_for_itself_and_a_person_comes_first() -> None:
    labels = [{"tag": "vip", "origin": origin, TIME: AT - DAY} for origin in ("rule", "model", "person")]
    assert labelled(*labels)["tag_origins"] == ["person", "model", "rule"]


def test_of_one_label_by_one_origin_the_newest_counts() -> None:
    old = {"tag": "vip", "origin": "model", "version": "1", TIME: AT - 9 * DAY}
    new = {"tag": "vip", "origin": "model", "version": "2", "confidence": 0.5, TIME: AT - 2 * DAY}
    row = labelled(new, old)
    assert (row["tag_versions"], row["tag_confidences"], row["tag_dates"]) == (
        ["2"],
        [0.5],
        [(AT - 2 * DAY - EPOCH).days],
    )


def test_a_withdrawal_is_seen_as_any_event_is_and_leaves_a_row_without_labels() -> None:
    label = {"tag": "vip", "origin": "person", TIME: AT - DAY}
    assert labelled(label | {"ended_at": AT})["tags"] == ["vip"]
    assert labelled(label | {"ended_at": AT - timedelta(microseconds=1)})["tags"] is None


def test_the_online_store_can_keep_every_column() -> None:
    for feature in tags.FEATURES.values():
        kind = dtypes.KINDS[dtypes.feast_type(feature.dtype).to_value_type()]
        assert dtypes.polars_type(kind.packed) == feature.dtype
