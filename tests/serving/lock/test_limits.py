"""A caller gets its rate and its burst, over all replicas, and no more."""

import pytest

from serving.lock import limits
from serving.lock.limits import Limits


def taken(bucket: Limits, seconds: float, rate: float, burst: float, start: float = 0.0) -> int:
    steps = int(seconds * 1000)
    return sum(bucket.take("a", rate, burst, start + step / 1000) == 0 for step in range(steps))


def test_the_burst_comes_at_once_and_the_rate_from_then_on() -> None:
    bucket = Limits()
    assert taken(bucket, 1, 10, 20) in (29, 30)
    assert taken(bucket, 1, 10, 20, start=1) in (9, 10, 11)
    assert taken(bucket, 1, 10, 20, start=100) in (29, 30), "after a rest the bucket is full, not fuller"


def test_a_refusal_tells_when_to_come_again_and_costs_nothing() -> None:
    bucket = Limits()
    assert bucket.take("a", 2, 1, 0.0) == 0
    waits = [bucket.take("a", 2, 1, 0.1) for _ in range(5)]
    assert waits == pytest.approx([0.4] * 5)
    assert bucket.take("a", 2, 1, 0.51) == 0
    assert bucket.take("b", 2, 1, 0.51) == 0, "another caller has a bucket of its own"


def test_replicas_share_a_rate() -> None:
    replicas = [Limits(4) for _ in range(4)]
    assert sum(taken(each, 10, 100, 100) for each in replicas) == pytest.approx(1100, rel=0.01)
    assert Limits(100).take("a", 1, 1, 0.0) == 0, "however many share, one request is one"


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST", 3)
    bucket = Limits()
    for caller in "abcd":
        bucket.take(caller, 0.001, 1, 0.0)
    assert bucket.take("d", 0.001, 1, 0.1) > 0
    assert bucket.take("a", 0.001, 1, 0.1) == 0
