"""Items like an item: by the cosine of brute force, without what popularity adds, under the same filters."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from motherlode import bundle
from motherlode.api import SimilarRequest
from motherlode.bundle import Bundle
from serving.catalogue import Catalogue
from serving.filters import Filters
from serving.similar import Similar

if TYPE_CHECKING:
    from tests.serving.conftest import Company


@pytest.fixture
def loaded(company: "Company") -> Bundle:
    return bundle.load(bundle.current(company.settings.models))


def neighbours(loaded: Bundle, *ids: int | str, k: int = 10, **fields: object) -> list[tuple[list[object], list[str]]]:
    filters = Filters(loaded.items, Catalogue(loaded.vectors))
    narrowed = filters.narrow(SimilarRequest((), **fields))  # type: ignore[arg-type]
    found = Similar(loaded, filters).neighbours(ids, k, narrowed)
    assert [each.item_id for each in found] == list(ids)
    return [([item.item_id for item in each.items], each.notes) for each in found]


def by_cosine(vectors: np.ndarray, row: int) -> list[int]:
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    order = np.lexsort((np.arange(len(unit)), -(unit @ unit[row])))
    return [1000 + int(each) for each in order if each != row]


def test_the_nearest_are_those_of_brute_force_in_the_order_asked(loaded: Bundle) -> None:
    found = neighbours(loaded, 1007, "1003", 1007, k=6)
    assert [items for items, _ in found] == [by_cosine(loaded.vectors, row)[:6] for row in (7, 3, 7)]
    assert all(notes == [] for _, notes in found)


def test_an_item_s_bias_says_nothing_of_what_it_is_like(loaded: Bundle) -> None:
    tower = msgspec.structs.replace(loaded.manifest.tower, biased=True)
    manifest = msgspec.structs.replace(loaded.manifest, tower=tower)
    biased = Bundle(loaded.folder, manifest, loaded.items, loaded.vectors, loaded.popular, loaded.answers)
    ((items, _),) = neighbours(biased, 1007, k=29)
    assert items == by_cosine(loaded.vectors[:, :-1], 7)
    assert items != by_cosine(loaded.vectors, 7)


def test_filters_are_inside_and_a_short_list_says_why(loaded: Bundle) -> None:
    out = tuple(range(1010, 1030))
    ((items, notes),) = neighbours(loaded, 1007, k=12, exclude_items=out)
    assert items == [each for each in by_cosine(loaded.vectors, 7) if each not in out]
    assert notes == ["9 of 12 items: the catalogue has 30, the item itself among them, 10 pass the filters"]


def test_an_unknown_item_has_an_empty_list_and_a_note(loaded: Bundle) -> None:
    unknown, known = neighbours(loaded, "nowhere", 1001, k=1)
    assert unknown == ([], ["there is no such item in the catalogue"])
    assert known[0] == by_cosine(loaded.vectors, 1)[:1]


def test_a_vector_of_no_length_is_like_nothing(loaded: Bundle) -> None:
    vectors = loaded.vectors.copy()
    vectors[7] = 0
    still = Bundle(loaded.folder, loaded.manifest, loaded.items, vectors, loaded.popular, loaded.answers)
    ((items, _),) = neighbours(still, 1007, k=3)
    assert items == [1000, 1001, 1002]
