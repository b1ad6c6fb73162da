"""Recommendations: the exact best items, filtered inside the search, and a reason for every fallback."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from motherlode import bundle, bundles, contacts, names
from motherlode.api import RecommendAnswer, Recommendation, RecommendRequest
from motherlode.manifest import ITEM_TABLE, ItemTable
from motherlode.online.keys import entity_text, row_key, suppressed_key
from motherlode.runtime import Runtime
from serving.engine import Engine
from serving.filters import FilterError
from serving.reading import connect
from tests.serving.conftest import ITEMS, bundle_files, make_manifest

if TYPE_CHECKING:
    from tests.serving.conftest import Company

DAY_S = 86_400
Ask = Callable[..., list[Recommendation]]


@pytest.fixture
def ask(company: "Company") -> Ask:
    """Recommendations for customers, by an engine of the company's bundle."""

    async def recommend(request: RecommendRequest) -> RecommendAnswer:
        client = connect(company.settings)
        loaded = bundle.load(bundles.current(company.settings.models))
        try:
            return await Engine(company.settings, loaded, Runtime(loaded), client).recommend(request)
        finally:
            await client.aclose()

    def asked(*ids: int | str, k: int = 10, exclude_purchased: bool = False, **filters: Any) -> list[Recommendation]:
        return asyncio.run(recommend(RecommendRequest(ids, k, exclude_purchased, **filters))).results

    return asked


def brute_force(company: "Company", left_out: set[int]) -> list[tuple[int, float]]:
    """(item id, score) of every item for the known customer, best first: latest 1003, 1004; repeats of both."""
    loaded = bundle.load(bundles.current(company.settings.models))
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


@pytest.fixture
def shop(company: "Company") -> "Company":
    """The company with prices 1 to 30, every third item out of stock, two categories, and every item's popularity."""
    files = bundle_files()
    table = msgspec.json.decode(files[ITEM_TABLE], type=ItemTable)
    known = msgspec.structs.replace(
        table,
        categories=tuple("odd" if row % 2 else "even" for row in range(ITEMS)),
        prices=tuple(float(row + 1) for row in range(ITEMS)),
        stock=tuple(float(row % 3) for row in range(ITEMS)),
        popularity=tuple(0.5 - row / 100 for row in range(ITEMS)),
    )
    files[ITEM_TABLE] = msgspec.json.encode(known)
    manifest = make_manifest("v2", company.settings.project)
    bundle.write(company.settings.models, manifest, files, lambda _: None)
    bundles.flip(company.settings.models, "v2")
    return company


FILTER: Any = {
    "categories": ("odd",),
    "min_price": 3.0,
    "max_price": 26.0,
    "in_stock": True,
    "exclude_items": (1001, 1013),
}
FIT = [row for row in range(ITEMS) if row % 2 and 3 <= row + 1 <= 26 and row % 3 and row not in (1, 13)]


def test_the_best_under_a_filter_are_those_of_brute_force_over_what_it_allows(shop: "Company", ask: Ask) -> None:
    (answer,) = ask(1, k=5, **FILTER)
    right = brute_force(shop, set(range(ITEMS)) - set(FIT))
    assert [item.item_id for item in answer.items] == [item for item, _ in right][:5]
    assert (answer.source, answer.notes) == ("personal", [])
    (short,) = ask(1, k=30, exclude_purchased=True, **FILTER)
    assert [item.item_id for item in short.items] == [item for item, _ in right]
    assert short.notes == [f"{len(FIT)} of 30 items: the catalogue has 30, {len(FIT)} pass the filters"]


def test_a_favourite_that_a_filter_forbids_is_not_recommended(shop: "Company", ask: Ask) -> None:
    (answer,) = ask(1, k=30, max_price=4.0)
    assert {item.item_id for item in answer.items} == {1000, 1001, 1002, 1003}
    (bought,) = ask(1, k=30, max_price=4.0, exclude_purchased=True)
    assert bought.notes == [
        "2 of 30 items: the catalogue has 30, 4 pass the filters, 2 were left out as already bought"
    ]


@pytest.mark.parametrize("customer", [1, "nobody"])
def test_a_filter_that_nothing_passes_is_an_empty_list_with_the_reason(
    shop: "Company", ask: Ask, customer: int | str
) -> None:
    (answer,) = ask(customer, k=4, categories=("nothing",))
    assert answer.items == []
    assert answer.notes[-1] == "0 of 4 items: the catalogue has 30, 0 pass the filters"
    assert "no item has the category 'nothing'" in answer.notes


def test_what_is_popular_respects_the_filter_and_is_not_emptied_by_it(shop: "Company", ask: Ask) -> None:
    """The popular list ends at item 1019; what passes lies beyond it."""
    (answer,) = ask("nobody", k=3, min_price=25.0)
    assert (answer.source, [item.item_id for item in answer.items]) == ("popular", [1024, 1025, 1026])
    shop.put("rfm", "new", recency_days=4.0, recency_score=5)
    shop.put("spending", "new", basket_value_mean=1.0, trend_4w_12w=1.0)
    (segment,) = ask("new", k=4, categories=("odd",), min_price=12.0)
    assert (segment.source, [item.item_id for item in segment.items]) == ("segment", [1011, 1013, 1015, 1017])
    scores = [item.score for item in segment.items]
    assert scores == sorted(scores, reverse=True)


def test_an_item_that_is_held_back_is_recommended_to_nobody(shop: "Company", ask: Ask) -> None:
    before = {item.item_id for each in ask(1, "nobody", k=30) for item in each.items}
    assert before == {1000 + row for row in range(ITEMS)}
    shop.client.sadd(suppressed_key(shop.settings.project), 1000, 1004, "1020")
    after = ask(1, "nobody", k=30)
    assert [{item.item_id for item in each.items} for each in after] == [before - {1000, 1004, 1020}] * 2
    assert after[0].notes == ["27 of 30 items: the catalogue has 30, 27 pass the filters"]


def test_while_redis_hangs_the_filter_holds_for_what_is_popular(shop: "Company", ask: Ask) -> None:
    with shop.hanging():
        (answer,) = ask(1, k=3, min_price=25.0)
    assert (answer.status, [item.item_id for item in answer.items]) == ("degraded", [1024, 1025, 1026])


def test_a_filter_on_what_the_bundle_has_not_is_refused(ask: Ask) -> None:
    with pytest.raises(FilterError, match="This bundle's items have no prices"):
        ask(1, min_price=1.0)


def test_whoever_may_not_be_looked_at_is_told_that_nothing_was_left_out(company: "Company", ask: Ask) -> None:
    """`profiling` is opt-in, and the customer never said a word."""
    (answer,) = ask(1, k=20, exclude_purchased=True, purpose="profiling")
    assert (answer.status, answer.source, answer.features_age_s) == ("withheld", "popular", None)
    assert {1000, 1003, 1004} <= {item.item_id for item in answer.items}
    assert answer.notes == [
        "there is no consent to 'profiling'",
        "purchases were not left out: without consent they are not used",
    ]
    (plain,) = ask(1, k=20, purpose="profiling")
    assert (plain.items, plain.notes) == (answer.items, answer.notes[:1])


def test_whoever_was_contacted_often_enough_gets_nothing_that_they_have(company: "Company", ask: Ask) -> None:
    company.settings = replace(company.settings, caps="service=1/7d")
    company.client.set(contacts.contacts_key(company.settings.project, entity_text(("1",))), b"nobody can read this")
    plain, other = ask(1, 2, k=20)
    assert (plain.status, plain.source, other.status) == ("capped", "popular", "ok")
    assert {1000, 1003, 1004} <= {item.item_id for item in plain.items}
    (answer,) = ask(1, k=20, exclude_purchased=True)
    assert (answer.status, answer.source) == ("capped", "popular")
    assert [item.item_id for item in answer.items] == [1000 + row for row in range(20) if row not in (0, 3, 4)]
    company.client.delete(row_key("motherlode", names.PURCHASES, "1"), row_key("motherlode", names.HISTORY, "1"))
    (unknown,) = ask(1, k=20, exclude_purchased=True)
    assert "purchases are unknown, nothing was left out" in unknown.notes


def test_what_is_popular_in_a_segment_is_without_what_was_bought(company: "Company", ask: Ask) -> None:
    company.put("rfm", "new", recency_days=4.0, recency_score=5)
    company.put("spending", "new", basket_value_mean=1.0, trend_4w_12w=1.0)
    company.put(names.PURCHASES, "new", purchased_items=["1005", "1007"])
    (answer,) = ask("new", k=3, exclude_purchased=True)
    assert (answer.source, [item.item_id for item in answer.items]) == ("segment", [1006, 1008, 1009])
    company.client.delete(row_key("motherlode", names.PURCHASES, "new"))
    (unknown,) = ask("new", k=3, exclude_purchased=True)
    assert [item.item_id for item in unknown.items] == [1005, 1006, 1007]
    assert "purchases are unknown, nothing was left out" in unknown.notes


def test_while_redis_hangs_it_is_told_that_nothing_was_left_out(company: "Company", ask: Ask) -> None:
    with company.hanging():
        (answer,) = ask(1, k=3, exclude_purchased=True)
    assert (answer.status, answer.source) == ("degraded", "popular")
    assert "purchases are unknown, nothing was left out" in answer.notes


def test_nobody_without_consent_is_ranked_for(company: "Company") -> None:
    loaded = bundle.load(bundles.current(company.settings.models))
    runtime = Runtime(loaded)
    asked = runtime.user
    seen: list[int] = []

    def user(history: Any, features: Any) -> Any:
        seen.append(len(history))
        return asked(history, features)

    async def run() -> None:
        client = connect(company.settings)
        engine = Engine(company.settings, loaded, runtime, client)
        runtime.user = user  # type: ignore[method-assign]
        await engine.recommend(RecommendRequest((1, 2), purpose="profiling"))
        assert seen == []
        await engine.recommend(RecommendRequest((1, 2)))
        assert seen == [2]
        await client.aclose()

    asyncio.run(run())
