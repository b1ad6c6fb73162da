"""Random histories with every odd thing in them, and the way to hold a view against a reference in plain Python."""

import math
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from feature_repo.features import catalogue
from feature_repo.features.view import View, Words
from feature_repo.warehouse import sessions
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names

Row = dict[str, Any]
Rows = dict[str, list[Row]]
Answers = dict[tuple[str, datetime], Row]
Reference = Callable[[Rows, datetime], dict[str, Row]]

START = datetime(2024, 2, 1, tzinfo=UTC)
DAYS = 260
WORLDS = 6
SNAPSHOTS = [
    START + timedelta(days=28),
    START + timedelta(days=112),
    START + timedelta(days=180, hours=7, microseconds=3),  # any time will do, not midnight alone
    START + timedelta(days=DAYS + 1),
    START + timedelta(days=DAYS + 300),  # everybody's windows are empty
]
MOMENT = timedelta(microseconds=1)
DEPARTMENTS = ["GROCERY", "DRUG GM", "PRODUCE", "FLORAL", "TOYS", None]
EDGES = [0, 28, 84, 112, 180, 182, 364]
"""Days before a snapshot at which a window ends."""
WORDS = Words(
    departments={"grocery": "GROCERY", "drug_gm": "DRUG GM", "produce": "PRODUCE", "floral": "FLORAL"},
    campaign_types={f"type_{letter.lower()}": f"Type {letter}" for letter in "ABC"},
    channels={name: name for name in ("web", "store", "phone", "mail", "app")} | {"call_centre": "Call Centre"},
    attributes={"age": "Int64", "income": "String", "member": "Boolean", "index": "Float64"},
    purposes=("marketing", "profiling"),
)
"""The words of this world; "TOYS" is too small for a column, and campaigns of type D came later."""
OWN = {
    names.CUSTOMERS: {
        "age": pl.Int64(),
        "age_missing": pl.Boolean(),
        "income": pl.String(),
        "member": pl.Boolean(),
        "index": pl.Float64(),
        "consent_marketing": pl.Boolean(),
        "consent_profiling": pl.Boolean(),
    },
}
"""Table → the company's own columns, which follow the canonical ones."""
KINDS = ("bought", "returned", "coupon")
ZONES = {"s1": 5, "s2": 5, "s3": 6, None: 5}
"""Store → hours behind UTC."""


def _time(rng: random.Random) -> datetime:
    """Anywhere in the data; one in five lies at a window's edge, a microsecond before it, or after."""
    if rng.random() < 0.8:
        return START + timedelta(microseconds=rng.randrange(DAYS * 86_400_000_000))
    edge = rng.choice(SNAPSHOTS) - timedelta(days=rng.choice(EDGES))
    return max(START, edge + rng.choice([-1, 0, 1]) * MOMENT)


def _line(rng: random.Random, customer: str, basket: str, time: datetime, items: int) -> Row:
    """Something bought, or brought back, or a coupon that the till books on the whole basket."""
    kind = rng.choices(KINDS, (90, 6, 4))[0]
    amount = 0.0 if rng.random() < 0.1 else round(rng.uniform(0.01, 30), 2)
    pieces = rng.choice([1, 1, 2, 3, 4, 0.5, 1.25])
    store = rng.choice(["s1", "s2", "s3", None])
    line = {
        names.CUSTOMER_ID: customer,
        names.BASKET_ID: basket,
        names.STORE_ID: store,
        names.CHANNEL: rng.choice(["web", "store", "store", "Call Centre", None]),
        names.ITEM_ID: f"i{rng.randrange(items)}",
        names.QUANTITY: pieces,
        names.AMOUNT: amount,
        names.RETAIL_DISCOUNT: rng.choice([0.0, 0.0, 0.5]),
        names.COUPON_DISCOUNT: rng.choice([0.0, 0.0, 0.0, 1.0]),
        names.EVENT_TIMESTAMP: time,
        names.LOCAL_TIMESTAMP: (time - timedelta(hours=ZONES[store])).replace(tzinfo=None),
    }
    if kind == "returned":
        return line | {names.QUANTITY: -pieces, names.AMOUNT: -amount}
    if kind == "coupon":
        return line | {names.QUANTITY: 0.0, names.AMOUNT: 0.0, names.COUPON_DISCOUNT: 2.0}
    return line


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
    bought = {names.QUANTITY: 1, names.AMOUNT: 2.5}
    lines += [_line(rng, "twin", "b0", START, 1) | bought] * 2
    return lines


def _items(rng: random.Random) -> list[Row]:
    """i11 and above the twentieth stand in no catalogue."""
    items = []
    for number in range(20):
        department = rng.choice(DEPARTMENTS)
        items.append(
            {
                names.ITEM_ID: f"i{number}",
                names.OUTSIDE_ID: str(number),
                names.ITEM_NAME: f"Item {number}",
                names.DEPARTMENT: department,
                names.CATEGORY: rng.choice([None, f"{department} one", f"{department} two", "shared"]),
                names.BRAND: rng.choice(["Private", "National", None]),
                names.PRIVATE_LABEL: rng.choice([True, False, None]),
            }
        )
    return items[:11] + items[12:]


def _customers(rng: random.Random, customers: list[str]) -> list[Row]:
    return [
        {
            names.CUSTOMER_ID: customer,
            names.REGISTERED_AT: rng.choice([None, START, _time(rng)]),
            "age": rng.choice([None, *range(18, 90)]),
            "age_missing": rng.choice([True, False]),
            "income": rng.choice([None, "Low", "High"]),
            "member": rng.choice([None, True, False]),
            "index": rng.choice([None, rng.uniform(-1, 1)]),
            "consent_marketing": rng.choice([None, True, False]),
            "consent_profiling": rng.choice([None, True, False]),
        }
        for customer in customers
    ]


def _interactions(rng: random.Random, customers: list[str]) -> list[Row]:
    """Visits of up to eight events; who it is turns out in the middle of some, in others never."""
    events = []
    for visit in range(40):
        customer, visitor = rng.choice([*customers, None]), f"v{rng.randrange(12)}"
        time = _time(rng)
        for _ in range(rng.randint(1, 8)):
            kind = rng.choice(["view", "view", "view", "search", "cart", "purchase", "click", "wish"])
            item = f"i{rng.randrange(15)}" if kind in {"view", "cart", "purchase"} and rng.random() < 0.7 else None
            events.append(
                {
                    names.CUSTOMER_ID: customer if rng.random() < 0.8 else None,
                    names.VISITOR_ID: visitor,
                    names.SESSION_ID: f"session {visit}",
                    names.EVENT_TYPE: kind,
                    names.PAGE: rng.choice(["/", "/cart", f"/item/{item}", None]),
                    names.ITEM_ID: item,
                    names.SEARCH_TERMS: rng.choice(["Item 3", "item", "milk", None]) if kind == "search" else None,
                    names.REFERRER: rng.choice(["https://search.example/", None]),
                    names.CHANNEL: rng.choice(["web", "app", None]),
                    names.EVENT_TIMESTAMP: time,
                }
            )
            time += timedelta(seconds=rng.choice([0, 1, 40, 1700]))
    return events


def _feedback(rng: random.Random, customers: list[str]) -> list[Row]:
    """Notes, some of one customer at one moment."""
    times = [_time(rng) for _ in range(6)]
    return [
        {
            names.FEEDBACK_ID: f"f{number}",
            names.CUSTOMER_ID: rng.choice(customers),
            names.ITEM_ID: rng.choice([None, f"i{rng.randrange(15)}"]),
            names.CHANNEL: rng.choice(["review", "mail", "Call Centre", None]),
            names.RATING: rng.choice([None, 1.0, 2.0, 3.0, 4.0, 5.0]),
            names.TEXT: rng.choice([None, "good", "bad"]),
            names.LANGUAGE: rng.choice([None, "en", "zh"]),
            names.SENTIMENT: rng.choice([None, rng.randint(-8, 8) / 8]),
            names.EVENT_TIMESTAMP: rng.choice([*times, _time(rng)]),
        }
        for number in range(30)
    ]


def _contacts(rng: random.Random, customers: list[str], starts: Mapping[str, datetime]) -> list[Row]:
    return [
        {
            names.CUSTOMER_ID: customer,
            names.CAMPAIGN_ID: campaign,
            names.CHANNEL: rng.choice(["mail", "phone", None]),
            names.EVENT_TIMESTAMP: start if rng.random() < 0.7 else start + timedelta(days=rng.randrange(20)),
        }
        for customer in customers
        for campaign, start in starts.items()
        if rng.random() < 0.6
    ]


def _tags(rng: random.Random, customers: list[str]) -> list[Row]:
    """Labels that people and outside models gave; some were withdrawn, at once or at a window's edge."""
    tags: dict[tuple[Any, ...], Row] = {}
    for _ in range(40):
        row: Row = {
            names.CUSTOMER_ID: rng.choice(customers),
            names.TAG: rng.choice(["vip", "price_hunter", "mother"]),
            names.ORIGIN: rng.choice(["person", "model", "rule"]),
            names.CONFIDENCE: rng.choice([0.25, 0.5, 1.0]),
            names.LABEL_VERSION: rng.choice([None, "1", "2"]),
            names.EVENT_TIMESTAMP: _time(rng),
        }
        end = rng.choice([None, row[names.EVENT_TIMESTAMP], _time(rng)])
        if end is not None and end < row[names.EVENT_TIMESTAMP]:
            end = None
        tags[tuple(list(row.values())[i] for i in (0, 1, 2, 5))] = row | {names.ENDED_AT: end}
    return list(tags.values())


@cache
def random_rows(seed: int) -> Rows:
    """A small world: customers with much, little and odd behaviour. Made once: it is not to be changed."""
    rng = random.Random(seed)
    customers = [f"c{number}" for number in range(8)]
    known = [*customers, "never bought", "only registered"]
    campaigns = [f"k{number}" for number in range(5)]
    starts = {campaign: _time(rng) for campaign in campaigns}
    contacts = _contacts(rng, [*customers[2:], "never bought"], starts)
    responses = [
        {
            names.CUSTOMER_ID: contact[names.CUSTOMER_ID],
            names.CAMPAIGN_ID: contact[names.CAMPAIGN_ID],
            names.COUPON_ID: str(number),
            names.EVENT_TIMESTAMP: _time(rng),
        }
        for contact in contacts
        for number in range(rng.choice([0, 0, 1, 3]))
    ]
    interactions = _interactions(rng, known)
    web = pl.LazyFrame(interactions, schema=SCHEMAS[names.INTERACTIONS])
    return {
        names.TRANSACTIONS: _transactions(rng, customers),
        names.ITEMS: _items(rng),
        names.CUSTOMERS: _customers(rng, known),
        names.CAMPAIGNS: [
            {
                names.CAMPAIGN_ID: campaign,
                names.CAMPAIGN_TYPE: rng.choice(["Type A", "Type B", "Type C", "Type D"]),
                names.STARTED_AT: starts[campaign],
                names.ENDED_AT: rng.choice([None, starts[campaign] + timedelta(days=40)]),
            }
            for campaign in campaigns[:4]  # the fifth is nowhere described
        ],
        names.CONTACTS: contacts,
        names.RESPONSES: responses,
        names.INTERACTIONS: interactions,
        names.SESSIONS: sessions.summarise(web).collect().sort(names.SESSION_ID).to_dicts(),
        names.FEEDBACK: _feedback(rng, known),
        names.TAGS: _tags(rng, known),
    }


def schema_of(table: str) -> dict[str, pl.DataType]:
    """A table's canonical columns, then this world's own."""
    return {**SCHEMAS[table], **OWN.get(table, {})}


def as_tables(rows: Mapping[str, list[Row]], reads: Iterable[str] = tuple(SCHEMAS)) -> dict[str, pl.LazyFrame]:
    """Rows as the integrated tables that a view takes: those it says it reads; one that is not there is empty."""
    return {name: pl.LazyFrame(rows.get(name, []), schema=schema_of(name)) for name in reads}


def as_snapshots(times: list[datetime]) -> pl.LazyFrame:
    """Snapshot times as a view takes them."""
    return pl.LazyFrame({names.EVENT_TIMESTAMP: times}, schema={names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC")})


@cache
def declared(view: str) -> View:
    """A view of the catalogue, by name, in the words of this world."""
    return next(candidate for candidate in catalogue.views(WORDS) if candidate.name == view)


def built(it: View, tables: Mapping[str, pl.LazyFrame], times: list[datetime]) -> pl.DataFrame:
    """A view's rows, after a check of their columns; by time, then key."""
    frame = it.plan(tables, as_snapshots(times)).collect(engine="streaming")
    assert frame.columns == [it.key, names.EVENT_TIMESTAMP, *it.features]
    assert dict(frame.drop(it.key).schema) == {names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC"), **it.features}
    assert not frame.select(it.key, names.EVENT_TIMESTAMP).is_duplicated().any(), "a key stands twice in a snapshot"
    return frame.sort(names.EVENT_TIMESTAMP, it.key)


def answers(view: str, rows: Mapping[str, list[Row]], times: list[datetime]) -> Answers:
    """A view's rows by key and time."""
    it = declared(view)
    frame = built(it, as_tables(rows, it.reads), times)
    assert frame.schema[it.key] == pl.String
    return {(row[it.key], row[names.EVENT_TIMESTAMP]): row for row in frame.to_dicts()}


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


@pytest.fixture(params=range(WORLDS))
def rows(request: pytest.FixtureRequest) -> Rows:
    """Random tables, six of them; a test that changes them makes tables of its own."""
    return random_rows(request.param)


@pytest.fixture
def build() -> Callable[[str, Rows, list[datetime]], pl.DataFrame]:
    """A view's rows in this world, by name; by time, then key."""
    return lambda view, rows, times: built(declared(view), as_tables(rows, declared(view).reads), times)


@pytest.fixture
def agrees(rows: Rows, request: pytest.FixtureRequest) -> Callable[[str, Reference], None]:
    """Hold a view against its reference on random tables, on those with lines alone, and on no snapshots.

    Where no table is left out that a view reads, it has been held against the reference already. Rows before the
    first line are none in any world, so the first world's are looked for.
    """

    def check(view: str, reference: Reference) -> None:
        assert_agrees(view, rows, SNAPSHOTS, reference)
        reads = set(declared(view).reads)
        if reads & {names.CONTACTS, names.RESPONSES, names.ITEMS}:
            bare = {**rows, names.CONTACTS: [], names.RESPONSES: [], names.ITEMS: []}
            assert_agrees(view, bare, SNAPSHOTS, reference)
        if reads - {names.TRANSACTIONS}:
            assert_agrees(view, {names.TRANSACTIONS: rows[names.TRANSACTIONS]}, SNAPSHOTS, reference)
        if request.node.callspec.params["rows"] == 0:
            assert answers(view, rows, []) == {}
            assert answers(view, rows, [START]) == {}, "nobody had bought before the first line"

    return check


@pytest.fixture
def batches(rows: Rows) -> Callable[[str], None]:
    """Hold a view to the same bits, whatever other snapshots are built with one, and whatever customers' keys are."""

    def check(view: str) -> None:
        it = declared(view)
        whole = built(it, as_tables(rows, it.reads), SNAPSHOTS)
        shuffled = {name: random.Random(7).sample(table, len(table)) for name, table in rows.items()}
        tables = as_tables(shuffled, it.reads)
        for batch in (SNAPSHOTS[1:3], *([time] for time in SNAPSHOTS)):
            wanted = whole.filter(pl.col(names.EVENT_TIMESTAMP).is_in(batch))
            assert_frame_equal(built(it, tables, batch), wanted, check_exact=True)
        if it.key == names.CUSTOMER_ID and not it.whole:
            _assert_codes(it, rows, whole)

    return check


def _assert_codes(it: View, rows: Rows, whole: pl.DataFrame) -> None:
    """The engine hands customers as numbers, in another order than their ids, but to `across` by their ids."""
    customers = {row[names.CUSTOMER_ID] for table in rows.values() for row in table if names.CUSTOMER_ID in row}
    ids = sorted(customers - {None}, reverse=True)
    codes = pl.DataFrame({names.CUSTOMER_ID: ids, "code": range(len(ids))}).lazy()
    tables = {
        name: table.join(codes, on=names.CUSTOMER_ID, how="left")
        .with_columns(pl.col("code").alias(names.CUSTOMER_ID))
        .drop("code")
        if names.CUSTOMER_ID in table.collect_schema()
        else table
        for name, table in as_tables(rows, it.reads).items()
    }
    coded = it.build(tables, as_snapshots(SNAPSHOTS)).rename({names.CUSTOMER_ID: "code"})
    named = coded.join(codes, on="code", how="left").drop("code")
    back = (named if it.across is None else it.across(named)).select(whole.columns).collect(engine="streaming")
    assert_frame_equal(back.sort(names.EVENT_TIMESTAMP, names.CUSTOMER_ID), whole, check_exact=True)
