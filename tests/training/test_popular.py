from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from motherlode.errors import DataError
from training.popular import popular, popularity

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def purchases(rows: list[tuple[str, str, str, float]]) -> pl.DataFrame:
    """Rows of (customer, basket, item, days ago)."""
    return pl.DataFrame(
        {
            "customer_id": [row[0] for row in rows],
            "basket_id": [row[1] for row in rows],
            "item_id": [row[2] for row in rows],
            "event_timestamp": [NOW - timedelta(days=row[3]) for row in rows],
        },
        schema_overrides={"event_timestamp": pl.Datetime("us", "UTC")},
    )


def segments(**ids: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"customer_id": list(ids), "segment": list(ids.values())},
        schema={"customer_id": pl.String, "segment": pl.Int64},
    )


def test_scores_are_shares_of_baskets() -> None:
    bought = purchases([("a", "1", "x", 0), ("a", "1", "y", 0), ("b", "2", "x", 0), ("b", "3", "z", 0)])
    lists = popular(bought, ["x", "y", "z"], segments())
    assert [row for row, _ in lists.overall] == [0, 1, 2]
    assert [score for _, score in lists.overall] == pytest.approx([2 / 3, 1 / 3, 1 / 3])


def test_an_item_twice_in_a_basket_counts_once() -> None:
    bought = purchases([("a", "1", "x", 0), ("a", "1", "x", 0), ("b", "2", "y", 0), ("b", "3", "y", 0)])
    assert [row for row, _ in popular(bought, ["x", "y"], segments()).overall] == [1, 0]


def test_a_basket_one_half_life_old_weighs_half() -> None:
    bought = purchases([("a", "1", "x", 10), ("a", "2", "y", 0)])
    scores = dict(popular(bought, ["x", "y"], segments(), half_life_days=10).overall)
    assert scores[0] / scores[1] == pytest.approx(0.5)


def test_segments_have_their_own_lists() -> None:
    bought = purchases([("a", "1", "x", 0), ("b", "2", "y", 0), ("b", "3", "y", 0), ("c", "4", "y", 0)])
    lists = popular(bought, ["x", "y"], segments(a=0, b=1, d=2))
    assert lists.overall[0][0] == 1
    assert lists.by_segment == {0: ((0, 1.0),), 1: ((1, 1.0),), 2: ()}


def test_items_outside_the_catalogue_are_not_listed_and_length_cuts() -> None:
    bought = purchases([("a", "1", "q", 0), ("a", "1", "x", 0), ("a", "1", "y", 0)])
    assert popular(bought, ["x", "y"], segments(), length=1).overall == ((0, 1.0),)


def test_a_customer_in_two_segments_is_refused() -> None:
    twice = pl.concat([segments(a=0), segments(a=1)])
    with pytest.raises(DataError, match="Customer 'a'"):
        popular(purchases([("a", "1", "x", 0)]), ["x"], twice)


def test_every_item_has_the_score_that_the_list_is_ranked_by() -> None:
    bought = purchases([("a", "1", "x", 0), ("a", "1", "y", 3), ("b", "2", "x", 200), ("b", "3", "z", 50)])
    keys = ["x", "unsold", "y", "z"]
    scores = popularity(bought, keys)
    assert [(row, scores[row]) for row, _ in popular(bought, keys, segments()).overall] == list(
        popular(bought, keys, segments()).overall
    )
    assert scores[1] == 0.0
