"""Nobody is named: an id that goes through every route, and through failures, is in no log, metric or span."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from litestar.testing import TestClient

from serving.http import build
from serving.sight.logs import JsonFormatter
from tests.serving.sight.conftest import Receiver, scrape

if TYPE_CHECKING:
    import pytest

    from tests.serving.conftest import Company

CANARY = "canary-4711-0815"


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged, as a replica writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(lambda record: record.name != "httpx")  # that is whoever asks
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def fail(*_: Any) -> Any:
    raise ValueError(f"of {CANARY}")


def drive(client: Any) -> list[int]:
    """Every route with the canary, rightly and wrongly; the statuses."""
    ids = {"customer_ids": [CANARY]}
    event = {
        "event_id": CANARY, "kind": "view", "customer_id": CANARY, "item_id": "1000",
        "event_timestamp": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    calls = [
        client.post("/v1/score", json=ids),
        client.post("/v1/score", json={"customer_ids": [CANARY], CANARY: 1}),
        client.post("/v1/score", json={"customer_ids": CANARY}),
        client.post("/v1/score", json={**ids, "campaign": {"type": CANARY}}),
        client.post("/v1/score", content=f'{{"customer_ids": ["{CANARY}"'.encode()),
        client.post("/v1/recommend", json={**ids, "k": 3}),
        client.post("/v1/features", json={**ids, "service": "scoring"}),
        client.post("/v1/features", json={**ids, "service": CANARY}),
        client.post("/v1/events", json={"events": [event]}),
        client.post("/v1/events", json={"events": [{**event, "kind": CANARY}]}),
        client.post("/v1/consent", json={"customer_id": CANARY, "purpose": CANARY}),
        client.post("/v1/contacts", json={"customer_id": CANARY, "purpose": CANARY, "contact_id": CANARY}),
        client.post("/v1/contacts", json={"customer_id": CANARY, "purpose": "marketing", "contact_id": CANARY}),
        client.post("/v1/consent", json={"customer_id": CANARY, "purpose": "marketing", "granted": False}),
        client.post("/v1/features", json={**ids, "service": "scoring", "purpose": "marketing"}),
        client.post("/v1/similar/items", json={"item_ids": [CANARY], CANARY: 1}),
        client.get(f"/v1/customers/{CANARY}"),
        client.get(f"/v1/customers/{CANARY}?campaign_type={CANARY}"),
        client.get(f"/{CANARY}", headers={"user-agent": CANARY, "x-tenant": CANARY}),
        client.post(f"/v1/customers/{CANARY}"),
    ]
    return [each.status_code for each in calls]


def test_no_log_metric_or_span_names_a_customer(
    company: "Company", receiver: Receiver, monkeypatch: "pytest.MonkeyPatch"
) -> None:
    company.put_customer(CANARY)
    settings = replace(company.settings, otlp_endpoint=receiver.address, trace_share=1.0)
    with logged() as stream, TestClient(build(settings), raise_server_exceptions=False) as client:
        statuses = drive(client)
        assert {200, 400, 404, 405, 422} <= set(statuses)
        with company.hanging():
            drive(client)
        for name in ("score", "recommend", "features", "portrait"):
            monkeypatch.setattr(f"serving.engine.Engine.{name}", fail)
        assert drive(client).count(500) >= 4
        told = scrape(client).text
    assert "/v1/customers/{customer_id} failed." in stream.getvalue()
    assert '"stack"' in stream.getvalue()
    assert {"POST /v1/score", "GET /v1/customers/{customer_id}", "GET other"} <= {span.name for span in receiver.spans}
    for text in (
        stream.getvalue(),
        told,
        "".join(map(repr, receiver.spans)),
        b"".join(receiver.bodies).decode("latin-1"),
    ):
        assert text
        assert CANARY not in text
