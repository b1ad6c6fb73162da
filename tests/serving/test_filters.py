"""A filter is part of the search, is refused where the bundle cannot answer it, and is worked out once."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest

from motherlode.api import SimilarRequest
from motherlode.manifest import ItemTable
from serving import filters as module
from serving.catalogue import Catalogue
from serving.filters import FilterError, Filters

TABLE = ItemTable(
    ids=(1, 2, 3, 4, 5),
    keys=("1", "2", "3", "4", "5"),
    names=("a", "b", "c", "d", "e"),
    categories=("tea", "tea", "milk", "", "milk"),
    prices=(1.0, 2.0, 3.0, None, 5.0),
    stock=(0.0, 7.0, None, 2.0, 1.0),
)


def filters(table: ItemTable = TABLE) -> Filters:
    vectors = np.ones((len(table.ids), 2), dtype=np.float32)
    return Filters(table, Catalogue(vectors))


def asked(**fields: Any) -> SimilarRequest:
    return SimilarRequest((), **fields)


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"categories": ("tea",)}, [0, 1]),
        ({"categories": ("milk", "tea")}, [0, 1, 2, 4]),
        ({"categories": ()}, []),
        ({"exclude_categories": ("tea",)}, [2, 3, 4]),
        ({"categories": ("tea", "milk"), "exclude_categories": ("tea",)}, [2, 4]),
        ({"min_price": 2.0}, [1, 2, 4]),
        ({"max_price": 2.0}, [0, 1]),
        ({"min_price": 2.0, "max_price": 3.0}, [1, 2]),
        ({"in_stock": True}, [1, 3, 4]),
        ({"in_stock": True, "min_price": 3.0}, [4]),
        ({"exclude_items": (2, "5", 77)}, [0, 2, 3]),
    ],
)
def test_what_a_filter_leaves(fields: Mapping[str, Any], left: list[int]) -> None:
    every = np.arange(5)
    narrowed = filters().narrow(asked(**fields))
    assert every[narrowed.among(every)].tolist() == left
    assert (narrowed.size, narrowed.narrowed) == (len(left), True)


def test_without_a_filter_there_is_everything() -> None:
    narrowed = filters().narrow(asked())
    assert (narrowed.allowed, narrowed.size, narrowed.narrowed, narrowed.notes) == (None, 5, False, ())
    assert not filters().narrow(asked(exclude_items=(77,))).narrowed


def test_what_nobody_is_recommended_is_left_out_of_everything() -> None:
    narrowed = filters().narrow(asked(exclude_items=(1,)), frozenset({"1", "2", "gone"}))
    assert narrowed.among(np.arange(5)).tolist() == [False, False, True, True, True]
    assert narrowed.size == 3


def test_a_category_that_there_is_not_is_told() -> None:
    narrowed = filters().narrow(asked(categories=("tea", "coffee"), exclude_categories=("beer",)))
    assert narrowed.notes == ("no item has the category 'beer'", "no item has the category 'coffee'")
    assert narrowed.size == 2


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ({"min_price": 1.0}, "min_price", "This bundle's items have no prices."),
        ({"max_price": 0.0}, "max_price", "This bundle's items have no prices."),
        ({"in_stock": True}, "in_stock", "This bundle's items have no stock."),
        ({"categories": ("tea",)}, "categories", "This bundle's items have no categories."),
        ({"exclude_categories": ("tea",)}, "exclude_categories", "This bundle's items have no categories."),
    ],
)
def test_a_filter_that_the_bundle_cannot_answer_is_refused(fields: Any, field: str, problem: str) -> None:
    bare = ItemTable(ids=(1,), keys=("1",), names=("a",), categories=("",))
    with pytest.raises(FilterError) as caught:
        filters(bare).check(asked(**fields))
    assert (caught.value.field, str(caught.value)) == (field, problem)
    assert caught.value.remedy == "It can be asked by exclude_items alone. See docs/data.md, `items`."


def test_a_refusal_names_what_there_is_and_prices_the_wrong_way_round_are_one() -> None:
    partly = ItemTable(ids=(1,), keys=("1",), names=("a",), categories=("tea",), prices=(2.0,))
    with pytest.raises(FilterError) as caught:
        filters(partly).check(asked(in_stock=True))
    assert caught.value.remedy.startswith("It knows their categories and prices.")
    with pytest.raises(FilterError, match="It is 3, above max_price, 2"):
        filters(partly).check(asked(min_price=3, max_price=2))


def test_equal_filters_are_worked_out_once_and_old_ones_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 2)
    some = filters()
    first = some.narrow(asked(categories=("tea", "milk")))
    assert some.narrow(asked(categories=("milk", "tea", "tea"))).allowed is first.allowed
    for price in (1.0, 2.0):
        some.narrow(asked(min_price=price))
    assert some.narrow(asked(categories=("tea", "milk"))).allowed is not first.allowed


@pytest.mark.parametrize("kept", [1, 2, 16])
def test_the_most_popular_that_a_filter_leaves_come_first_however_many_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr("serving.catalogue._LEADING", kept)
    known = filters(msgspec.structs.replace(TABLE, popularity=(0.1, 0.5, 0.3, 0.4, 0.2)))
    assert known.popular.tolist() == [1, 3, 2, 4, 0]
    narrowed = known.narrow(asked(exclude_categories=("",), min_price=0.0))
    for count in (1, 3, 2, 9, 4):
        assert known.leading(narrowed, count).tolist() == [1, 2, 4, 0][:count]
        assert known.leading(known.everything, count).tolist() == [1, 3, 2, 4, 0][:count]
    untold = filters()
    for each in (untold.everything, untold.narrow(asked(min_price=0.0))):
        assert untold.leading(each, 3).tolist() == [], "the table does not say how popular its items are"
