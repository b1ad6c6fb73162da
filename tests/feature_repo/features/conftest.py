"""Random histories with every odd thing in them, and the way to hold a view against a reference in plain Python."""

import math
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from feature_repo.features.catalogue import VIEWS
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names

Row = dict[str, Any]
Rows = dict[str, list[Row]]
Answers = dict[tuple[str, datetime], Row]
Reference = Callable[[Rows, datetime], dict[str, Row]]

START = datetime(2024, 2, 1, tzinfo=UTC)
DAYS = 260
SNAPSHOTS = [
    START + timedelta(days=28),
    START + timedelta(days=112),
    START + timedelta(days=180, hours=7, microseconds=3),  # any time will do, not midnight alone
    START + timedelta(days=DAYS + 1),
    START + timedelta(days=DAYS + 300),  # everybody's windows are empty
]
MOMENT = timedelta(microseconds=1)
DEPARTMENTS = ["GROCERY", "DRUG GM", "PRODUCE", "FLORAL", "TOYS", None]
EDGES = [0, 28, 84, 112, 180]
"""Days before a snapshot at which a window ends."""


def _time(rng: random.Random) -> datetime:
    """Anywhere in the data; one in five lies at a window's edge, a microsecond before it, or after."""
    if rng.random() < 0.8:
        return START + timedelta(microseconds=rng.randrange(DAYS * 86_400_000_000))
    edge = rng.choice(SNAPSHOTS) - timedelta(days=rng.choice(EDGES))
    return max(START, edge + rng.choice([-1, 0, 1]) * MOMENT)


def _line(rng: random.Random, customer: str, basket: str, time: datetime, items: int) -> Row:
    returned = rng.random() < 0.05
    amount = 0.0 if rng.random() < 0.1 else round(rng.uniform(0.01, 30), 2)
    return {
        names.CUSTOMER_ID: customer,
        names.BASKET_ID: basket,
        names.STORE_ID: rng.choice(["s1", "s2", "s3", None]),
        names.ITEM_ID: f"i{rng.randrange(items)}",
        names.QUANTITY: -1 if returned else rng.randint(1, 4),
        names.AMOUNT: -amount if returned else amount,
        names.RETAIL_DISCOUNT: rng.choice([0.0, 0.0, 0.5]),
        names.COUPON_DISCOUNT: rng.choice([0.0, 0.0, 0.0, 1.0]),
        names.EVENT_TIMESTAMP: time,
        names.LOCAL_TIMESTAMP: (time - timedelta(hours=5)).replace(tzinfo=None),
    }


def _transactions(rng: random.Random, customers: list[str]) -> list[Row]:
    lines = []
    for number, customer in enumerate(customers):
        baskets = 1 if number == 0 else rng.randint(2, 25)
        for basket in range(baskets):
            time = _time(rng)
            for _ in range(rng.randint(1, 6)):
                # A basket's lines mostly share one moment; some are booked later.
                moment = time if rng.random() < 0.9 else time + timedelta(hours=rng.randrange(72))
                lines.append(_line(rng, customer, f"b{basket}", moment, items=90 if number == 1 else 12))
    # A customer who only ever returns, and one who has two equal lines.
    lines.append(_line(rng, "returner", "b0", START, 5) | {names.QUANTITY: -1, names.AMOUNT: -3.0})
    lines += [_line(rng, "twin", "b0", START, 1)] * 2
    return lines


def random_rows(seed: int) -> Rows:
    """A small world: customers with much, little and odd behaviour."""
    rng = random.Random(seed)
    customers = [f"c{number}" for number in range(8)]
    campaigns = [f"k{number}" for number in range(5)]
    starts = {campaign: _time(rng) for campaign in campaigns}
    contacts = [
        {names.CUSTOMER_ID: customer, names.CAMPAIGN_ID: campaign, names.EVENT_TIMESTAMP: starts[campaign]}
        for customer in [*customers[2:], "never bought"]
        for campaign in campaigns
        if rng.random() < 0.6
    ]
    responses = [
        {**contact, names.EVENT_TIMESTAMP: _time(rng), "coupon_id": str(number)}
        for contact in contacts
        for number in range(rng.choice([0, 0, 1, 3]))
    ]
    return {
        names.TRANSACTIONS: _transactions(rng, customers),
        # i11 and above the twentieth stand in no catalogue.
        names.ITEMS: [
            {
                names.ITEM_ID: f"i{number}",
                names.OUTSIDE_ID: str(number),
                names.ITEM_NAME: f"Item {number}",
                names.DEPARTMENT: rng.choice(DEPARTMENTS),
                names.CATEGORY: None,
                names.BRAND: rng.choice(["Private", "National", None]),
            }
            for number in range(20)
            if number != 11
        ],
        names.CUSTOMERS: [{names.CUSTOMER_ID: customer} for customer in customers],
        names.CAMPAIGNS: [
            {
                names.CAMPAIGN_ID: campaign,
                names.CAMPAIGN_TYPE: rng.choice(["Type A", "Type B", "Type C", "Type D"]),
                names.STARTED_AT: starts[campaign],
                names.ENDED_AT: starts[campaign] + timedelta(days=40),
            }
            for campaign in campaigns[:4]  # the fifth is nowhere described
        ],
        names.CONTACTS: contacts,
        names.RESPONSES: responses,
    }


def as_tables(rows: Mapping[str, list[Row]]) -> dict[str, pl.LazyFrame]:
    """Rows as the integrated tables that a view takes; a table that is not there is empty."""
    return {name: pl.LazyFrame(rows.get(name, []), schema=schema) for name, schema in SCHEMAS.items()}


def as_snapshots(times: list[datetime]) -> pl.LazyFrame:
    """Snapshot times as a view takes them."""
    return pl.LazyFrame({names.EVENT_TIMESTAMP: times}, schema={names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC")})


def answers(view: str, rows: Mapping[str, list[Row]], times: list[datetime]) -> Answers:
    """A view's rows by customer and time, after a check of their columns and keys."""
    declared = next(candidate for candidate in VIEWS if candidate.name == view)
    frame = declared.build(as_tables(rows), as_snapshots(times)).collect(engine="streaming")
    wanted = {names.CUSTOMER_ID: pl.String(), names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC"), **declared.features}
    assert dict(frame.schema) == wanted
    found = {(row[names.CUSTOMER_ID], row[names.EVENT_TIMESTAMP]): row for row in frame.to_dicts()}
    assert len(found) == frame.height, "a customer stands twice in a snapshot"
    return found


def same(got: Any, wanted: Any) -> bool:
    """Equal; floats to single precision, null only to null, and never NaN or infinite."""
    if isinstance(wanted, list) and isinstance(got, list):
        return len(got) == len(wanted) and all(same(g, w) for g, w in zip(got, wanted, strict=True))
    if isinstance(got, float) and isinstance(wanted, int | float):
        return math.isfinite(got) and math.isclose(got, wanted, rel_tol=2e-6, abs_tol=1e-6)
    return bool(got == wanted) and type(got) is type(wanted)


def assert_agrees(view: str, rows: Rows, times: list[datetime], reference: Reference) -> None:
    """The view and the reference have the same rows and the same values."""
    got = answers(view, rows, times)
    wanted = {(customer, time): row for time in times for customer, row in reference(rows, time).items()}
    assert got.keys() == wanted.keys()
    for key, row in wanted.items():
        for feature, value in row.items():
            assert same(got[key][feature], value), f"{view}.{feature} of {key}: {got[key][feature]} is not {value}"


@pytest.fixture(params=range(6))
def rows(request: pytest.FixtureRequest) -> Rows:
    """Random tables, six of them."""
    return random_rows(request.param)


@pytest.fixture
def agrees(rows: Rows) -> Callable[[str, Reference], None]:
    """Hold a view against its reference on random tables, on those without campaigns or a catalogue, and on none."""

    def check(view: str, reference: Reference) -> None:
        assert_agrees(view, rows, SNAPSHOTS, reference)
        assert_agrees(view, {**rows, names.CONTACTS: [], names.RESPONSES: [], names.ITEMS: []}, SNAPSHOTS, reference)
        assert answers(view, {}, SNAPSHOTS) == {}
        assert answers(view, rows, []) == {}
        assert answers(view, rows, [START]) == {}, "nobody had bought before the first line"

    return check
