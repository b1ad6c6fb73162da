"""Replicas on GPUs and beside them, from the manifest, under a Ray that believes in a GPU which CUDA does not find."""

import http.client
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from motherlode import access
from motherlode.settings import Settings
from serving import profiles, server
from serving.processes import free_port, record_path
from serving.sight.logs import LOG

if TYPE_CHECKING:
    from tests.serving.conftest import Company

MANIFEST = Path(__file__).resolve().parents[2] / "infra" / "kubernetes" / "rayservice-gpu.yaml"
HOST = f"""
import functools, sys, ray, yaml
ray.init = functools.partial(ray.init, num_gpus=1)
from pathlib import Path
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema
from serving import app

def apply(order):
    given = next(yaml.safe_load_all(Path({str(MANIFEST)!r}).read_text()))
    config = yaml.safe_load(given["spec"]["serveConfigV2"])
    del config["applications"][0]["args"]["replicas"]  # there are as many as this cluster calls for
    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(config))
    app._wait(order.to_settings())

app.deploy = apply
app.main(int(sys.argv[1]))
"""
"""What KubeRay tells a Ray that has a GPU."""
HOST_OF_OUR_OWN = """
import functools, sys, ray
ray.init = functools.partial(ray.init, num_gpus=1)
from serving import app
app.main(int(sys.argv[1]))
"""
"""`motherlode serve` on a machine whose Ray has a GPU."""
ON_GPU, BESIDE = "This replica has GPU 0", "This replica computes on the CPU. The GPUs are other replicas'"
"""What a replica says of itself in the log."""
CLIENTS = 4


@contextmanager
def serving(settings: Settings, profile: str, failed: list[Exception]) -> Iterator[tuple[int, Path]]:
    """A server in a thread; gives the session that it runs in, and its folder, and what it fails of to a list."""
    ready = threading.Event()

    def run() -> None:
        try:
            server.run(settings, ready.set, profile)
        except Exception as error:  # noqa: BLE001 - the test tells it
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(60)
        assert not failed, failed
        record = json.loads(record_path(settings).read_bytes())
        yield int(record["session"]), Path(record["temp"])
    finally:
        if record_path(settings).is_file():
            os.kill(int(json.loads(record_path(settings).read_bytes())["session"]), signal.SIGKILL)
        thread.join()


def replicas_of(session: int, temp: Path) -> set[int]:
    """The processes of the replicas that HAProxy sends to, and that answer."""
    (configuration,) = temp.glob("*/haproxy.cfg")
    named = set(map(int, re.findall(r"server \S+ 127\.0\.0\.1:(\d+) check(?!.* backup)", configuration.read_text())))
    found = set()
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session:
                listening = {each.laddr.port for each in process.net_connections() if each.status == psutil.CONN_LISTEN}
                found |= {process.pid for port in listening & named if ask(port, "GET", "/readyz")[0] == 200}
        except (OSError, psutil.Error, http.client.HTTPException):
            continue
    return found


def both(session: int, temp: Path, log: Path, gone: int | None = None) -> dict[str, int]:
    """Waits for one replica that has the GPU and one beside it: what each says → its process."""
    until = time.monotonic() + 30
    while True:
        answering = replicas_of(session, temp) - {gone}
        said = {
            each["process"]: each["message"]
            for each in map(json.loads, log.read_text().splitlines())
            if "This replica" in each["message"]
        }
        found = {what: pid for what in (ON_GPU, BESIDE) for pid in answering if said[pid].startswith(what)}
        if len(found) == len(answering) == 2:
            return found
        assert time.monotonic() < until, (answering, said)
        time.sleep(0.2)


def ask(port: int, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, json.dumps(body), {"Authorization": f"Bearer {key}"} if key else {})
        response = connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if response.status == 200 else content
    finally:
        connection.close()


def load(port: int, key: str, stop: threading.Event, seen: Counter[str]) -> None:
    """Ask on and on; what fails is asked once more."""
    while not stop.is_set():
        for attempt in ("first", "second"):
            try:
                status, answer = ask(port, "POST", "/v1/score", {"customer_ids": [1, 2]}, key)
                assert status == 200, answer
                assert answer["device"] == "cpu"
                seen[f"{attempt} answered"] += 1
                time.sleep(0.002)
                break
            except (OSError, http.client.HTTPException, AssertionError, ValueError) as error:
                seen[f"{attempt} failed: {error!r}"] += 1
                time.sleep(0.25)  # a client that asks again does not do so at once


def test_a_gpu_replica_that_is_killed_under_load_costs_what_was_in_flight_and_with_one_retry_nothing(
    company: "Company", monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(company.settings, port=free_port(), replicas=2)
    assert settings.redis_url is not None
    monkeypatch.setattr(server, "_HOST", HOST)
    monkeypatch.setenv("MOTHERLODE_HOME", str(settings.home))
    monkeypatch.setenv("MOTHERLODE_PROJECT", settings.project)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    monkeypatch.setenv("MOTHERLODE_TLS", "proxy")
    _, key = access.add(settings, "shop", ["score"], rate=1e9)
    with serving(settings, profiles.FAST, []) as (session, temp):
        before = both(session, temp, settings.logs / LOG)
        on_gpu, beside = before[ON_GPU], before[BESIDE]
        stop, seen = threading.Event(), Counter[str]()
        asking = [threading.Thread(target=load, args=(settings.port, key, stop, seen)) for _ in range(CLIENTS)]
        for each in asking:
            each.start()
        time.sleep(0.5)
        os.kill(on_gpu, signal.SIGKILL)
        time.sleep(1.5)
        stop.set()
        for each in asking:
            each.join()
        after = both(session, temp, settings.logs / LOG, gone=on_gpu)
    failed = sum(count for what, count in seen.items() if what.startswith("first failed"))
    assert failed <= CLIENTS, seen
    assert not [what for what in seen if what.startswith("second failed")], seen
    assert seen["first answered"] > 100
    assert after[BESIDE] == beside
    assert after[ON_GPU] != on_gpu  # what is started for it has its place, and so its GPU


def test_serving_by_itself_has_a_replica_for_the_gpu_and_one_beside_it_and_ends_when_raylet_does(
    company: "Company", monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(company.settings, port=free_port(), replicas=1)
    monkeypatch.setattr(server, "_HOST", HOST_OF_OUR_OWN)
    failed: list[Exception] = []
    with serving(settings, profiles.FAST, failed) as (session, temp):
        assert both(session, temp, settings.logs / LOG).keys() == {ON_GPU, BESIDE}
        status, answer = ask(settings.port, "POST", "/v1/score", {"customer_ids": [1]})
        assert (status, answer["device"]) == (200, "cpu")
        reasons = {ask(settings.port, "GET", "/readyz")[1]["device_reason"] for _ in range(20)}
        (raylet,) = [each for each in psutil.Process(session).children() if each.name() == "raylet"]
        raylet.kill()
        until = time.monotonic() + 15
        while not failed:
            assert time.monotonic() < until
            time.sleep(0.1)
    assert "raylet ended" in str(failed[0])
    assert "The GPUs are other replicas'; this one stands by." in reasons
    assert any(each.startswith("No GPU for serving") for each in reasons)
