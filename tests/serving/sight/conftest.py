"""A served company whose metrics are scraped as Prometheus does, and a receiver of traces."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from litestar.testing import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from serving.front import Front
from serving.http import build

if TYPE_CHECKING:
    from tests.serving.conftest import Company

Client = TestClient[Front]


@dataclass(frozen=True)
class Scrape:
    """What `/metrics` answered.

    Attributes:
        text: as it came.
    """

    text: str

    @property
    def names(self) -> set[str]:
        """Of every sample: a histogram's with `_bucket`, `_sum` and `_count`."""
        return {sample.name for family in text_string_to_metric_families(self.text) for sample in family.samples}

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples with these labels; 0 where there is none."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def scrape(client: Client) -> Scrape:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scrape(response.text)


@pytest.fixture
def client(company: "Company") -> Iterator[Client]:
    with TestClient(build(company.settings)) as asked:
        yield asked


@dataclass
class Receiver:
    """An OpenTelemetry collector.

    Attributes:
        address: where it listens.
        bodies: what was sent to it.
    """

    address: str
    bodies: list[bytes] = field(default_factory=list)

    @property
    def spans(self) -> list[Any]:
        """Every span, as OTLP's protobuf has it."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            found.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
