"""The server under a real Ray Serve: it answers, it stops within ten seconds, and it starts again after a kill."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import httpx
import msgspec
import psutil
import pytest

from motherlode import bundles, refusal
from motherlode.errors import BundleError, PortInUseError, SettingsError
from motherlode.refusal import Refusal
from motherlode.settings import Settings
from serving import profiles, server
from serving.processes import Record, free_port, record_path, require_free_port
from serving.server import Order
from tests.serving.raw import SPELLINGS, got
from tests.serving.sight.test_privacy import CANARY, drive

if TYPE_CHECKING:
    from tests.serving.conftest import Company

CODE = """
import sys, msgspec
from pathlib import Path
from serving import server
from serving.server import Order
settings = msgspec.json.decode(sys.argv[1], type=Order).to_settings()
server.run(settings, lambda: print("ready", flush=True), sys.argv[2])
"""


def start(settings: Settings, profile: str) -> subprocess.Popen[str]:
    order = json.dumps({"settings": dict(Order.of(settings, Path("/t")).settings), "temp": "/t", "local": True})
    # A session of its own, so that the whole group can be sent what Ctrl-C sends.
    return subprocess.Popen(
        [sys.executable, "-c", CODE, order, profile], stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_ready(process: subprocess.Popen[str]) -> None:
    out: IO[str] | None = process.stdout
    assert out is not None
    assert out.readline() == "ready\n"


def ask(port: int, path: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body))
    response = connection.getresponse()
    assert response.status == 200
    return json.loads(response.read())


def session_of(settings: Settings) -> int:
    return int(json.loads(record_path(settings).read_bytes())["session"])


def members(session: int) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.name())
        except (OSError, psutil.NoSuchProcess):
            continue
    return found


def listeners(session: int) -> set[str]:
    """The addresses that a session's processes listen on."""
    found = set()
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session:
                found |= {
                    each.laddr.ip for each in process.net_connections(kind="inet") if each.status == psutil.CONN_LISTEN
                }
        except (OSError, psutil.Error):
            continue
    return found


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Whatever the test finds, nothing stays behind."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(15)
        if process.stdout:
            process.stdout.close()


@pytest.fixture
def served(company: "Company") -> Settings:
    return replace(company.settings, port=free_port())


def test_it_answers_survives_a_kill_and_ctrl_c_leaves_no_process_and_no_port(served: Settings) -> None:
    """Both profiles in one story: the safe one is killed without a word, the fast one starts after it and drains."""
    killed = start(served, profiles.SAFE)
    with ended(killed):
        wait_ready(killed)
        left = session_of(served)
        check_answers(served.port)
        check_sight(served, haproxy=False)
        assert "haproxy" not in members(left)
        check_spellings(served.port)
        killed.kill()
        os.kill(left, signal.SIGKILL)
        killed.wait()
    process = start(served, profiles.FAST)
    with ended(process):
        wait_ready(process)
        assert members(left) == []
        session = session_of(served)
        check_answers(served.port)
        check_sight(served, haproxy=True)
        assert "haproxy" in members(session)
        assert listeners(session) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
        with pytest.raises(PortInUseError, match="haproxy"):
            server.require_free_port(served)
        outcomes: list[str] = []
        loading = threading.Thread(target=load, args=(served.port, outcomes))
        loading.start()
        time.sleep(0.5)
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(12) == 0
        assert time.monotonic() - began < 10
        loading.join()
        # A connection that the kernel took, and HAProxy did not yet, is reset: its request was never read.
        assert set(outcomes) <= {"answered", "ConnectionResetError"}
        assert outcomes.count("ConnectionResetError") <= 1
        assert len(outcomes) > 20
        assert members(session) == []
        assert not record_path(served).exists()
        require_free_port(served.host, served.port)
    logs = [path for path in (*served.logs.rglob("*"), *(served.home / "run").rglob("*")) if path.is_file()]
    assert {"serve.log", "serving.jsonl"} <= {path.name for path in logs}
    assert [path for path in logs if CANARY.encode() in path.read_bytes()] == []


def check_sight(settings: Settings, haproxy: bool) -> None:
    """Good, bad and unwanted requests for a customer: `/metrics` counts them, HAProxy's own where there is one."""
    with httpx.Client(base_url=server.address(settings), timeout=10) as client:
        assert {200, 400, 404, 405, 422} <= set(drive(client))
        counted, until = 'motherlode_request_seconds_count{route="/v1/score",status="422"}', time.monotonic() + 10
        while counted not in (told := client.get("/metrics").text) and time.monotonic() < until:
            time.sleep(0.1)  # each replica tells the others every second
    assert counted in told
    assert ('motherlode_haproxy_responses_total{status="429"} 0.0' in told) == haproxy
    assert ("haproxy" in told) == haproxy
    assert CANARY not in told


def check_spellings(port: int) -> None:
    """Ray's own proxy answers what the application does, and nothing else; it takes no orders from callers."""
    for target in SPELLINGS:
        assert got("127.0.0.1", port, target)[0] == 404, target
    fails_ray = (b"serve_multiplexed_model_id: \xff", b"x-request-id: \xff", b"x-request-timeout-seconds: 0.000001")
    status, head, _ = got("127.0.0.1", port, b"/openapi.json", *fails_ray)
    assert (status, b"x-request-id: " in head) == (200, True)


def check_answers(port: int) -> None:
    score = ask(port, "/v1/score", {"customer_ids": [1, "nobody"], "campaign": {"type": "Type A"}})
    assert (score["bundle"], score["device"]) == ("v1", "cpu")
    assert [each["status"] for each in score["results"]] == ["ok", "cold"]
    items = ask(port, "/v1/recommend", {"customer_ids": [1], "k": 5})
    assert items["results"][0]["source"] == "personal"
    assert ask(port, "/v1/customers/a%2Fb%25")["customer_id"] == "a/b%", "through every proxy there is"


def load(port: int, outcomes: list[str]) -> None:
    """One request after the other, each on a connection of its own, until nobody listens."""
    while True:
        try:
            ask(port, "/v1/score", {"customer_ids": [1]})
            outcomes.append("answered")
        except ConnectionRefusedError:
            return
        except (OSError, AssertionError, ValueError, http.client.HTTPException) as error:
            outcomes.append(type(error).__name__)


def test_ctrl_c_while_it_starts_ends_it_at_once(served: Settings) -> None:
    process = start(served, profiles.FAST)
    with ended(process):
        until = time.monotonic() + 20
        while not record_path(served).exists() and time.monotonic() < until:
            time.sleep(0.02)
        session = session_of(served)
        time.sleep(1.0)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(12) == 0
        assert time.monotonic() - began < 5
        assert members(session) == []
        assert not record_path(served).exists()


def test_a_busy_port_is_an_error_before_ray_is_started(served: Settings) -> None:
    code = f"import socket, time; s = socket.create_server(('127.0.0.1', {served.port})); print(); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-uc", code], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        with pytest.raises(PortInUseError, match=f"process {holder.pid}"):
            server.run(served, lambda: None)
    finally:
        holder.kill()
        holder.communicate()


def test_a_bundle_that_does_not_verify_is_an_error_that_leaves_nothing_of_ray(
    company: "Company", served: Settings
) -> None:
    (company.publish("bad") / "response.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks response\.onnx"):
        server.run(served, lambda: None)
    assert not record_path(served).exists()
    assert [
        each for each in psutil.Process().children(recursive=True) if "serving.app" in " ".join(each.cmdline())
    ] == []


def test_what_serves_in_place_of_a_refused_bundle_is_what_must_verify_at_a_start(
    company: "Company", served: Settings
) -> None:
    (company.publish("bad") / "response.onnx").unlink()
    pointer = bundles.pointer(served.models)
    told = Refusal(pointer.written_ns, time.time(), "bad", "v1", "it lacks response.onnx")
    refusal.write(served.models, told)
    server.verify_what_serves(served)
    for serving in ("v9", "../elsewhere"):
        refusal.write(served.models, msgspec.structs.replace(told, serving=serving))
        with pytest.raises(BundleError, match=r"lacks response\.onnx"):
            server.verify_what_serves(served)
    refusal.write(served.models, told)
    (served.models / "v1" / "items.npy").unlink()
    with pytest.raises(BundleError, match="bad"):
        server.verify_what_serves(served)


def test_an_unknown_profile_is_refused(served: Settings) -> None:
    with pytest.raises(SettingsError, match="'quick'"):
        server.run(served, lambda: None, "quick")


def test_an_order_carries_every_setting(served: Settings) -> None:
    full = replace(served, pseudonym_key="0123456789abcdef", device="cpu", households=200)
    assert Order.of(full, Path("/t")).to_settings() == full


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("box", "http://box:8000"),
    ],
)
def test_the_address_is_one_that_a_person_can_open(host: str, address: str, tmp_path: Path) -> None:
    assert server.address(Settings(home=tmp_path, host=host)) == address


def test_a_record_names_this_process(tmp_path: Path) -> None:
    assert Record.of(os.getpid(), tmp_path).supervisor == os.getpid()
