"""Nobody waits for a server that is gone, and everybody is answered as soon as it is back."""

from contextlib import suppress

import pytest

from serving.breaker import FAILURES, RETRY_S, Breaker
from serving.reading import UnavailableError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        with suppress(UnavailableError), breaker.guard():
            raise UnavailableError("redis timeout after 0.25 s")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock=clock)


def passes(breaker: Breaker) -> bool:
    try:
        with breaker.guard():
            return True
    except UnavailableError:
        return False


def test_a_failure_or_two_are_nothing_and_an_answer_forgets_them(breaker: Breaker) -> None:
    for _ in range(3):
        fail(breaker, FAILURES - 1)
        assert passes(breaker)


def test_after_several_in_a_row_nobody_waits_and_the_answer_says_why(breaker: Breaker) -> None:
    fail(breaker, FAILURES)
    assert breaker.open
    with pytest.raises(UnavailableError, match="3 times in a row"), breaker.guard():
        pytest.fail("It was let through.")


def test_one_tries_again_while_the_others_do_not_wait_for_it(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    clock.now += RETRY_S
    with breaker.guard():
        assert [passes(breaker) for _ in range(5)] == [False] * 5
    assert [passes(breaker) for _ in range(5)] == [True] * 5


def test_where_the_one_fails_it_stays_open_and_another_tries_later(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    clock.now += RETRY_S
    fail(breaker, 1)
    assert not passes(breaker)
    clock.now += RETRY_S
    assert passes(breaker)


def test_what_is_no_fault_of_the_server_counts_for_nothing(breaker: Breaker) -> None:
    for _ in range(9):
        with pytest.raises(ZeroDivisionError), breaker.guard():
            raise ZeroDivisionError
    assert passes(breaker)
