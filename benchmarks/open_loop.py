"""Requests at a rate that does not wait for the answers: `python -m benchmarks.open_loop`, an order on the input.

They are due at random times, as customers come (a Poisson process). Each is timed from when it was due, not from when
it could be sent, so a server that stops answers late to all who would have asked meanwhile (no coordinated omission).
The process asks the clock without a pause, so it wants a core of its own; what it can do at the most is measured too
(`benchmarks/faults.py`). Standard library and NumPy alone.
"""

import json
import re
import select
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlsplit

import numpy as np

from benchmarks.load import on_core

CONNECTIONS: Final = 64
DRAIN_S: Final = 10.0
"""How long the last requests are waited for."""
_BUSY: Final = 429
_OK: Final = 200
_END: Final = b"\r\n\r\n"
_BUNDLE: Final = re.compile(rb'"bundle":"([^"]+)"')


@dataclass(frozen=True)
class Order:
    """What to ask.

    Attributes:
        url: where to POST.
        bodies: what, in turn.
        rate: requests/s on average.
        seconds: how long, unless it is told to stop before.
        connections: requests under way at the most; what is due beyond them waits, and the wait counts.
        seed: of the times.
    """

    url: str
    bodies: Sequence[str]
    rate: float
    seconds: float
    connections: int = CONNECTIONS
    seed: int = 0


@dataclass(frozen=True)
class Taken:
    """What became of the requests.

    Attributes:
        rate: requests/s that were due.
        lasted_s: seconds in which they were.
        waited_s: of those that were answered with 200, seconds from when they were due until the answer was there.
        refused: that were answered with 429.
        failed: that were answered with another status, or not at all.
        stalled_s: the longest that this process itself did not run; what is near it says nothing of the server.
        bundles: version → answers that name it.
    """

    rate: float
    lasted_s: float
    waited_s: Sequence[float]
    refused: int
    failed: int
    stalled_s: float
    bundles: dict[str, int]

    @property
    def sent(self) -> int:
        """Requests that were due."""
        return len(self.waited_s) + self.refused + self.failed

    def ms(self, centile: float) -> float:
        """Milliseconds that so many % took at the most; one without a 200 counts as long as was waited for any."""
        never = [self.lasted_s + DRAIN_S] * (self.refused + self.failed)
        return float(np.percentile([*self.waited_s, *never], centile)) * 1e3

    def good(self, within_s: float) -> float:
        """Requests/s that were answered with 200 in time."""
        return sum(each <= within_s for each in self.waited_s) / self.lasted_s

    def good_ms(self, centile: float) -> float:
        """As `ms`, of those alone that were answered with 200; infinite where none was."""
        return float(np.percentile(self.waited_s, centile)) * 1e3 if self.waited_s else float("inf")


def together(each: Sequence[Taken]) -> Taken:
    """Several stretches at one rate as one."""
    return Taken(
        each[0].rate,
        sum(one.lasted_s for one in each),
        [wait for one in each for wait in one.waited_s],
        sum(one.refused for one in each),
        sum(one.failed for one in each),
        max(one.stalled_s for one in each),
        dict(sum((Counter(one.bundles) for one in each), Counter())),
    )


class Flow:
    """Requests that are being asked by a process of their own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def stop(self) -> None:
        """No more requests are due from now on."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def taken(self) -> Taken:
        """Wait for the end. A process that fails ends the benchmark."""
        assert self._process.stdout is not None
        said = self._process.stdout.read()
        if self._process.wait():
            sys.exit(f"`{self._process.args!r}` ended with {self._process.returncode}.")
        return Taken(**json.loads(said))


@contextmanager
def flowing(order: Order, core: int | None = None) -> Iterator[Flow]:
    """Ask a server at a rate, from a process of its own.

    Args:
        order: what to ask.
        core: where the process runs.
    """
    command = [*on_core(core), sys.executable, "-m", "benchmarks.open_loop"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(order)) + "\n")
        process.stdin.flush()
        try:
            yield Flow(process)
        finally:
            process.kill()  # it has ended, unless something is wrong here


def opened(order: Order, core: int | None = None) -> Taken:
    """See `flowing`; to the end."""
    with flowing(order, core) as flow:
        return flow.taken()


def due(rate: float, seconds: float, seed: int = 0) -> list[float]:
    """Seconds from the start at which requests are due, ascending, all below `seconds`."""
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(1 / rate, int(rate * seconds * 1.5) + 20))
    found: list[float] = times[times < seconds].tolist()
    return found


def whole(answer: bytes) -> bool:
    """Whether an HTTP/1.1 answer is complete, by its length or its last chunk."""
    head, found, body = answer.partition(_END)
    if not found:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return body.endswith(b"0\r\n\r\n")


class _Connection:
    """A kept-alive connection with at most one request under way.

    Attributes:
        due: when that was due, on the clock of `time.perf_counter`; None where there is none.
        held: what has come of its answer.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=DRAIN_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due: float | None = None
        self.held = b""

    def send(self, request: bytes, due_at: float) -> None:
        """Ask; that the server has closed it is found out when it is read."""
        self.due = due_at
        with suppress(OSError):
            self.socket.send(request)

    def read(self) -> bytes | None:
        """The answer once it is whole; empty where the server has closed the connection; None: more is to come."""
        try:
            data = self.socket.recv(1 << 16)
        except OSError:
            data = b""
        self.held += data
        if data and not whole(self.held):
            return None
        answer, self.held = self.held if data else b"", b""
        return answer


class _Client:
    """All connections, and what became of the requests."""

    def __init__(self, order: Order) -> None:
        parts = urlsplit(order.url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._address = (parts.hostname, parts.port)
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        self._requests = [f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode() for body in order.bodies]
        self._poller = select.epoll()
        self._by_number: dict[int, _Connection] = {}
        self._free: deque[_Connection] = deque()
        self.sent = 0
        self.waited_s: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.bundles: Counter[str] = Counter()
        for _ in range(order.connections):
            self._connect()
        if not self._by_number:
            sys.exit(f"Nobody listens at {order.url}.")
        self._poller.register(sys.stdin.fileno(), select.EPOLLIN)

    @property
    def under_way(self) -> int:
        """Requests without an answer yet."""
        return len(self._by_number) - len(self._free)

    def ask(self, due_at: float) -> bool:
        """Ask the next, if a connection is free."""
        if not self._free:
            return False
        self._free.popleft().send(self._requests[self.sent % len(self._requests)], due_at)
        self.sent += 1
        return True

    def look(self) -> bool:
        """Take in what has come; whether more requests are wanted."""
        wanted = True
        for number, _ in self._poller.poll(0):
            connection = self._by_number.get(number)
            if connection is None:
                self._poller.unregister(number)
                wanted = False
                continue
            answer = connection.read()
            if answer is not None:
                self._answered(connection, answer)
        return wanted

    def _answered(self, connection: _Connection, answer: bytes) -> None:
        due_at, connection.due = connection.due, None
        if due_at is not None and answer:
            status = int(answer[9:12])
            self.statuses[status] += 1
            if status == _OK:
                self.waited_s.append(time.perf_counter() - due_at)
                if found := _BUNDLE.search(answer):
                    self.bundles[found[1].decode()] += 1
        if answer:
            self._free.append(connection)
            return
        number = next(each for each, known in self._by_number.items() if known is connection)
        if connection in self._free:
            self._free.remove(connection)
        del self._by_number[number]
        connection.socket.close()  # which takes it from the poller as well
        self._connect()

    def _connect(self) -> None:
        try:
            connection = _Connection(self._address)
        except OSError:
            return  # what is due for it is never answered, and counts so
        number = connection.socket.fileno()
        self._by_number[number] = connection
        self._poller.register(number, select.EPOLLIN)
        self._free.append(connection)


def _ask(order: Order) -> Taken:
    client, times = _Client(order), due(order.rate, order.seconds, order.seed)
    start = time.perf_counter() + 0.1
    before, stalled_s, lasted_s = 0.0, 0.0, order.seconds
    while client.sent < len(times) or client.under_way:
        now = time.perf_counter() - start
        stalled_s, before = max(stalled_s, now - max(before, 0.0)), now
        if now > lasted_s + DRAIN_S:
            break
        while client.sent < len(times) and times[client.sent] <= now and client.ask(start + times[client.sent]):
            pass
        if not client.look():
            lasted_s = max(now, 0.0)
            times = [each for each in times if each <= lasted_s]
    refused, answered = client.statuses[_BUSY], len(client.waited_s)
    failed = len(times) - answered - refused
    return Taken(order.rate, lasted_s, client.waited_s, refused, failed, stalled_s, dict(client.bundles))


def main() -> None:
    """Take an order from the input; its end is the sign to stop."""
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as orders:  # else what comes after it is not seen
        order = Order(**json.loads(orders.readline()))
    print(json.dumps(asdict(_ask(order))))


if __name__ == "__main__":
    main()
