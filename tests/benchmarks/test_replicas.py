"""Whether more replicas pay is told by their rates alone."""

import pytest

from benchmarks.load import Load
from benchmarks.replicas import rows


def _loads(*rates: float) -> list[Load]:
    return [Load(64, rate, 1.0, 9.0, 1000) for rate in rates]


@pytest.mark.parametrize(("rates", "kept"), [((3000.0, 900.0, 3100.0), "met"), ((1900.0, 9000.0, 1800.0), "MISSED")])
def test_a_replica_a_core_is_held_against_one_alone(rates: tuple[float, ...], kept: str) -> None:
    found = rows({1: _loads(2000.0, 2100.0, 1000.0), 2: _loads(*rates)})
    (row,) = [row for row in found if row.goal]
    assert (row.value, row.kept) == (sorted(rates)[1], kept)
    assert row.ratio == pytest.approx(sorted(rates)[1] / 2000.0)


def test_one_core_has_nothing_to_compare() -> None:
    assert [row.goal for row in rows({1: _loads(2000.0)})] == [""] * 4
