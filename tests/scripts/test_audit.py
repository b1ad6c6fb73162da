"""`make audit` says what is vulnerable, and never that all is well where nothing was looked at."""

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from scripts import audit


def test_pins_are_read_without_what_an_index_does_not_know() -> None:
    text = "# a comment\nnumpy==2.1.0\ntorch==2.13.0+cpu\nx==1 ; sys_platform == 'linux'\n--hash\n"
    assert audit.pins(text) == ["numpy==2.1.0", "torch==2.13.0", "x==1"]
    assert len(audit.pins((audit.ROOT / "constraints.txt").read_text())) > 100


def test_findings_and_what_was_skipped_are_told_apart() -> None:
    dependencies = [
        {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}, {"id": "GHSA-2"}]},
        {"name": "b", "version": "2", "vulns": []},
        {"name": "c", "skip_reason": "not found"},
    ]
    made = audit.parsed(json.dumps({"dependencies": dependencies}))
    assert (made.found, made.skipped, made.checked) == (("a 1: PYSEC-1, GHSA-2",), ("c",), 2)
    for broken in ("", "{}", "Traceback"):
        with pytest.raises((ValueError, KeyError)):
            audit.parsed(broken)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An index that cannot be reached: a proxy that refuses everything stands before it."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def test_where_the_index_cannot_be_asked_nothing_is_said_to_be_well(
    elsewhere: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main([]) == audit.NOT_AUDITED
    assert "NOT AUDITED" in capsys.readouterr().out
