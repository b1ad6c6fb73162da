"""What views have in common is looked up once, and never where it differs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from feature_repo.stores.labels import read
from feature_repo.stores.lookup import Lookup
from feature_repo.stores.sources import open_view

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROWS = [("a", NOON, 1.0), ("a", NOON + HOUR, 2.0), ("b", NOON, 3.0)]


class Counting(Lookup):
    """Counts how often it searches."""

    searches = 0

    def _search(self, *args: Any, **options: Any) -> Any:
        self.searches += 1
        return super()._search(*args, **options)


@pytest.fixture
def two(repo: Any) -> Any:
    """(second view's rows, options) → each view's features for three labels, and the number of searches."""

    def ask(second: pl.DataFrame, *, by_created: bool = False, ttls: Any = (None, None)) -> Any:
        views = [repo.view("v", repo.history(*ROWS)), repo.view("w", second)]
        lookup = Counting(read(repo.labels(("b", NOON), ("a", NOON + 2 * HOUR), ("a", NOON))), by_created=by_created)
        found = [
            lookup.columns(open_view(repo.config, view), {"k": "k"}, ["x"], ttl_us=ttl)[0].to_pylist()
            for view, ttl in zip(views, ttls, strict=True)
        ]
        return found, lookup.searches

    return ask


def test_views_with_the_same_keys_and_times_are_searched_once(repo: Any, two: Any) -> None:
    """Created times play no part where no two rows are of one key and time."""
    second = repo.history(*((k, t, -x) for k, t, x in ROWS), created=[NOON + 9 * HOUR] * 3)
    assert two(second) == ([[3.0, 2.0, 1.0], [-3.0, -2.0, -1.0]], 1)


def test_each_view_keeps_its_own_time_to_live(repo: Any, two: Any) -> None:
    hour = 3_600_000_000
    assert two(repo.history(*ROWS), ttls=(None, hour - 1)) == ([[3.0, 2.0, 1.0], [3.0, None, 1.0]], 1)


@pytest.mark.parametrize(
    "rows",
    [
        [("b", NOON, 1.0), ("a", NOON + HOUR, 2.0), ("a", NOON, 3.0)],
        [("a", NOON + HOUR, 1.0), ("a", NOON, 2.0), ("b", NOON, 3.0)],
        [*ROWS, ("a", NOON + HOUR, 9.0)],
        ROWS[:2],
    ],
)
def test_views_with_other_keys_or_times_are_searched_each_by_itself(repo: Any, two: Any, rows: Any) -> None:
    found, searches = two(repo.history(*rows))
    assert searches == 2
    assert found[0] == [3.0, 2.0, 1.0]
    newest = {(k, t): x for k, t, x in rows}
    assert found[1] == [newest.get(("b", NOON)), newest[("a", NOON + HOUR)], newest[("a", NOON)]]


def test_where_rows_are_told_apart_by_created_time_it_must_be_the_same(repo: Any, two: Any) -> None:
    second = repo.history(*ROWS, created=[NOON, NOON + 2 * HOUR, NOON + 9 * HOUR])
    found, searches = two(second, by_created=True)
    assert (found, searches) == ([[3.0, 2.0, 1.0], [None, 2.0, 1.0]], 2)
