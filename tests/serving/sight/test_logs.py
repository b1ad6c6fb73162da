"""A log line is one JSON object; an exception is told by its kind and place, not by what it says."""

import json
import logging

import pytest

from serving.sight.logs import JsonFormatter

SECRET = "customer-4711"


def fail() -> None:
    try:
        int(SECRET)
    except ValueError as error:
        raise KeyError(SECRET) from error


def line(caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    text = JsonFormatter().format(caplog.records[-1])
    assert "\n" not in text
    found: dict[str, object] = json.loads(text)
    return found


def test_a_line_is_one_object_with_what_its_record_carries(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("serving.front").error("%s failed.", "/v1/score", extra={"request_id": "r1", "status": 500})
    told = line(caplog)
    assert list(told) == ["at", "level", "logger", "process", "message", "request_id", "status"]
    assert (told["message"], told["request_id"], told["status"]) == ("/v1/score failed.", "r1", 500)


def test_an_exception_is_told_with_its_causes_and_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    try:
        fail()
    except KeyError:
        logging.getLogger("serving").exception("It failed.")
    told = line(caplog)
    errors = told["errors"]
    assert isinstance(errors, list)
    assert [each["kind"] for each in errors] == ["KeyError", "ValueError"]
    assert errors[0]["stack"][-1].startswith("test_logs.py:")
    assert errors[0]["stack"][-1].endswith(" fail")
    assert SECRET not in json.dumps(told)
