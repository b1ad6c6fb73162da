"""When a call is asked again: waits with jitter, what a server asks for, and a budget that threads share."""

import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest

from motherlode.client.retries import Budget, Retries, retry_after_s
from motherlode.errors import SettingsError


def test_waits_are_drawn_over_all_of_a_range_that_doubles_up_to_the_longest() -> None:
    retries = Retries(first_s=0.1, longest_s=0.5)
    for tried, most in ((1, 0.1), (2, 0.2), (3, 0.4), (4, 0.5), (5000, 0.5)):
        waits = [retries.wait_s(tried, 0.0) for _ in range(300)]
        assert 0 <= min(waits) < most * 0.1
        assert most * 0.9 < max(waits) <= most


def test_what_the_server_asks_for_is_the_least() -> None:
    waits = [Retries(first_s=0.1).wait_s(1, 3.0) for _ in range(100)]
    assert 3.0 <= min(waits) < max(waits) <= 3.1


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "١", "Fri, 99 Nov 2026 00:00:00 GMT", "\x00"])
def test_a_retry_after_that_cannot_be_read_asks_for_nothing(text: str) -> None:
    assert retry_after_s({"retry-after": text}) == 0.0


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after_s({}) == 0.0
    assert retry_after_s({"retry-after": " 12 "}) == 12.0
    assert 28 < retry_after_s({"retry-after": formatdate(time.time() + 30, usegmt=True)}) <= 30
    assert retry_after_s({"retry-after": formatdate(time.time() - 30, usegmt=True)}) == 0.0


def test_the_budget_is_a_reserve_and_a_tenth_of_the_calls() -> None:
    budget = Budget(share=0.1, reserve=3)
    spent = 0
    for _ in range(1000):
        budget.earn()
        spent += budget.spend() + budget.spend()
    assert 100 <= spent <= 103


def test_a_quiet_time_saves_up_no_more_than_the_reserve() -> None:
    budget = Budget(share=0.1, reserve=3)
    for _ in range(1000):
        budget.earn()
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]


def test_threads_spend_no_token_twice() -> None:
    budget = Budget(share=0.0, reserve=500)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: budget.spend(), range(2000))) == 500


@pytest.mark.parametrize("wrong", [{"tries": 0}, {"first_s": -0.1}, {"first_s": 2.0, "longest_s": 1.0}])
def test_retries_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        Retries(**wrong)  # type: ignore[arg-type]
