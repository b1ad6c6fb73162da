"""What holds for every view of the catalogue."""

import inspect
import random
import sys
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from feature_repo.features.catalogue import VIEWS, View
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names

MOMENT = timedelta(microseconds=1)

every_view = pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)


def build(view: View, rows: dict[str, list[dict[str, Any]]], times: list[Any]) -> pl.DataFrame:
    tables = {name: pl.LazyFrame(rows.get(name, []), schema=schema) for name, schema in SCHEMAS.items()}
    snapshots = pl.LazyFrame({names.EVENT_TIMESTAMP: times}, schema={names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC")})
    return view.build(tables, snapshots).collect(engine="streaming").sort(names.EVENT_TIMESTAMP, names.CUSTOMER_ID)


def snapshot_inside(rows: dict[str, list[dict[str, Any]]]) -> Any:
    times = sorted(line[names.EVENT_TIMESTAMP] for line in rows[names.TRANSACTIONS])
    return times[len(times) * 2 // 3]


@every_view
def test_an_event_at_the_snapshot_or_later_never_changes_it(view: View, rows: dict[str, Any]) -> None:
    at = snapshot_inside(rows)
    events = (names.TRANSACTIONS, names.CONTACTS, names.RESPONSES)
    past = {**rows, **{name: [row for row in rows[name] if row[names.EVENT_TIMESTAMP] < at] for name in events}}
    assert len(past[names.TRANSACTIONS]) < len(rows[names.TRANSACTIONS])
    assert_frame_equal(build(view, past, [at]), build(view, rows, [at]), check_exact=True)


@every_view
def test_an_event_a_microsecond_before_the_snapshot_is_seen(view: View, rows: dict[str, Any]) -> None:
    at = snapshot_inside(rows)
    line = next(line for line in rows[names.TRANSACTIONS] if line[names.QUANTITY] > 0)
    contact = {names.CUSTOMER_ID: "new", names.CAMPAIGN_ID: "k0", names.EVENT_TIMESTAMP: at - MOMENT}

    def with_new(moment: Any) -> pl.DataFrame:
        new = line | {names.CUSTOMER_ID: "new", names.EVENT_TIMESTAMP: moment, names.AMOUNT: 5.0}
        extended = {
            **rows,
            names.TRANSACTIONS: [*rows[names.TRANSACTIONS], new],
            names.CONTACTS: [*rows[names.CONTACTS], contact],
        }
        return build(view, extended, [at]).filter(pl.col(names.CUSTOMER_ID) == "new")

    assert with_new(at).is_empty()
    seen = with_new(at - MOMENT)
    assert seen.height == 1
    assert not all(value is None for value in seen.row(0)[2:])


@every_view
def test_rows_in_any_order_and_snapshots_in_any_parts_give_the_same_bits(view: View, rows: dict[str, Any]) -> None:
    first = min(line[names.EVENT_TIMESTAMP] for line in rows[names.TRANSACTIONS])
    times = [first + timedelta(days=days) for days in (1, 30, 37, 44, 250)]
    whole = build(view, rows, times)
    shuffled = {name: random.Random(7).sample(table, len(table)) for name, table in rows.items()}
    parts = pl.concat([build(view, shuffled, [time]) for time in times])
    # A spread sums floats, whose last bit depends on their order; all else comes of whole numbers.
    exact = [column for column in whole.columns if column != "basket_value_std"]
    assert_frame_equal(whole.select(exact), parts.select(exact), check_exact=True)
    assert_frame_equal(whole, parts, rel_tol=1e-6)


@every_view
def test_a_view_is_documented_and_imports_what_a_gpu_machine_has(view: View) -> None:
    assert view.doc.endswith(".")
    assert view.ttl == timedelta(days=35)
    source = inspect.getsource(sys.modules[view.build.__module__])
    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imported - set(sys.stdlib_module_names) <= {"polars", "motherlode", "feature_repo"}


def test_names_and_features_are_those_that_the_other_rooms_know() -> None:
    assert [view.name for view in VIEWS] == [
        names.RFM,
        names.SPENDING,
        names.PRICE_SENSITIVITY,
        names.AFFINITY,
        names.CAMPAIGN_HISTORY,
        names.HISTORY,
        names.PURCHASES,
    ]
    assert [view.name for view in VIEWS if view.latest_only] == [names.PURCHASES]
    for view in VIEWS:
        types = {dtype for name, dtype in view.features.items() if not name.endswith(("_score", "_items", "_weights"))}
        assert types <= {pl.Float32()}, "numeric features are single precision"
