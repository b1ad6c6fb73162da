"""What fails in one replica is tried again after a second, then ever later, and told once a kind."""

import time

import pytest

from motherlode.errors import BundleError
from serving.setback import Setback, passing


def test_what_failed_is_tried_again_later_each_time_and_another_thing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    setback, waits = Setback(), []
    for _ in range(9):
        assert setback.due("v2")
        setback.failed("v2", OSError(24, "too many"), "no file")
        began = now
        while not setback.due("v2"):
            now += 0.5
        waits.append(now - began)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    setback.failed("v2", OSError(24, "too many"), "no file")
    assert setback.due("v3")
    setback.failed("v3", MemoryError(), "no memory")
    now += 1.0
    assert setback.due("v3"), "it begins anew"


def test_it_is_news_once_a_kind_and_over_when_it_is_over() -> None:
    setback = Setback()
    told = [setback.failed("v2", error, str(error)) for error in (OSError("a"), OSError("b"), MemoryError("c"))]
    assert told == [True, False, True]
    assert setback.problem == "c"
    setback.over()
    problem: str | None = setback.problem
    assert problem is None
    assert setback.due("v2")
    assert setback.failed("v2", MemoryError("d"), "d")


def raised(error: Exception, cause: Exception | None, *, hidden: bool) -> Exception:
    """As it is when it was raised of another, which a traceback shows or hides."""
    error.__context__ = cause
    error.__cause__ = None if hidden else cause
    return error


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (OSError(24, "Too many open files"), True),
        (MemoryError(), True),
        (FileNotFoundError(2, "No such file"), False),
        (ValueError("no matrix"), False),
        (None, False),
    ],
    ids=["no more files", "no memory", "a missing file", "damaged content", "compared"],
)
def test_what_the_system_refused_says_nothing_of_the_bundle(
    cause: Exception | None, expected: bool, hidden: bool
) -> None:
    assert passing(raised(BundleError("It cannot be read.", ""), cause, hidden=hidden)) is expected
