"""Checks between sources agree with a plain Python loop, whatever the numbers."""

import math
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.warehouse.mapping.model import Check, Total
from feature_repo.warehouse.quality import checks
from feature_repo.warehouse.quality.checks import Comparison

from .conftest import Shop, rows_of, sale, sound

Rows = list[tuple[str | None, float | None]]
NUMBERS = st.one_of(st.none(), st.integers(-5, 5).map(float), st.floats(-1e6, 1e6, allow_nan=False))
ROWS = st.lists(st.tuples(st.one_of(st.none(), st.sampled_from("abcdef")), NUMBERS), max_size=25)


def check(**changes: Any) -> Check:
    left = Total(table="transactions", by="customer_id", column="amount")
    return Check(**{"name": "c", "left": left, "right": Total(table="customers", by="id", column="total"), **changes})


def frame(rows: Rows, by: str, column: str) -> pl.LazyFrame:
    return pl.LazyFrame(
        {by: [key for key, _ in rows], column: [number for _, number in rows]}, {by: pl.String, column: pl.Float64}
    )


def totals(rows: Rows) -> dict[str, float]:
    """The obvious way."""
    found: dict[str, list[float]] = defaultdict(list)
    for key, number in rows:
        if key is not None:
            found[key] += [] if number is None else [number]
    return {key: math.fsum(numbers) for key, numbers in found.items()}


@settings(max_examples=80, deadline=None)
@given(left=ROWS, right=ROWS, tolerance=st.sampled_from([0.0, 0.01, 0.5, 1.0]))
def test_it_finds_exactly_the_keys_that_a_plain_loop_finds(left: Rows, right: Rows, tolerance: float) -> None:
    a, b = totals(left), totals(right)
    found = checks.compare(
        check(tolerance=tolerance), frame(left, "customer_id", "amount"), frame(right, "id", "total")
    )
    keys = a.keys() | b.keys()
    assert found.keys == len(keys)
    gaps = {key: abs(a.get(key, 0.0) - b.get(key, 0.0)) for key in keys}
    limits = {key: tolerance * max(abs(a.get(key, 0.0)), abs(b.get(key, 0.0))) for key in keys}
    dust = 1e-6  # sums in another order differ by less
    sure = {key for key in keys if gaps[key] > limits[key] + dust}
    doubtful = {key for key in keys if gaps[key] > limits[key] - dust} - sure
    assert len(sure) <= found.differing <= len(sure | doubtful)
    told = {it.key: it for it in found.worst}
    assert set(told) <= sure | doubtful
    assert len(told) == min(found.differing, checks.WORST)
    assert all((it.left is None) == (key not in a) and (it.right is None) == (key not in b) for key, it in told.items())
    distances = [abs((it.left or 0.0) - (it.right or 0.0)) for it in found.worst]
    assert distances == sorted(distances, reverse=True)
    assert found.total_left == pytest.approx(sum(a.values()), abs=1e-6)


@pytest.mark.parametrize(("right", "tolerance", "holds"), [(99.0, 0.01, True), (98.9, 0.01, False), (100.0, 0.0, True)])
def test_the_tolerance_is_a_share_of_the_larger_number(right: float, tolerance: float, holds: bool) -> None:
    found = checks.compare(
        check(tolerance=tolerance), frame([("a", 100.0)], "customer_id", "amount"), frame([("a", right)], "id", "total")
    )
    assert (found.differing == 0) is holds


def test_sums_that_differ_by_the_order_of_their_terms_agree() -> None:
    tenths: Rows = [("a", 0.1)] * 10
    found = checks.compare(
        check(tolerance=0.0), frame(tenths, "customer_id", "amount"), frame([("a", 1.0)], "id", "total")
    )
    assert found.differing == 0


def test_without_a_column_rows_are_counted_and_where_chooses_them() -> None:
    left = Total(table="transactions", by="customer_id", where="amount > 1")
    rows = frame([("a", 1.0), ("a", 2.0), ("a", 3.0), ("b", 1.0)], "customer_id", "amount")
    found = checks.compare(check(left=left), rows, frame([("a", 2.0)], "id", "total"))
    assert (found.keys, found.differing, found.total_left) == (1, 0, 2.0)


def test_where_is_written_in_the_language_of_the_mapping() -> None:
    where = "date_trunc('month', event_timestamp) = date '2025-08-01'"
    left = Total(table="transactions", by="customer_id", where=where)
    days = [datetime(2025, month, 9, tzinfo=UTC) for month in (8, 8, 9)]
    rows = frame([("a", 1.0), ("a", 2.0), ("a", 3.0)], "customer_id", "amount").with_columns(
        pl.Series("event_timestamp", days, pl.Datetime("us", "UTC"))
    )
    found = checks.compare(check(left=left), rows, frame([("a", 2.0)], "id", "total"))
    assert (found.problem, found.differing, found.total_left) == ("", 0, 2.0)


def test_numbers_and_keys_of_any_type_are_compared() -> None:
    right = pl.LazyFrame({"id": [1, 2], "total": [5, 7]})
    found = checks.compare(check(), frame([("1", 5.0), ("2", 7.0)], "customer_id", "amount"), right)
    assert (found.keys, found.differing) == (2, 0)


@pytest.mark.parametrize("left", [Total(table="t", by="nope"), Total(table="t", by="customer_id", where="nope > 1")])
def test_a_check_that_cannot_be_computed_says_so_and_is_a_finding(shop: Shop, left: Total) -> None:
    found = checks.compare(
        check(left=left, severity="fail"), frame([], "customer_id", "amount"), frame([], "id", "total")
    )
    assert "nope" in found.problem
    (finding,) = checks.find((found,), shop.mapping)
    assert (finding.severity, finding.what) == ("fail", "`c` cannot be computed")


def test_a_difference_becomes_a_finding_of_the_check_s_severity(shop: Shop) -> None:
    total = {"table": "transactions", "column": "amount", "by": "customer_id"}
    counted = {"table": "customers", "by": "customer_id"}
    shop.map(checks=[{"name": "one sale of 1 each", "left": total, "right": counted, "severity": "fail"}])
    rows = [sale("1", amount=1.0), sale("2", amount=3.0), sale("4", amount=9.0)]
    verdict = shop.judge(shop.candidate({**sound(), "transactions": rows_of("transactions", rows)}))
    assert verdict.refused
    (finding,) = [it for it in verdict.findings if it.severity == "fail"]
    assert (finding.table, finding.what) == ("transactions", "`one sale of 1 each` does not hold")
    assert finding.value == ("3 of 4 (75 %) keys differ; in all 13.00 against 3.00; most: 4 9.00 against nothing")


@pytest.mark.parametrize("by", ["email", "illness"])
def test_keys_of_identifiers_and_sensitive_columns_are_hidden(shop: Shop, by: str) -> None:
    side = {"table": "customers", "by": by}
    shop.map(checks=[{"name": "c", "left": side, "right": {"table": "transactions", "by": "customer_id"}}])
    customers = rows_of("customers", [{"customer_id": "1", by: "canary"}], {by: pl.String()})
    (found,) = checks.compare_all(shop.settings, shop.mapping, shop.candidate({**sound(), "customers": customers}))
    assert found.differing
    assert {it.key for it in found.worst} == {"(hidden)"}
    assert "canary" not in str(found)


def test_a_check_that_holds_is_no_finding(shop: Shop) -> None:
    assert list(checks.find((Comparison("c", "fail", "a", "b", keys=3),), shop.mapping)) == []
