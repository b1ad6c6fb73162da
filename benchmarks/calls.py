"""Claim: one customer's full answer, features from Redis included, takes a few milliseconds at the most.

Serves the demo's bundle under Ray Serve as `motherlode serve` does and calls both endpoints over one
kept-alive connection, in turn, against the server's own `/healthz`, which does nothing.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.results import Row, publish
from benchmarks.sockets import free_port

WARM_UP = 200
CALLS = 500
ROUNDS = 5

ENDPOINTS = {
    "healthz (does nothing)": ("GET", "/healthz", None),
    "score, 1 customer": ("POST", "/v1/score", {"customer_ids": [1], "campaign": {"type": "Type A"}}),
    "recommend, 1 customer, k = 10": ("POST", "/v1/recommend", {"customer_ids": [1], "k": 10}),
    "score, 100 customers": (
        "POST",
        "/v1/score",
        {"customer_ids": list(range(1, 101)), "campaign": {"type": "Type A"}},
    ),
    "recommend, 100 customers, k = 10": ("POST", "/v1/recommend", {"customer_ids": list(range(1, 101)), "k": 10}),
}


def main() -> None:
    """Measure medians of interleaved rounds and print p50 and p99 a call."""
    home = Path(os.environ.get("MOTHERLODE_HOME", ".motherlode")).absolute()
    port = free_port()
    motherlode = str(Path(sys.executable).with_name("motherlode"))
    subprocess.run([motherlode, "demo", "--home", str(home)], check=True, stdout=subprocess.DEVNULL)
    server = subprocess.Popen(
        [motherlode, "serve", "--home", str(home), "--port", str(port)], stdout=subprocess.DEVNULL
    )
    try:
        _wait(port)
        times = _measure(port)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
    empty = float(np.median([np.percentile(seconds, 50) for seconds in times["healthz (does nothing)"]]))
    rows = []
    for what, rounds in times.items():
        p50 = float(np.median([np.percentile(seconds, 50) for seconds in rounds]))
        p99 = float(np.median([np.percentile(seconds, 99) for seconds in rounds]))
        peer = "" if what.startswith("healthz") else "healthz"
        rows.append(Row(f"{what}: p50", p50 * 1e3, "ms", peer, empty / p50 if peer else None))
        rows.append(Row(f"{what}: p99", p99 * 1e3, "ms"))
    publish("calls", rows)


def _measure(port: int) -> dict[str, list[Sequence[float]]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    times: dict[str, list[Sequence[float]]] = {what: [] for what in ENDPOINTS}
    for what in ENDPOINTS:
        _round(connection, what, WARM_UP)
    for _ in range(ROUNDS):
        for what in ENDPOINTS:
            times[what].append(_round(connection, what, CALLS))
    return times


def _round(connection: http.client.HTTPConnection, what: str, calls: int) -> list[float]:
    method, path, body = ENDPOINTS[what]
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if data else {}
    seconds = []
    for _ in range(calls):
        started = time.perf_counter()
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        answer = response.read()
        seconds.append(time.perf_counter() - started)
        if response.status != 200:
            sys.exit(f"{method} {path} answered {response.status}: {answer[:200]!r}")
    return seconds


def _wait(port: int) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    sys.exit("The server was not ready within 90 seconds.")


if __name__ == "__main__":
    main()
