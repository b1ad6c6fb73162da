"""JSON lines: every value as it is written, nested fields as columns, what is no object by its line."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.warehouse.sources import jsonlines


def _rows(company: Any, landed: Any) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "_row"} for row in company.rows(landed).to_dicts()]


def test_values_stay_as_they_are_written(company: Any) -> None:
    line = (
        b'{"price": 1.10, "big": 123456789012345678901, "e": 1E3, "ok": true, "none": null, "s": "K\\u00f6ln", "": 7}'
    )
    (row,) = _rows(company, company.land("till.jsonl", line))
    assert row == {
        "_line": 1,
        "price": "1.10",
        "big": "123456789012345678901",
        "e": "1E3",
        "ok": "true",
        "none": None,
        "s": "Köln",
        "column_1": "7",
    }


def test_objects_are_columns_and_lists_are_json(company: Any) -> None:
    line = b'{"who": {"name": "Ann", "home": {"city": "Rome"}}, "tags": ["a", 1.0], "empty": {}}'
    (row,) = _rows(company, company.land("till.jsonl", line))
    assert row == {"_line": 1, "who.name": "Ann", "who.home.city": "Rome", "tags": '["a", 1.0]'}


def test_keys_may_come_and_go(company: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlines, "_ROWS", 2)
    content = b'{"a":1}\n\n{"b":2}\n{"a":3}\n{"c":4,"a":5}\n'
    rows = _rows(company, company.land("till.ndjson", content))
    assert [row["_line"] for row in rows] == [1, 3, 4, 5]
    assert [row["a"] for row in rows] == ["1", None, "3", "5"]
    assert [row["b"] for row in rows] == [None, "2", None, None]
    assert [row["c"] for row in rows] == [None, None, None, "4"]


def test_what_is_no_object_is_named_by_its_line(company: Any) -> None:
    content = b'{"a":1}\n{"a":\n[1]\n"x"\n{"a":"\xff"}\n{"a":NaN,"b":"NaN"}\n{"a":2} {"a":3}\n'
    landed = company.land("till.jsonl", content)
    assert [row["a"] for row in _rows(company, landed)] == ["1", "NaN"]
    assert [(line, rule) for line, _, rule in company.malformed(landed)] == [
        (2, "json"),
        (3, "json"),
        (4, "json"),
        (5, "encoding"),
        (7, "json"),
    ]
    assert landed.rows == 7


def test_explode_makes_a_row_of_each_element_and_loses_no_object(company: Any) -> None:
    content = (
        b'{"id":1,"items":[{"sku":"a","n":2},{"sku":"b"}]}\n{"id":2,"items":[]}\n{"id":3}\n{"id":4,"items":["c"]}\n'
    )
    landed = company.land("orders.jsonl", content, explode="items")
    rows = _rows(company, landed)
    assert [(row["_line"], row["id"], row["items.sku"], row["items.n"], row["items"]) for row in rows] == [
        (1, "1", "a", "2", None),
        (1, "1", "b", None, None),
        (2, "2", None, None, None),
        (3, "3", None, None, None),
        (4, "4", None, None, "c"),
    ]
    assert company.rows(landed)["_row"].to_list() == [1, 2, 3, 4, 5]


def test_one_list_of_objects_is_read_like_lines(company: Any) -> None:
    content = b'[\n {"a": "x]}\\"{"},\n\n {"a": 2,\n  "l": [{"q": 1}]}, 7,\n {"a":]\n]\n'
    landed = company.land("till.json", content)
    assert [(row["_line"], row["a"], row["l"]) for row in _rows(company, landed)] == [
        (2, 'x]}"{', None),
        (4, "2", '[{"q": 1}]'),
    ]
    assert [(line, rule) for line, _, rule in company.malformed(landed)] == [(5, "json"), (6, "json")]


def test_a_list_that_was_cut_short_names_the_element_without_its_end(company: Any) -> None:
    landed = company.land("till.json", b'[{"a":1},\n{"a":2')
    assert [row["a"] for row in _rows(company, landed)] == ["1"]
    assert company.malformed(landed) == [(2, '{"a":2', "json")]


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "is empty"), (b" \n\n", "is empty"), (b'{\n "a": 1\n}\n', "goes over several lines")],
)
def test_what_cannot_be_used_is_refused_as_a_whole(company: Any, content: bytes, problem: str) -> None:
    landed = company.land("till.json", content)
    assert landed.status == "refused"
    assert problem in landed.problem


def test_a_file_whose_field_names_are_data_is_refused(company: Any) -> None:
    content = b"\n".join(b'{"customer %d": 1}' % number for number in range(4_001))
    assert "different fields" in company.land("till.jsonl", content).problem


_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    objects=st.lists(st.dictionaries(st.sampled_from(["a", "b"]), _VALUE, min_size=1), min_size=1, max_size=5),
    indent=st.sampled_from([None, 1]),
    chunk=st.integers(1, 40),
)
def test_a_list_in_blocks_of_any_size_has_the_elements_that_python_reads(
    objects: list[dict[str, Any]], indent: int | None, chunk: int
) -> None:
    content = json.dumps(objects, indent=indent, ensure_ascii=False).encode()
    blocks = (content[at : at + chunk] for at in range(0, len(content), chunk))
    found = list(jsonlines._elements(blocks, "a list"))
    assert [json.loads(each) for _, each in found] == objects
    lines = content.decode().split("\n")
    assert all(each.decode().split("\n")[0] in lines[line - 1] for line, each in found)
