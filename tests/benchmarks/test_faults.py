"""What is told of overload and of swaps: each promise is missed by its own figure."""

from dataclasses import replace

import pytest

from benchmarks.faults import SWAPS, Overload, Swaps, overload_rows, swap_rows
from benchmarks.open_loop import Taken
from benchmarks.results import Row

_STEADY = Taken(1000.0, 10.0, [0.004] * 9_800 + [0.01] * 200, 0, 0, 0.001, {"a": 10_000})
_SWAPPED = Taken(1000.0, 10.0, [0.004] * 9_800 + [0.014] * 200, 0, 0, 0.001, {"a": 5_000, "b": 5_000})
_SWAPS = Swaps([_STEADY] * 4, [_SWAPPED] * 4, [4.5] * SWAPS)
_OVERLOAD = Overload(
    2000.0,
    Taken(2000.0, 10.0, [0.03] * 19_000, 1_000, 0, 0.001, {}),
    Taken(4000.0, 10.0, [0.05] * 18_000, 22_000, 0, 0.001, {}),
)


def _missed(rows: list[Row]) -> list[str]:
    return [row.what for row in rows if row.kept == "MISSED"]


def test_what_keeps_the_promises_is_told_so() -> None:
    rows = [*overload_rows([_OVERLOAD] * 3), *swap_rows(_SWAPS)]
    assert _missed(rows) == []
    assert sum(row.kept == "met" for row in rows) == 5


def test_goodput_is_held_against_that_at_the_peaks_own_rate_and_shown_against_the_peak() -> None:
    rows = list(overload_rows([_OVERLOAD]))
    ratios = [(row.value, row.peer, row.ratio) for row in rows if row.what.startswith("good answers")]
    assert ratios == [
        (1900.0, "the peak", 0.95),
        (1800.0, "asked at the peak's rate", 1800 / 1900),
        (1800.0, "the peak", 0.9),
    ]


def test_answers_that_come_late_are_not_good_ones() -> None:
    late = replace(_OVERLOAD.twice, waited_s=[0.05] * 17_000 + [1.5] * 1_000)
    (missed,) = _missed(list(overload_rows([replace(_OVERLOAD, twice=late)])))
    assert "twice" in missed


@pytest.mark.parametrize("when", ["once", "twice"])
def test_one_failed_request_in_any_round_is_seen(when: str) -> None:
    bad = replace(_OVERLOAD, **{when: replace(getattr(_OVERLOAD, when), failed=1)})
    (missed,) = _missed(list(overload_rows([_OVERLOAD, bad, _OVERLOAD])))
    assert "another status" in missed


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"took_s": [4.5] * (SWAPS - 1)}, "bundles swapped"),
        ({"took_s": []}, "bundles swapped"),
        ({"swapped": [replace(_SWAPPED, waited_s=[*_SWAPPED.waited_s[:-200], *[0.016] * 200])] * 4}, "p99"),
        ({"swapped": [_SWAPPED, _SWAPPED, _SWAPPED, replace(_SWAPPED, refused=1)]}, "requests without a 200"),
        ({"swapped": [_SWAPPED, _SWAPPED, _SWAPPED, replace(_SWAPPED, failed=1)]}, "requests without a 200"),
    ],
)
def test_each_promise_of_swaps_is_missed_by_its_own_figure(changes: dict[str, object], missed: str) -> None:
    (found,) = _missed(list(swap_rows(replace(_SWAPS, **changes))))  # type: ignore[arg-type]
    assert found.startswith(missed)
