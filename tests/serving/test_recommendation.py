"""Recommendations: the exact best items, filtered inside the search, and a reason for every fallback."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from motherlode import bundle, names
from motherlode.api import RecommendAnswer, Recommendation, RecommendRequest
from motherlode.online.keys import row_key
from motherlode.runtime import Runtime
from serving.engine import Engine
from serving.reading import connect
from serving.recommendation import top_k

if TYPE_CHECKING:
    from tests.serving.conftest import Company

DAY_S = 86_400
Ask = Callable[..., list[Recommendation]]


@pytest.fixture
def ask(company: "Company") -> Ask:
    """Recommendations for customers, by an engine of the company's bundle."""
    loaded = bundle.load(bundle.current(company.settings.models))

    async def recommend(request: RecommendRequest) -> RecommendAnswer:
        client = connect(company.settings)
        try:
            return await Engine(company.settings, loaded, Runtime(loaded), client).recommend(request)
        finally:
            await client.aclose()

    def asked(*ids: int | str, k: int = 10, exclude_purchased: bool = False) -> list[Recommendation]:
        return asyncio.run(recommend(RecommendRequest(ids, k, exclude_purchased))).results

    return asked


def brute_force(company: "Company", left_out: set[int]) -> list[tuple[int, float]]:
    """(item id, score) of every item for the known customer, best first: latest 1003, 1004; repeats of both."""
    loaded = bundle.load(bundle.current(company.settings.models))
    vectors = loaded.vectors.astype(np.float64)
    user = vectors[3] + vectors[4] + 0.001 * (4.0 + 5.0)
    scores = vectors @ user
    scores[3] += 0.5 * np.log1p(9.0)
    scores[4] += 0.5 * np.log1p(4.0)
    order = sorted((row for row in range(len(scores)) if row not in left_out), key=lambda row: -scores[row])
    return [(1000 + row, float(scores[row])) for row in order]


def test_the_best_items_are_those_of_brute_force(company: "Company", ask: Ask) -> None:
    (answer,) = ask(1, k=7)
    assert (answer.status, answer.source, answer.notes) == ("ok", "personal", [])
    right = brute_force(company, set())[:7]
    assert [item.item_id for item in answer.items] == [item for item, _ in right]
    assert [item.score for item in answer.items] == pytest.approx([score for _, score in right], abs=1e-4)
    assert answer.items[0].name == f"Item {answer.items[0].item_id}"


def test_purchased_items_are_left_out_before_the_best_are_taken(company: "Company", ask: Ask) -> None:
    (answer,) = ask(1, k=7, exclude_purchased=True)
    right = brute_force(company, {0, 3, 4})[:7]
    assert [item.item_id for item in answer.items] == [item for item, _ in right]
    assert answer.notes == []


def test_more_than_the_catalogue_is_a_short_list_with_the_reason(ask: Ask) -> None:
    (answer,) = ask(1, k=2000)
    assert len(answer.items) == 30
    assert answer.notes == ["30 of 2000 items: the catalogue has 30"]
    (without,) = ask(1, k=30, exclude_purchased=True)
    assert len(without.items) == 27
    assert without.notes == ["27 of 30 items: the catalogue has 30, 3 were left out as already bought"]


def test_everything_filtered_out_is_an_empty_list_with_the_reason(company: "Company", ask: Ask) -> None:
    company.put(names.PURCHASES, "1", age_s=1, purchased_items=[str(1000 + row) for row in range(30)])
    (answer,) = ask(1, exclude_purchased=True)
    assert (answer.source, answer.items) == ("personal", [])
    assert answer.notes == ["0 of 10 items: the catalogue has 30, 30 were left out as already bought"]


def test_an_unknown_customer_gets_what_is_popular(ask: Ask) -> None:
    (answer,) = ask("nobody", k=3)
    assert (answer.status, answer.source) == ("cold", "popular")
    assert [item.item_id for item in answer.items] == [1000, 1001, 1002]
    assert answer.notes


def test_a_popular_list_that_is_too_short_says_so(ask: Ask) -> None:
    (answer,) = ask("nobody", k=25)
    assert len(answer.items) == 20
    assert answer.notes[-1] == "20 of 25 items: the popular list has 20"


def test_without_a_history_the_segment_answers(company: "Company", ask: Ask) -> None:
    company.put("rfm", "new", recency_days=4.0, recency_score=5)
    company.put("spending", "new", basket_value_mean=1.0, trend_4w_12w=1.0)
    known, new = ask(1, "new", k=2)
    assert known.source == "personal"
    assert (new.status, new.source) == ("degraded", "segment")
    assert [item.item_id for item in new.items] == [1005, 1006]
    assert new.notes == [
        "history has no row",
        "not personal: there is no readable purchase of an item in the catalogue",
        "popular in the segment 'Loyal'",
    ]


def test_an_empty_segment_list_falls_to_what_is_popular_with_all(company: "Company", ask: Ask) -> None:
    company.put("rfm", "lapsed", recency_days=20.0, recency_score=1)
    company.put("spending", "lapsed", basket_value_mean=1.0, trend_4w_12w=1.0)
    (answer,) = ask("lapsed", k=1)
    assert (answer.source, answer.items[0].item_id) == ("popular", 1000)


def test_a_stale_history_is_not_used(company: "Company", ask: Ask) -> None:
    company.client.flushall()
    company.put_customer("1", age_s=40 * DAY_S)
    (answer,) = ask(1, k=1)
    assert (answer.status, answer.source) == ("stale", "popular")
    assert "history is stale: 40.0 days old, 35.0 are allowed" in answer.notes


def test_a_history_of_items_that_are_gone_is_not_personal(company: "Company", ask: Ask) -> None:
    company.put(names.HISTORY, "1", age_s=1, latest_items=["gone"], top_items=["gone"], top_weights=np.ones(1, "f4"))
    (answer,) = ask(1, k=1)
    assert (answer.status, answer.source) == ("ok", "segment")


def test_unknown_purchases_are_told(company: "Company", ask: Ask) -> None:
    company.client.delete(row_key("motherlode", names.PURCHASES, "1"))
    (answer,) = ask(1, k=30, exclude_purchased=True)
    assert answer.status == "degraded"
    assert "purchases are unknown, only those in the history were left out" in answer.notes
    assert {item.item_id for item in answer.items}.isdisjoint({1003, 1004})


def test_recommendations_do_not_depend_on_the_batch(company: "Company", ask: Ask) -> None:
    company.put(names.HISTORY, "2", age_s=1, latest_items=["1009"], top_items=["1009"], top_weights=np.ones(1, "f4"))
    alone = [ask(each)[0].items for each in (1, 2)]
    assert [each.items for each in ask(1, "nobody", 2)][::2] == alone


@given(
    scores=hnp.arrays(
        np.float32,
        st.integers(0, 40),
        elements=st.sampled_from([-np.inf, -1.0, 0.0, 1.0, 2.0, np.float32(2.0000002)]),
    ),
    k=st.integers(1, 50),
)
def test_top_k_is_a_stable_sort_whatever_the_ties(scores: Any, k: int) -> None:
    right = sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:k]
    assert top_k(scores, k).tolist() == right
