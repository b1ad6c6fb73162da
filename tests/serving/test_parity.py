"""`motherlode score`, from the snapshots, and `/v1/score`, from Redis, say the same of the same rows."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from feature_repo import store
from feature_repo.features import catalogue
from feature_repo.features.view import Words
from feature_repo.mart import manifest
from feature_repo.mart.manifest import Built, Manifest, Piece
from feature_repo.warehouse import state
from feature_repo.warehouse.state import Integrated, Load, Part, State
from motherlode import bundle, bundles, names
from motherlode.api import Campaign, Score, ScoreRequest
from motherlode.bundle import sha256
from motherlode.runtime import Runtime
from serving.engine import Engine
from serving.reading import connect
from training.batch import score_all

if TYPE_CHECKING:
    from tests.serving.conftest import Company

FRESH, OLD = 86_400.0, 40 * 86_400.0
RFM: Mapping[str, Any] = {"recency_days": 4.0, "recency_score": 5}
SPENDING: Mapping[str, Any] = {"basket_value_mean": 12.5, "trend_4w_12w": 0.5}
ROWS: Mapping[int, Mapping[str, tuple[float, Mapping[str, Any]]]] = {
    1: {"rfm": (FRESH, RFM), "spending": (FRESH, SPENDING)},
    2: {"rfm": (OLD, RFM), "spending": (FRESH, SPENDING)},
    3: {"rfm": (OLD, RFM), "spending": (OLD, SPENDING)},
    4: {},
    5: {"rfm": (FRESH, {"recency_days": float("inf"), "recency_score": 2}), "spending": (FRESH, SPENDING)},
    6: {"rfm": (FRESH, {"recency_days": float("nan")}), "spending": (FRESH, SPENDING)},
    7: {"rfm": (FRESH, RFM)},
}
"""Customers: all known, partly stale, wholly stale, cold, infinity, nothing in one view, no row in one view."""


@pytest.fixture
def both(company: "Company") -> Iterator[tuple[dict[int, dict[str, Any]], dict[int, Score]]]:
    """Batch rows and online answers by customer."""
    company.client.flushall()
    now = datetime.now(UTC)
    for customer, views in ROWS.items():
        for view, (age_s, values) in views.items():
            company.put(view, str(customer), age_s, **values)
    write_home(company, now)
    loaded = bundle.load(bundles.current(company.settings.models))
    batch = score_all(company.settings, loaded, "Type A", now)

    async def ask() -> list[Score]:
        client = connect(company.settings)
        try:
            engine = Engine(company.settings, loaded, Runtime(loaded), client)
            return (await engine.score(ScoreRequest(tuple(ROWS), Campaign("Type A")))).results
        finally:
            await client.aclose()

    online = {int(each.customer_id): each for each in asyncio.run(ask())}
    yield {row["outside_id"]: row for row in batch.to_dicts()}, online


def write_home(company: "Company", now: datetime) -> None:
    """The raw ids and the mart of the same rows, registered."""
    company.settings.raw.mkdir(parents=True)
    company.settings.mart.mkdir()
    path = company.settings.raw / "identities.parquet"
    ids = [str(customer) for customer in ROWS]
    pl.DataFrame({names.OUTSIDE_ID: ids, names.CUSTOMER_ID: ids}).write_parquet(path)
    part = Part(path=path.relative_to(company.settings.home).as_posix(), rows=len(ids), sha256=sha256(path))
    load = Load(number=1, at=now, seconds=0, mapping="", landed=(), rows={})
    customers = path.with_name("customers.parquet")
    pl.DataFrame({names.CUSTOMER_ID: ids}).write_parquet(customers)
    known = Part(path=customers.relative_to(company.settings.home).as_posix(), rows=len(ids), sha256=sha256(customers))
    table = Integrated(table=names.CUSTOMERS, parts={"": known}, inputs={}, rows=len(ids))
    state.write(company.settings, State(identities=(part,), integrated={names.CUSTOMERS: table}, loads=(load,)))
    time = pl.Datetime("us", "UTC")
    built = {}
    for view in catalogue.views(Words()):
        rows = [
            {names.CUSTOMER_ID: str(customer), names.EVENT_TIMESTAMP: now - timedelta(seconds=age_s), **values}
            for customer, views in ROWS.items()
            for of, (age_s, values) in views.items()
            if of == view.name
        ]
        schema = {names.CUSTOMER_ID: pl.String(), names.EVENT_TIMESTAMP: time, **view.features}
        frame = pl.DataFrame(rows, schema=schema).with_columns(pl.lit(now, time).alias(names.CREATED_TIMESTAMP))
        path = company.settings.mart / f"{view.name}.parquet"
        frame.write_parquet(path)
        piece = Piece(path=path.name, partition=-1, era="", rows=frame.height, sha256=sha256(path))
        built[view.name] = Built(view=view.name, code="", pieces=(piece,), rows=frame.height, created_at=now, seconds=0)
    manifest.write(company.settings, Manifest(snapshots=(now,), views=built))
    store.apply(company.settings)


def test_batch_and_online_say_the_same(both: tuple[dict[int, dict[str, Any]], dict[int, Score]]) -> None:
    batch, online = both
    assert list(batch) == list(ROWS)
    for customer, answer in online.items():
        row = batch[customer]
        assert row["status"] == answer.status, customer
        segment = None if row["segment_id"] is None else (row["segment_id"], row["segment"])
        assert segment == (None if answer.segment is None else (answer.segment.id, answer.segment.name)), customer
        for name, value in answer.scores.items():
            assert row[name] == (None if value is None else pytest.approx(value, abs=2e-6)), (customer, name)
        assert row["note"] == next((each for each in answer.notes if each.startswith("null, ")), None), customer
        listed = next((each for each in answer.notes if each.startswith("imputed: ")), "")
        assert row["imputed"] == (4 if answer.status == "cold" else listed.count("."))
        assert (row["event_timestamp"] is None) == (answer.features_age_s is None), customer


def test_an_answer_is_null_where_nothing_it_rests_on_is_fresh(
    both: tuple[dict[int, dict[str, Any]], dict[int, Score]],
) -> None:
    batch, _ = both
    answers = ("segment_id", "response", "inactive_28d")
    given = {customer: [row[name] is not None for name in answers] for customer, row in batch.items()}
    assert given == {
        1: [True, True, True],
        2: [False, True, False],
        3: [False, False, False],
        4: [False, False, False],
        5: [True, True, True],
        6: [False, True, False],
        7: [True, True, True],
    }
    statuses = {customer: row["status"] for customer, row in batch.items()}
    assert statuses == {1: "ok", 2: "stale", 3: "stale", 4: "cold", 5: "ok", 6: "ok", 7: "degraded"}
    assert batch[2]["note"] == "null, as no feature that they read is fresh: segments, inactive_28d"
    assert batch[2]["event_timestamp"] < batch[1]["event_timestamp"], "the oldest that was read"
