"""Rows become matrices: columns in their place, defaults for nulls, and every trouble told."""

from collections.abc import Mapping

import numpy as np
import pytest

from motherlode.errors import BundleError
from motherlode.manifest import Input, Model, Service
from motherlode.online.reader import ViewRequest
from motherlode.packed import Column, Schema, Status, Values, ViewRows, decode, encode
from serving.features import Plan

NOW = 1_000_000_000_000_000
DAY = 86_400_000_000
A = ViewRequest("a", (Column("x", "float32"), Column("y", "int32"), Column("z", "float32")), 35 * 86_400)
B = ViewRequest("b", (Column("u", "float32"),), None)
SERVICES = {"one": Service("one", (A,)), "two": Service("two", (B,))}
FIRST = Model("f", (Input("b", "u", 9.0), Input("a", "x", 1.0), Input("campaign", "T", 0.0), Input("a", "y", 2.0)), "o")
SECOND = Model("s", (Input("a", "x", 5.0),), "o")


TYPES = {"x": "float32", "y": "int32", "u": "float32"}


def view(status: list[Status], age_us: list[int], **columns: list[float | None]) -> ViewRows:
    """Rows as they are read, after 35 days stale."""
    schema = Schema("v", tuple(Column(name, TYPES[name]) for name in columns))
    values = {
        name: Values(np.array([0.0 if v is None else v for v in given]), np.array([v is not None for v in given]))
        for name, given in columns.items()
    }
    event = NOW - np.array(age_us)
    packed = encode(schema, values, event, event)
    rows = [{Status.UNKNOWN: None, Status.CORRUPT: row[1:]}.get(s, row) for s, row in zip(status, packed, strict=True)]
    found = decode(rows, schema.columns, {schema.fingerprint: schema}, now_us=NOW, ttl_us=35 * DAY)
    assert found.status.tolist() == status
    return found


def plan() -> Plan:
    return Plan(SERVICES, {"first": FIRST, "second": SECOND})


def test_only_the_columns_that_a_model_reads_are_asked_for() -> None:
    assert plan().requests == (
        ViewRequest("b", (Column("u", "float32"),), None),
        ViewRequest("a", (Column("x", "float32"), Column("y", "int32")), 35 * 86_400),
    )


def test_a_column_that_no_service_holds_is_refused_by_name() -> None:
    strange = Model("f", (Input("a", "nowhere", 0.0),), "o")
    with pytest.raises(BundleError, match=r"a\.nowhere"):
        Plan(SERVICES, {"first": strange})


def test_columns_stand_where_each_model_wants_them_and_each_has_its_own_default() -> None:
    rows = {
        "a": view([Status.PRESENT] * 3, [5, 5, 5], x=[10.0, None, float("inf")], y=[20, 21, None]),
        "b": view([Status.PRESENT] * 3, [7, 7, 7], u=[30.0, 31.0, float("nan")]),
    }
    known = plan().know(rows, NOW)
    first = plan().matrix("first", known, "T")
    assert first.tolist() == [[30, 10, 1, 20], [31, 1, 1, 21], [9, 1, 1, 2]]
    assert first.dtype == np.float32
    assert plan().matrix("first", known)[:, 2].tolist() == [0, 0, 0], "no campaign"
    assert plan().matrix("second", known).tolist() == [[10], [5], [5]]


def test_nulls_leave_the_status_and_are_named() -> None:
    rows: Mapping[str, ViewRows] = {
        "a": view([Status.PRESENT] * 2, [5_000_000, 5_000_000], x=[1.0, None], y=[1, None]),
        "b": view([Status.PRESENT] * 2, [8_000_000, 8_000_000], u=[1.0, 1.0]),
    }
    whole, partial = plan().know(rows, NOW).standings
    assert (whole.status, whole.age_s, whole.notes) == ("ok", 8.0, ())
    assert (partial.status, partial.notes) == ("ok", ("imputed: a.x, a.y",))


@pytest.mark.parametrize(
    ("of_a", "of_b", "status", "note"),
    [
        (Status.STALE, Status.PRESENT, "stale", "a is stale: 40.0 days old, 35.0 are allowed"),
        (Status.CORRUPT, Status.PRESENT, "degraded", "a is damaged and was not read"),
        (Status.UNKNOWN, Status.PRESENT, "degraded", "a has no row"),
        (Status.STALE, Status.CORRUPT, "degraded", "a is stale: 40.0 days old, 35.0 are allowed"),
        (Status.STALE, Status.UNKNOWN, "stale", "b has no row"),
        (Status.UNKNOWN, Status.UNKNOWN, "cold", "unknown customer: nothing is known of it"),
    ],
)
def test_every_trouble_has_its_status_and_its_note(of_a: Status, of_b: Status, status: str, note: str) -> None:
    null: list[float | None] = [None]
    rows = {
        "a": view([of_a], [40 * DAY], x=null, y=null),
        "b": view([of_b], [DAY], u=[1.0] if of_b == Status.PRESENT else null),
    }
    (standing,) = plan().know(rows, NOW).standings
    assert standing.status == status
    assert note in standing.notes
    if status != "cold":
        assert any(each.startswith("imputed: ") and "a.x" in each for each in standing.notes)
