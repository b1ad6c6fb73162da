"""Traces reach a collector over OTLP, with the caller's trace, the stages below the request, and no customer."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from litestar.testing import TestClient

from motherlode.errors import SettingsError
from motherlode.settings import Settings
from serving.http import build
from serving.sight import start
from tests.serving.sight.conftest import Receiver

if TYPE_CHECKING:
    from tests.serving.conftest import Company

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


def asked(company: "Company", receiver: Receiver, share: float, *headers: dict[str, str]) -> list[Any]:
    """The spans of one scored request for each of these headers."""
    settings = replace(company.settings, otlp_endpoint=receiver.address, trace_share=share)
    with TestClient(build(settings)) as client:
        for each in headers:
            assert client.post("/v1/score", json={"customer_ids": [1]}, headers=each).status_code == 200
    return receiver.spans


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_a_request_is_a_span_with_its_stages_in_the_trace_of_the_caller(company: "Company", receiver: Receiver) -> None:
    spans = asked(company, receiver, 0.0, {"traceparent": f"00-{TRACE}-{CALLER}-01"})
    (request,) = [each for each in spans if each.name == "POST /v1/score"]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, CALLER)
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/score",
        "http.response.status_code": 200,
    }
    stages = {each.name: each for each in spans if each is not request}
    assert set(stages) == {"body", "decode", "redis", "models", "journal", "encode", "send"}
    for each in stages.values():
        assert (each.trace_id, each.parent_span_id) == (request.trace_id, request.span_id)
        assert request.start_time_unix_nano <= each.start_time_unix_nano + 1_000_000
        assert each.end_time_unix_nano <= request.end_time_unix_nano


def test_the_share_decides_unless_the_caller_does(company: "Company", receiver: Receiver) -> None:
    assert asked(company, receiver, 0.0, {}, {"traceparent": f"00-{TRACE}-{CALLER}-00"}) == []
    spans = asked(company, receiver, 1.0, {}, {}, {"traceparent": f"00-{TRACE}-{CALLER}-00"})
    requests = [each for each in spans if each.name == "POST /v1/score"]
    assert len({each.trace_id for each in requests}) == len(requests) == 2
    assert not any(each.parent_span_id for each in requests)


def test_a_collector_that_is_gone_costs_no_answer(company: "Company") -> None:
    settings = replace(company.settings, otlp_endpoint="http://127.0.0.1:9", trace_share=1.0)
    with TestClient(build(settings)) as client:
        assert client.post("/v1/score", json={"customer_ids": [1]}).status_code == 200


def test_an_endpoint_without_the_extra_is_refused(company: "Company", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_EXPORTER", "no_such_package")
    with pytest.raises(SettingsError, match=r"motherlode\[tracing\]"):
        build(replace(company.settings, otlp_endpoint="http://127.0.0.1:9"))


@pytest.mark.parametrize(
    ("variable", "value"), [("MOTHERLODE_TRACE_SHARE", "1.5"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")]
)
def test_a_wrong_setting_is_named(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        Settings.from_env()
