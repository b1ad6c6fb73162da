"""Requests that do not wait for answers: when they are due, when an answer is whole, and who is counted."""

import socket
import threading
import time

import numpy as np
import pytest

from benchmarks.open_loop import due, opened, summed, whole

_HEAD = b"HTTP/1.1 200 OK\r\n"


def test_requests_are_due_at_the_rate_and_at_random() -> None:
    times = due(1000, 20)
    assert len(times) == pytest.approx(20_000, rel=0.05)
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 20
    gaps = np.diff(times)
    # Of a Poisson process the gaps' deviation is their mean.
    assert float(gaps.std()) == pytest.approx(float(gaps.mean()), rel=0.05)


def test_who_was_never_answered_counts_as_long_as_was_waited() -> None:
    taken = summed(100, 10.0, [0.001] * 98, waited_s=20.0, stalled_s=0.002)
    assert (taken.sent, taken.failed, taken.p50_ms, taken.max_ms, taken.stalled_ms) == (100, 2, 1.0, 20_000.0, 2.0)
    assert taken.p99_ms > 10_000


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
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=_serve, args=(listener, pause_s), daemon=True).start()
        taken = opened(f"http://127.0.0.1:{listener.getsockname()[1]}/x", ['{"a": 1}'], 1000, 0.5)
    assert taken.failed == 0
    assert taken.max_ms > 1000 * pause_s * 0.8
    # Timed from when they were sent, most would look quick: those that found no free connection.
    assert taken.p50_ms > 1000 * pause_s * 0.2


def _serve(listener: socket.socket, pause_s: float) -> None:
    """Answer every connection; all of them stop once, at the same moment."""
    paused = threading.Event()
    lock = threading.Lock()
    answered = [0]

    def answer(connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                with lock:
                    answered[0] += 1
                    if answered[0] == 100 and not paused.is_set():
                        paused.set()
                        time.sleep(pause_s)
                connection.sendall(_HEAD + b"Content-Length: 2\r\n\r\n{}")

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()
