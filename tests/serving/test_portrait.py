"""The portrait: values as people read them, nulls where there is nothing to read."""

from typing import Any

import numpy as np

from motherlode.api import Score
from motherlode.online.reader import ViewRequest
from motherlode.packed import FIXED, Column, Schema, Status, Values, ViewRows, decode, encode
from serving.portrait import Painter

NOW = 1_700_000_000_000_000
COLUMNS = (
    Column("share", "float32"),
    Column("count", "int64"),
    Column("since", "timestamp"),
    Column("name", "string"),
    Column("items", "list<string>"),
    Column("weights", "list<float32>"),
    Column("flag", "bool"),
)
FULL: dict[str, Any] = {
    "share": 0.1,
    "count": 2**60,
    "since": NOW - 3_600_000_000,
    "name": "Ä",
    "items": ["a", "b"],
    "weights": np.array([0.1, np.nan], np.float32),
    "flag": True,
}


class Everything(Painter):
    """A painter of one view, without a bundle."""

    def __init__(self) -> None:
        self.requests = (ViewRequest("v", COLUMNS, None),)


def rows(status: Status, given: dict[str, Any]) -> ViewRows:
    columns = {}
    for column in COLUMNS:
        dtype: Any = FIXED.get(column.dtype, object)
        data = np.empty(1, dtype=dtype)
        data[0] = given.get(column.name, 0)
        columns[column.name] = Values(data, np.array([column.name in given]))
    schema, event = Schema("v", COLUMNS), np.array([NOW - 60_000_000])
    (row,) = encode(schema, columns, event, event)
    read = {Status.UNKNOWN: None, Status.CORRUPT: row[:-1]}.get(status, row)
    ttl_us = 59_000_000 if status == Status.STALE else None
    found = decode([read], COLUMNS, {schema.fingerprint: schema}, now_us=NOW, ttl_us=ttl_us)
    assert found.status.tolist() == [status]
    return found


def paint(status: Status, given: dict[str, Any]) -> Any:
    score = Score(7, "ok", None, {}, None, ["why"])
    portrait = Everything().paint("v1", "cpu", score, {"v": rows(status, given)}, NOW)
    assert (portrait.customer_id, portrait.bundle, portrait.notes) == (7, "v1", ["why"])
    return portrait.features["v"]


def test_values_are_plain_and_short() -> None:
    view = paint(Status.PRESENT, FULL)
    assert (view.status, view.age_s, view.event_timestamp) == ("present", 60.0, "2023-11-14T22:12:20+00:00")
    assert view.values == {
        "share": 0.1,
        "count": 2**60,
        "since": "2023-11-14T21:13:20+00:00",
        "name": "Ä",
        "items": ["a", "b"],
        "weights": [0.1, None],
        "flag": True,
    }


def test_a_null_and_a_number_that_is_none_are_null() -> None:
    assert set(paint(Status.PRESENT, {}).values.values()) == {None}
    assert paint(Status.PRESENT, {"share": float("inf")}).values["share"] is None


def test_a_time_that_is_no_date_is_null_and_spoils_no_other_value() -> None:
    for time in (2**62, -(2**62)):
        view = paint(Status.PRESENT, {**FULL, "since": time})
        assert (view.values["since"], view.values["share"]) == (None, 0.1)


def test_each_status_has_its_word_and_its_age() -> None:
    assert (paint(Status.STALE, {}).status, paint(Status.STALE, {}).age_s) == ("stale", 60.0)
    assert (paint(Status.UNKNOWN, {}).status, paint(Status.UNKNOWN, {}).age_s) == ("unknown", None)
    assert paint(Status.CORRUPT, {}).status == "corrupt"


def test_a_portrait_without_rows_is_empty() -> None:
    score = Score(7, "degraded", None, {}, None, [])
    assert Everything().paint("v1", "cpu", score, {}, NOW).features == {}
