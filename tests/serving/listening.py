"""Serving's small company and the real application on a real socket, for whoever asks it from outside."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from motherlode.redis_server import connect, running
from motherlode.settings import Settings
from serving.http import build
from tests.serving.conftest import Company


@contextmanager
def small_company(home: Path, redis_budget_s: float) -> Iterator[Company]:
    """A company with the bundle `v1`, the customers 1, 2 and "abc", and nobody else, over a Valkey of its own."""
    with running(Settings(home=home)) as bound, connect(bound) as redis:
        company = Company(Settings(home=home, redis_url=bound.redis_url, redis_budget_s=redis_budget_s), redis)
        company.publish("v1")
        for customer in ("1", "2", "abc"):
            company.put_customer(customer)
        yield company


@contextmanager
def listening(settings: Settings) -> Iterator[str]:
    """The URL of the application under uvicorn, on a free port of loopback."""
    server = uvicorn.Server(uvicorn.Config(build(settings), port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
