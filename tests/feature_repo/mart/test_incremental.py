"""Claim: a build computes what new and corrected rows touch, and the mart is the one that a full build would give."""

import random
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(("cadence", "partitions", "seed"), [(1, 2, 1), (7, 4, 1), (7, 1, 1), (7, 2, 0), (28, 2, 1)])
def test_after_any_change_the_mart_is_that_of_a_full_build(
    shop: Any, tmp_path: Path, cadence: int, partitions: int, seed: int
) -> None:
    rng, day = random.Random(f"{seed} {cadence} {partitions}"), 40
    rows = shop.history(rng, day)
    shop.write(rows)
    shop.build(cadence_days=cadence, partitions=partitions)
    for step in range(3):
        rows = shop.later(rng, rows, day)
        shop.write(rows)
        shop.build()
        full = shop.full(tmp_path / "project" / f"full {step}")
        full.build(partitions=4 if partitions == 1 else 1)
        theirs, ours = full.mart(), shop.mart()
        assert theirs.keys() == ours.keys()
        for name, frame in theirs.items():
            assert ours[name].equals(frame), (step, name)
        day = 50
