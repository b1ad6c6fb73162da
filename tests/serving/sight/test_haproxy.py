"""What HAProxy refuses is counted from its own counts, asked of a real one; where it tells nothing there is no 0."""

import logging
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from litestar.testing import TestClient

from serving.haproxy import SOCKET, SOCKET_VARIABLE
from serving.http import build
from serving.processes import free_port
from serving.sight import metrics as m
from serving.sight.haproxy import HAProxy
from tests.serving.sight.conftest import fronted, scrape

if TYPE_CHECKING:
    from tests.serving.conftest import Company


@pytest.fixture
def replica() -> Iterator[int]:
    """The port of one that answers 200, and 404 below `/v1/none`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if self.path.startswith("/v1/none") else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: int = answer.status
    except urllib.error.HTTPError as error:
        return error.code
    return found


def garbage(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sent:
        sent.sendall(b"NONSENSE\r\n\r\n")
        return sent.recv(100)


def told(folder: Path) -> dict[str, float]:
    """Its own answers by status, and all requests."""
    found = HAProxy(folder / SOCKET).series()
    own = {each.labels[0]: each.value for each in found[m.HAPROXY_RESPONSES.name]}
    return own | {"requests": found[m.HAPROXY_REQUESTS.name][0].value}


def test_what_a_replica_answers_is_no_answer_of_haproxys_own(replica: int) -> None:
    with fronted(replica, most=9) as (url, folder):
        assert [status(f"{url}/v1/{each}") for each in ("score", "none", "score")] == [200, 404, 200]
        assert told(folder) == {"429": 0, "4xx": 0, "5xx": 0, "requests": 3}
        assert garbage(int(url.rpartition(":")[2])).startswith(b"HTTP/1.1 400")
        assert told(folder)["4xx"] == 1


def test_what_it_sheds_and_what_nobody_answers_are_counted_apart(replica: int) -> None:
    with fronted(replica, most=0) as (url, folder):
        assert [status(f"{url}/v1/score") for _ in range(3)] == [429] * 3
        assert status(f"{url}/readyz") == 200
        assert told(folder) == {"429": 3, "4xx": 0, "5xx": 0, "requests": 4}
    with fronted(free_port(), most=9) as (url, folder):
        assert status(f"{url}/v1/score") == 503
        assert told(folder) == {"429": 0, "4xx": 0, "5xx": 1, "requests": 1}


def test_metrics_tell_haproxys_counts_once_whichever_replica_is_asked(
    company: "Company", replica: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fronted(replica, most=0) as (url, folder):
        monkeypatch.setenv(SOCKET_VARIABLE, str(folder / SOCKET))
        status(f"{url}/v1/score")
        with TestClient(build(company.settings)) as one, TestClient(build(replace(company.settings, port=8001))) as two:
            for asked in (one, two, one):
                found = scrape(asked)
                assert found.value("motherlode_haproxy_responses_total", status="429") == 1
                assert found.value("motherlode_haproxy_requests_total") == 1


def test_without_haproxy_nothing_is_told_of_it_which_is_no_zero(company: "Company") -> None:
    with TestClient(build(company.settings)) as client:
        assert "haproxy" not in scrape(client).text


def test_one_that_does_not_answer_is_logged_once_and_told_of_again_when_it_does(
    replica: int, caplog: pytest.LogCaptureFixture
) -> None:
    with fronted(replica, most=9) as (_, folder):
        pass
    asked = HAProxy(folder / SOCKET)
    with caplog.at_level(logging.WARNING):
        assert [asked.series(), asked.series()] == [{}, {}]
    assert [each.getMessage() for each in caplog.records] == ["HAProxy does not tell its counts: FileNotFoundError."]
