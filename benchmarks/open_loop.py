"""Requests at a rate that does not wait for the answers: `python -m benchmarks.open_loop`, orders on the input.

They are due at random times, as customers come (a Poisson process). Each is timed from when it was due, not from when
it could be sent, so a server that stops answers late to all who would have asked meanwhile (no coordinated omission).
The process asks the clock without a pause, so it wants a core of its own. Standard library and NumPy alone.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from benchmarks.load import on_core

CONNECTIONS: Final = 64
_DRAIN_S: Final = 10.0
_END: Final = b"\r\n\r\n"


@dataclass(frozen=True)
class Taken:
    """How long the answers took.

    Attributes:
        sent: requests.
        rate: requests/s that were due.
        p50_ms, p99_ms, max_ms: milliseconds from when a request was due until its answer was there; one that failed
            counts as long as was waited for any.
        failed: that were answered with another status than 200, or not at all.
        stalled_ms: the longest that this process itself did not run; what is near it says nothing of the server.
    """

    sent: int
    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    failed: int
    stalled_ms: float


def opened(url: str, bodies: Sequence[str], rate: float, seconds: float, core: int | None = None) -> Taken:
    """Ask a server at a rate, from a process of its own.

    Args:
        url: where to POST.
        bodies: what, in turn.
        rate: requests/s on average.
        seconds: how long.
        core: where it runs.
    """
    order = json.dumps({"url": url, "bodies": list(bodies), "rate": rate, "seconds": seconds})
    command = [*on_core(core), sys.executable, "-m", "benchmarks.open_loop"]
    done = subprocess.run(command, input=order, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{url} could not be asked:\n{done.stderr[-3000:]}")
    return Taken(**json.loads(done.stdout))


def due(rate: float, seconds: float, seed: int = 0) -> list[float]:
    """Seconds from the start at which requests are due, ascending, all below `seconds`."""
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(1 / rate, int(rate * seconds * 1.5) + 20))
    found: list[float] = times[times < seconds].tolist()
    return found


def summed(sent: int, rate: float, seconds: Sequence[float], waited_s: float, stalled_s: float) -> Taken:
    """The centiles of all that was due.

    Args:
        sent: how many requests were due.
        rate: as asked for.
        seconds: of those that were answered with 200.
        waited_s: how long the others are taken to have needed.
        stalled_s: the longest that the generator did not run.
    """
    failed = sent - len(seconds)
    p50, p99, most = np.percentile([*seconds, *[waited_s] * failed], (50, 99, 100)) * 1e3
    return Taken(sent, rate, float(p50), float(p99), float(most), failed, stalled_s * 1e3)


class _Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request under way."""

    def __init__(self, pool: "_Pool") -> None:
        self._pool = pool
        self._held = b""
        self._due = 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self._transport = transport
        self._pool.free.append(self)

    def send(self, request: bytes, due_at: float) -> None:
        """Ask; the connection is not free until the answer is there."""
        self._due = due_at
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """A part of the answer."""
        self._held += data
        if whole(self._held):
            now = time.perf_counter()
            self._pool.answered(now - self._due, ok=self._held[9:12] == b"200")
            self._held = b""
            self._pool.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closed it: it is never free again, and a request under way stays unanswered."""
        if self in self._pool.free:
            self._pool.free.remove(self)


class _Pool:
    """The connections, and what their answers took."""

    def __init__(self) -> None:
        self.free: deque[_Connection] = deque()
        self.seconds: list[float] = []
        self.wrong = 0

    def answered(self, seconds: float, *, ok: bool) -> None:
        """One answer came."""
        if ok:
            self.seconds.append(seconds)
        else:
            self.wrong += 1


def whole(answer: bytes) -> bool:
    """Whether an HTTP/1.1 answer is complete, by its length or its last chunk."""
    head, found, body = answer.partition(_END)
    if not found:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return body.endswith(b"0\r\n\r\n")


async def _ask(url: str, bodies: Sequence[str], rate: float, seconds: float) -> Taken:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: "
    requests = [f"{head}{len(body.encode())}\r\n\r\n{body}".encode() for body in bodies]
    pool, loop = _Pool(), asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: _Connection(pool), parts.hostname, parts.port)
    times = due(rate, seconds)
    start, sent, stalled, before = time.perf_counter() + 0.1, 0, 0.0, 0.0
    while len(pool.seconds) + pool.wrong < len(times) and before < seconds + _DRAIN_S:
        now = time.perf_counter() - start
        stalled, before = max(stalled, now - max(before, 0.0)), now
        while sent < len(times) and times[sent] <= now and pool.free:
            pool.free.popleft().send(requests[sent % len(requests)], start + times[sent])
            sent += 1
        await asyncio.sleep(0)
    return summed(len(times), rate, pool.seconds, seconds + _DRAIN_S, stalled)


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(_ask(**json.load(sys.stdin))))))
