"""Requests that do not wait for answers: when they are due, when an answer is whole, and who is counted."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from benchmarks.open_loop import DRAIN_S, Order, Taken, due, flowing, opened, together, whole

_HEAD = b"HTTP/1.1 200 OK\r\n"
_BODY = b'{"bundle":"20260101T000000Z"}'
_GOOD = _HEAD + b"Content-Length: %d\r\n\r\n" % len(_BODY) + _BODY
_BUSY = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


def _taken(waited_s: list[float], refused: int = 0, failed: int = 0, lasted_s: float = 10.0) -> Taken:
    return Taken(10.0, lasted_s, waited_s, refused, failed, 0.002, {"a": len(waited_s)})


def test_requests_are_due_at_the_rate_and_at_random() -> None:
    times = due(1000, 20)
    assert len(times) == pytest.approx(20_000, rel=0.05)
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 20
    gaps = np.diff(times)
    # Of a Poisson process the gaps' deviation is their mean.
    assert float(gaps.std()) == pytest.approx(float(gaps.mean()), rel=0.05)
    assert due(1000, 20, seed=1) != times


def test_who_was_never_answered_with_200_counts_as_long_as_was_waited() -> None:
    taken = _taken([0.001] * 98, refused=1, failed=1)
    assert (taken.sent, taken.ms(50), taken.ms(100)) == (100, 1.0, 1000 * (10.0 + DRAIN_S))
    assert taken.ms(99) > 9_000
    assert taken.good_ms(100) == 1.0
    assert _taken([], failed=1).good_ms(99) == float("inf")


def test_a_good_answer_is_one_that_came_in_time() -> None:
    assert _taken([0.1] * 50 + [1.0] * 20 + [1.1] * 30, refused=100).good(1.0) == 7.0


def test_stretches_count_as_one_by_every_request_of_theirs() -> None:
    found = together([_taken([0.001] * 99, failed=1), _taken([0.5], refused=2, lasted_s=5.0)])
    assert (found.sent, found.failed, found.refused, found.lasted_s) == (103, 1, 2, 15.0)
    assert found.good_ms(100) == 500.0
    assert found.bundles == {"a": 100}


@pytest.mark.parametrize(
    ("answer", "complete"),
    [
        (_HEAD + b"Content-Length: 2\r\n", False),
        (_HEAD + b"Content-Length: 2\r\n\r\n{", False),
        (_HEAD + b"content-length: 2\r\n\r\n{}", True),
        (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", False),
        (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_whole_by_its_length_or_its_last_chunk(answer: bytes, complete: bool) -> None:
    assert whole(answer) is complete


def test_a_server_that_stops_for_a_while_is_late_to_all_who_would_have_asked() -> None:
    pause_s = 0.5

    def pausing(number: int) -> bytes:
        if number == 100:
            time.sleep(pause_s)  # with the lock held: all connections stop at the same moment
        return _GOOD

    with _serving(pausing) as url:
        taken = opened(Order(url, ['{"a": 1}'], 1000, 0.5))
    assert (taken.failed, taken.refused) == (0, 0)
    assert taken.ms(100) > 1000 * pause_s * 0.8
    # Timed from when they were sent, most would look quick: those that found no free connection.
    assert taken.ms(50) > 1000 * pause_s * 0.2
    assert taken.bundles == {"20260101T000000Z": taken.sent}


def test_refusals_failures_and_connections_that_close_are_told_apart() -> None:
    def mixed(number: int) -> bytes:
        return {0: _BUSY, 1: _ERROR, 2: b""}.get(number % 10, _GOOD)

    with _serving(mixed) as url:
        taken = opened(Order(url, ['{"a": 1}'], 500, 1.0))
    tenth = taken.sent / 10
    assert taken.sent == len(due(500, 1.0))
    assert taken.refused == pytest.approx(tenth, abs=1)
    # Another status, and a connection closed without an answer.
    assert taken.failed == pytest.approx(2 * tenth, abs=2)
    assert len(taken.waited_s) == pytest.approx(7 * tenth, abs=3)


def test_a_load_ends_when_it_is_told_to_and_counts_what_was_due_until_then() -> None:
    with _serving(lambda _: _GOOD) as url, flowing(Order(url, ["{}"], 200, 60.0)) as flow:
        time.sleep(1.0)
        flow.stop()
        taken = flow.taken()
    assert taken.lasted_s < 30
    assert taken.sent == len(taken.waited_s) == sum(at <= taken.lasted_s for at in due(200, 60.0))


@contextmanager
def _serving(answer: Callable[[int], bytes]) -> Iterator[str]:
    """Answers every connection's requests by their number, in turn; nothing closes the connection."""
    lock, numbers = threading.Lock(), iter(range(10**9))

    def handle(connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                with lock:
                    said = answer(next(numbers))
                if not said:
                    return
                connection.sendall(said)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"
