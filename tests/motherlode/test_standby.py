"""The CPU stands by: it answers for a GPU that fails, and hands back to one that is well again."""

import threading
import time
from collections.abc import Callable

import pytest

from motherlode.standby import Standby


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def question(way: str) -> str:
    if way == "broken gpu":
        raise RuntimeError("CUDA error 2: out of memory")
    return way


def never() -> str:
    raise AssertionError("nobody tries")


def test_what_the_gpu_fails_with_the_cpu_answers_and_says_why() -> None:
    standby = Standby("x", "broken gpu", "cpu", never)
    assert standby.lost is None
    assert standby.ask(question) == "cpu"
    assert standby.lost == "RuntimeError: CUDA error 2: out of memory"


def test_a_question_that_the_cpu_cannot_answer_either_is_not_the_gpus_fault() -> None:
    standby = Standby("x", "gpu", "cpu", never)

    def wrong(_: str) -> str:
        raise ValueError("of another shape")

    with pytest.raises(ValueError, match="another shape"):
        standby.ask(wrong)
    assert standby.lost is None
    assert standby.ask(question) == "gpu"


def test_two_threads_that_fail_at_once_are_both_answered_and_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    standby, together, answers = Standby("x", "gpu", "cpu", never), threading.Barrier(2), []

    def fails_together(way: str) -> str:
        if way == "gpu":
            together.wait(5)
            raise RuntimeError("gone")
        return way

    asking = [threading.Thread(target=lambda: answers.append(standby.ask(fails_together))) for _ in range(2)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert answers == ["cpu", "cpu"]
    assert len([each for each in caplog.records if "The GPU fails" in each.message]) == 1


def test_it_comes_back_only_after_its_time_and_only_when_it_is_well_and_nobody_waits_for_it() -> None:
    slowly, tries = threading.Event(), []

    def reopen() -> str:
        tries.append(time.monotonic())
        if len(tries) == 1:
            raise RuntimeError("still gone")
        slowly.wait(5)
        return "new gpu"

    standby, began = Standby("x", "broken gpu", "cpu", reopen, again_s=0.05), time.monotonic()
    assert standby.ask(question) == "cpu"
    assert standby.ask(question) == "cpu"
    assert tries == []
    until(lambda: standby.ask(question) == "cpu" and len(tries) == 2)
    assert tries[0] - began >= 0.05
    assert tries[1] - tries[0] >= 0.1  # twice as long after one that failed
    for _ in range(50):
        assert standby.ask(question) == "cpu"
    assert len(tries) == 2  # one at a time
    slowly.set()
    until(lambda: standby.lost is None)
    assert standby.ask(question) == "new gpu"


def test_what_has_no_gpu_tries_none() -> None:
    standby = Standby[str]("x", None, "cpu", never, again_s=0)
    assert [standby.ask(question) for _ in range(3)] == ["cpu"] * 3
    assert standby.lost is None


def test_what_failed_before_it_ever_answered_is_tried_again_too() -> None:
    standby = Standby("x", None, "cpu", lambda: "gpu", again_s=0.05, lost="out of memory")
    began = time.monotonic()
    assert (standby.ask(question), standby.lost) == ("cpu", "out of memory")
    until(lambda: standby.ask(question) == "gpu")
    assert time.monotonic() - began >= 0.05
    assert standby.lost is None
