"""Features column by column: null where the row says so, with a status and an age each, never a default."""

import json
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from motherlode import bundle, bundles, names
from motherlode.online.reader import ViewRequest
from motherlode.packed import Column, Schema, decode, encode
from motherlode.packed import Values as Packed
from serving.lookup import Lookup, UnknownServiceError

if TYPE_CHECKING:
    from tests.serving.conftest import Company

NOW = 1_700_000_000_000_000
SCHEMA = Schema(
    "v",
    (
        Column("share", "float32"),
        Column("count", "int64"),
        Column("flag", "bool"),
        Column("since", "timestamp"),
        Column("name", "string"),
        Column("blob", "bytes"),
        Column("weights", "list<float32>"),
        Column("items", "list<string>"),
    ),
)
FULL: dict[str, Any] = {
    "share": 0.5,
    "count": 2**60,
    "flag": True,
    "since": NOW,
    "name": "Ä",
    "blob": b"\xff",
    "weights": np.array([0.1, np.nan], np.float32),
    "items": ["a"],
}


def column(column: Column, *values: Any) -> Packed:
    data = np.zeros(len(values), dtype={"float32": "f4", "int64": "i8", "bool": "?"}.get(column.dtype, object))
    if column.dtype == "timestamp":
        data = data.astype("i8")
    for i, value in enumerate(values):
        if value is not None:
            data[i] = value
    return Packed(data, np.array([value is not None for value in values]))


class OneView(Lookup):
    """A look-up of one view, without a bundle."""

    def __init__(self) -> None:
        self._version = "v1"
        self.requests = {"s": (ViewRequest("v", SCHEMA.columns, 3600),)}


def asked(*rows: bytes | None) -> Any:
    found = decode(rows, SCHEMA.columns, {SCHEMA.fingerprint: SCHEMA}, now_us=NOW, ttl_us=3600 * 1_000_000)
    (answer,) = OneView().answer("s", [list(range(len(rows)))], {"v": found}, NOW)
    return json.loads(msgspec.json.encode(answer))["features"]["v"]


def row(age_s: int, **values: Any) -> bytes:
    at = np.array([NOW - age_s * 1_000_000])
    return encode(SCHEMA, {each.name: column(each, values.get(each.name)) for each in SCHEMA.columns}, at, at)[0]


def test_every_type_is_json_and_every_row_has_its_status_and_age() -> None:
    view = asked(row(60, **FULL), None, row(7200, **FULL), row(1), b"short")
    assert view["status"] == ["present", "unknown", "stale", "present", "corrupt"]
    assert view["age_s"] == [60.0, None, 7200.0, 1.0, None]
    assert {name: values[0] for name, values in view["values"].items()} == {
        "share": 0.5,
        "count": 2**60,
        "flag": True,
        "since": "2023-11-14T22:13:20+00:00",
        "name": "Ä",
        "blob": "ÿ",
        "weights": [0.1, None],
        "items": ["a"],
    }
    assert all(values[1:] == [None] * 4 for values in view["values"].values()), "nothing looks like a value"


def test_what_is_no_number_is_null() -> None:
    assert asked(row(1, share=np.inf), row(1, share=np.nan), row(1, share=1))["values"]["share"] == [None, None, 1.0]


def test_a_service_that_is_not_there_is_refused_naming_those_there_are(company: "Company") -> None:
    lookup = Lookup(bundle.load(bundles.current(company.settings.models)))
    lookup.check(names.SCORING)
    with pytest.raises(UnknownServiceError, match="'nothing' is none") as refused:
        lookup.check("nothing")
    assert refused.value.known == (names.RECOMMENDATION, names.SCORING)
