"""Claim: keys computed some at a time give the rows of all at once, whatever changed, and leave nothing behind."""

import random
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from feature_repo.features import catalogue, item_neighbours, item_statistics
from feature_repo.mart import apart, pieces
from motherlode import names

VIEW = "item_statistics"


@pytest.fixture
def items(shop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The shop with the catalogue's views of items."""
    views: Mapping[str, Any] = {VIEW: item_statistics, "item_neighbours": item_neighbours}
    monkeypatch.setattr(catalogue, "MODULES", MappingProxyType(views))
    return shop


@pytest.mark.parametrize(("rows", "keys"), [(90, 100), (1_000_000, 1)])
def test_buckets_change_no_row_through_any_change(
    items: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, keys: int
) -> None:
    rng, day = random.Random(rows), 70
    known = items.history(rng, day)
    for step in range(2):
        items.write(known)
        with monkeypatch.context() as small:
            small.setattr(apart, "ROWS_PER_BUCKET", rows)
            small.setattr(apart, "KEYS_PER_BUCKET", keys)
            small.setattr(apart, "ROWS_AT_ONCE", 7)
            made = items.build()
        full = items.full(tmp_path / "project" / f"full {step}")
        full.build(partitions=2)
        assert items.rows(VIEW).equals(full.rows(VIEW)), step
        assert items.rows(VIEW).height > 3
        assert {piece.partition for piece in made.views[VIEW].pieces} == {pieces.WHOLE}
        months = [piece.era for piece in made.views[VIEW].pieces]
        assert sorted(set(months)) == months, "a piece a month"
        assert not (items.settings.mart / pieces.SCRATCH).exists()
        known, day = items.later(rng, known, day), day + 9
    assert set(items.rows(VIEW)[names.ITEM_ID]) <= {"bread", "milk", "salt"}


def test_a_bucket_has_neither_too_many_rows_nor_too_many_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "ROWS_PER_BUCKET", 1_000)
    monkeypatch.setattr(apart, "KEYS_PER_BUCKET", 10)
    assert [apart._number(*each) for each in [(0, 0), (1_000, 10), (1_001, 10), (5, 11), (9_999, 1_000)]] == [
        1,
        1,
        2,
        2,
        100,
    ]
    assert apart._number(10**9, 1) == apart.MOST, "files that are open at once"
