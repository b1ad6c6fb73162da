"""`make audit` says what is vulnerable, and never that all is well where nothing was looked at."""

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

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
    assert capsys.readouterr().out.startswith("NOT AUDITED: neither the package index nor OSV tells anything")


@pytest.fixture
def osv() -> Iterator[list[str]]:
    """pip-audit's options for a service that speaks as OSV does, and knows jinja2 3.1.0 and wheel 0.1 as vulnerable."""
    known = {("jinja2", "3.1.0"): "GHSA-canary", ("wheel", "0.1"): "GHSA-wheel"}

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            name = asked["package"]["name"]
            ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9"}]}]
            affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}]
            found = known.get((name, asked["version"]))
            vulnerability = {"id": found, "summary": "s", "modified": "2026-01-01T00:00:00Z", "affected": affected}
            body = json.dumps({"vulns": [vulnerability]} if found else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield ["--vulnerability-service", "osv", "--osv-url", f"http://127.0.0.1:{server.server_port}/v1/query"]
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_vulnerable_library_is_named_and_fails(
    osv: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By pip-audit itself, and a service of this machine."""
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    (tmp_path / "constraints.txt").write_text("idna==3.10\nwheel==0.1\n")
    assert audit.main(osv) == 1
    assert capsys.readouterr().out == "VULNERABLE: wheel 0.1: GHSA-wheel\n2 libraries audited, 1 vulnerable.\n"
    (tmp_path / "constraints.txt").write_text("idna==3.10\n")
    assert audit.main(osv) == 0
    assert capsys.readouterr().out == "1 libraries audited, 0 vulnerable.\n"


@pytest.mark.parametrize(("ended", "passes"), [(0, True), (audit.NOT_AUDITED, True), (1, False), (2, False)])
def test_ci_lets_pass_what_was_not_audited_and_stops_at_a_finding(ended: int, passes: bool) -> None:
    (line,) = [each for each in (audit.ROOT / ".ci/run").read_text().splitlines() if "scripts/audit.py" in each]
    command = line.replace(".venv/bin/python scripts/audit.py", f"(exit {ended})")
    assert command != line
    ran = subprocess.run(["bash", "-euo", "pipefail", "-c", f"{command}\ntrue"], check=False)
    assert (ran.returncode == 0) == passes
