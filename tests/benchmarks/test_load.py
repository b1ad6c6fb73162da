"""What wrk says is read as it is said, and servers are compared at equal p99."""

import pytest

from benchmarks.load import Load, best, best_of, read, within

SAID = """Running 5s test @ http://127.0.0.1:8000/v1/score
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     7.31ms    1.02ms  30.11ms   90.00%
  Latency Distribution
     50%  810.00us
     75%    7.50ms
     90%    8.02ms
     99%    1.25s
  10943 requests in 5.00s, 3.10MB read
Requests/sec:   2188.12
Transfer/sec:    634.94KB
"""


def _load(clients: int, rate: float, p99_ms: float) -> Load:
    return Load(clients, rate, p99_ms / 2, p99_ms, int(rate))


def test_rates_and_centiles_are_read_in_requests_a_second_and_milliseconds() -> None:
    assert read(SAID, 16) == Load(16, 2188.12, 0.81, 1250.0, 10943)


@pytest.mark.parametrize("wrong", ["  Non-2xx or 3xx responses: 1\n", "  Socket errors: connect 0, read 1\n"])
def test_a_load_with_a_wrong_answer_is_none(wrong: str) -> None:
    with pytest.raises(ValueError, match="Requests/sec"):
        read(SAID + wrong, 16)


def test_a_load_of_which_wrk_says_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        read("unable to connect to 127.0.0.1:8000", 16)


def test_what_does_most_within_a_p99_is_not_what_does_most() -> None:
    loads = [_load(1, 100, 1.0), _load(2, 180, 2.0), _load(4, 250, 9.0)]
    assert best(loads).clients == 4
    assert best(within(loads, 2.0)).clients == 2
    assert best(within(loads, 0.5)).rate == 0


def test_the_better_server_may_be_another_where_the_p99_is_bound() -> None:
    servers = {"one worker": [_load(1, 100, 1.0)], "two workers": [_load(1, 90, 1.5), _load(8, 170, 9.0)]}
    assert best_of(servers) == ("two workers", servers["two workers"][1])
    assert best_of(servers, 1.2) == ("one worker", servers["one worker"][0])
    assert best_of(servers, 0.1)[1].rate == 0
