"""Items like an item: by the cosine of brute force, without what popularity adds, under the same filters."""

import asyncio
import math
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from litestar.testing import TestClient

from motherlode import bundle, bundles
from motherlode.api import ItemFilters, SimilarAnswer, SimilarRequest
from motherlode.bundle import Bundle
from motherlode.errors import BundleError
from motherlode.index import Index, examined_for, unit
from motherlode.index import build as build_index
from motherlode.manifest import ITEM_TABLE, NEIGHBOUR_INDEX, ItemTable, SearchIndex
from motherlode.runtime import Runtime
from serving import engine as engine_module
from serving.catalogue import Catalogue, Searched
from serving.engine import Engine
from serving.filters import Filters
from serving.http import build
from serving.live import Live, Pace
from serving.ranking import Deadline
from serving.reading import connect
from serving.served import share_of
from serving.sight import Health, Sight
from serving.similar import Similar, open_similar
from serving.trial import Bounds
from tests.serving.conftest import ITEMS, bundle_files, make_manifest

if TYPE_CHECKING:
    from tests.serving.conftest import Company

OVER = Deadline(-math.inf, "the bell rang")


@pytest.fixture
def loaded(company: "Company") -> Bundle:
    return bundle.load(bundles.current(company.settings.models))


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


def searched(vectors: np.ndarray, examined: int) -> Searched:
    asked = SearchIndex("", exact_items=0, examined=examined, recall=1.0, queries=0)
    return Searched(Index(build_index(unit(vectors), 0, rows_a_list=4)), asked, examined_for)


@pytest.mark.parametrize(
    "fields", [{}, {"exclude_items": tuple(range(1010, 1022))}, {"categories": ("c",), "exclude_items": (1003,)}]
)
def test_an_index_that_reads_everything_finds_what_all_cosines_find(loaded: Bundle, fields: Any) -> None:
    filters = Filters(loaded.items, Catalogue(loaded.vectors))
    narrowed = filters.narrow(ItemFilters(**fields))
    exact, indexed = Similar(loaded, filters), Similar(loaded, filters, searched(loaded.vectors, ITEMS))
    ids = [1000 + row for row in range(ITEMS)]
    for k in (1, 7, 40):
        assert indexed.neighbours(ids, k, narrowed) == exact.neighbours(ids, k, narrowed)
    assert indexed.recall() == 1.0
    assert Similar(loaded, filters, searched(loaded.vectors, 1)).recall() < 0.9


def test_lists_do_not_depend_on_what_else_is_asked_or_how_much_a_filter_leaves(loaded: Bundle) -> None:
    draw = np.random.default_rng(8)
    many = 400
    table = msgspec.structs.replace(
        loaded.items,
        ids=tuple(range(many)),
        keys=tuple(map(str, range(many))),
        names=("",) * many,
        categories=tuple("rare" if row % 20 == 0 else "common" for row in range(many)),
    )
    vectors = draw.normal(size=(many, 9)).astype(np.float32)
    vectors[::40] = vectors[0]
    large = Bundle(loaded.folder, loaded.manifest, table, vectors, loaded.popular, loaded.answers)
    filters = Filters(table, Catalogue(vectors))
    similar = Similar(large, filters)
    for fields in ({}, {"categories": ("rare",)}, {"categories": ("common",)}):
        narrowed = filters.narrow(ItemFilters(**fields))  # type: ignore[arg-type]
        together = similar.neighbours(range(many), 5, narrowed)
        for row in range(0, many, 7):
            assert similar.neighbours([row], 5, narrowed)[0] == together[row]
            fit = [each for each in range(many) if each != row and narrowed.among(np.array([each]))[0]]
            cosines = unit(vectors).astype(np.float64) @ unit(vectors)[row].astype(np.float64)
            best = sorted(cosines[fit].tolist(), reverse=True)[:5]
            assert [item.score for item in together[row].items] == pytest.approx(best, abs=2e-5)


def test_a_bundle_s_index_is_used_where_it_finds_enough_and_refused_where_it_is_of_something_else(
    company: "Company",
) -> None:
    vectors = bundle.load(bundles.current(company.settings.models)).vectors
    right = build_index(unit(vectors), 0, rows_a_list=4)

    def opened(version: str, index: bytes, **changes: Any) -> Similar:
        said = SearchIndex(NEIGHBOUR_INDEX, exact_items=5, examined=30, recall=0.99, queries=100)
        manifest = msgspec.structs.replace(
            make_manifest(version, company.settings.project), similar=msgspec.structs.replace(said, **changes)
        )
        files = {**bundle_files(), NEIGHBOUR_INDEX: index}
        made = bundle.load(bundle.write(company.settings.models, manifest, files, lambda _: None))
        return open_similar(made, Filters(made.items, Catalogue(made.vectors)))

    assert opened("v2", right)._index is not None
    assert opened("v3", right, examined=1)._index is None, "it finds too little"
    assert opened("v4", right, recall=0.979)._index is None
    with pytest.raises(BundleError, match=r"neighbours\.index of bundle v5 has 12 items of 30"):
        opened("v5", build_index(unit(vectors[:12]), 0, rows_a_list=4))
    with pytest.raises(BundleError, match="cannot be read"):
        opened("v6", b"?")


def test_where_there_is_no_time_they_are_the_nearest_of_the_most_popular(loaded: Bundle) -> None:
    """Of items 1000 to 1019, since this bundle says no more of how popular its items are."""
    filters = Filters(loaded.items, Catalogue(loaded.vectors))
    narrowed = filters.narrow(ItemFilters(exclude_items=(1003,)))
    found = Similar(loaded, filters).neighbours([1007, "nowhere"], 4, narrowed, OVER)
    right = [each for each in by_cosine(loaded.vectors, 7) if each < 1020 and each != 1003]
    assert [item.item_id for item in found[0].items] == right[:4]
    assert found[0].status == "degraded"
    assert found[0].notes == ["not the nearest of all: the bell rang; they are of the 18 most popular"]
    assert (found[1].status, found[1].items) == ("cold", [])
    table = msgspec.structs.replace(loaded.items, popularity=tuple(float(row) for row in range(ITEMS)))
    told = Bundle(loaded.folder, loaded.manifest, table, loaded.vectors, loaded.popular, loaded.answers)
    filters = Filters(table, Catalogue(loaded.vectors))
    (found_all,) = Similar(told, filters).neighbours([1007], 4, filters.everything, OVER)
    assert [item.item_id for item in found_all.items] == by_cosine(loaded.vectors, 7)[:4]


def test_a_search_that_hangs_is_waited_for_no_longer_than_the_budget_and_is_counted(
    company: "Company", loaded: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_INLINE", 0)
    settings, sight = replace(company.settings, rank_budget_s=0.1), Sight()
    free = threading.Event()

    async def run() -> str:
        client = connect(settings)
        engine = Engine(settings, loaded, Runtime(loaded), client, sight=sight)
        whole = await engine.similar_items(SimilarRequest((1007, "nowhere"), 3))
        exactly = engine._similar._exactly

        def hangs(*asked: Any) -> Any:
            assert free.wait(20)
            return exactly(*asked)

        engine._similar._exactly = hangs  # type: ignore[method-assign, assignment]
        began = time.monotonic()
        late = await engine.similar_items(SimilarRequest((1007,), 3))
        assert time.monotonic() - began < 5
        free.set()
        assert [each.status for each in (*whole.results, *late.results)] == ["ok", "cold", "degraded"]
        assert "ranking took longer than 0.1 s" in late.results[0].notes[0]
        assert len(late.results[0].items) == 3
        assert late.device == "cpu"
        await client.aclose()
        return await sight.text(Health("v1", "cpu", None, True))

    text = asyncio.run(run())
    for status in ("ok", "cold", "degraded"):
        assert f'motherlode_answers_total{{route="similar",bundle="v1",status="{status}",source=""}} 1' in text
    assert 'motherlode_degraded_total{reason="rank_timeout"} 1' in text


def test_a_canary_answers_its_share_of_the_items(company: "Company") -> None:
    settings = replace(company.settings, canary=0.5)
    ids = [1000 + row for row in range(ITEMS)]

    async def run() -> None:
        client = connect(settings)
        live = Live(settings, client, pace=Pace(0.0, 0.1, 60.0), bounds=Bounds(slower=1e9))
        company.publish("v2")
        trying = asyncio.create_task(live.refresh())
        seen: dict[int, set[str]] = {}
        end = time.monotonic() + 30
        while not any("v2" in versions for versions in seen.values()) and time.monotonic() < end:
            for each in ids:
                answer: SimilarAnswer = await live.similar_items(SimilarRequest((each,), 2))
                seen.setdefault(each, set()).add(answer.bundle)
            await asyncio.sleep(0.05)  # what loads the bundle wants its turn
        theirs = {each for each, versions in seen.items() if "v2" in versions}
        assert theirs, (live.refused, live.engine.version, trying)
        assert theirs <= {each for each in ids if share_of(each) < 0.5}
        trying.cancel()
        with suppress(asyncio.CancelledError):
            await trying
        await client.aclose()

    asyncio.run(run())


def test_a_bundle_that_finds_no_neighbours_is_refused_in_shadow(company: "Company") -> None:
    async def run() -> None:
        client = connect(company.settings)
        live = Live(company.settings, client, pace=Pace(0.0, 0.5))
        await live.similar_items(SimilarRequest((1000,), 2))
        files = bundle_files()
        table = msgspec.json.decode(files[ITEM_TABLE], type=ItemTable)
        keys = tuple(str(5000 + row) for row in range(ITEMS))
        files[ITEM_TABLE] = msgspec.json.encode(msgspec.structs.replace(table, keys=keys))
        bundle.write(company.settings.models, make_manifest("v2", company.settings.project), files, lambda _: None)
        bundles.flip(company.settings.models, "v2")
        trying = asyncio.create_task(live.refresh())
        while not trying.done():
            for row in range(ITEMS):
                await live.similar_items(SimilarRequest((1000 + row,), 2))
            await asyncio.sleep(0.02)
        assert live.refused is not None
        assert "of 0% of the items others like them are found, of 100% they were" in live.refused
        assert live.engine.version == "v1"
        await client.aclose()

    asyncio.run(run())


def test_readiness_says_how_the_catalogue_is_searched(company: "Company") -> None:
    with TestClient(build(company.settings)) as client:
        assert client.get("/readyz").json()["search"] == "exactly"
        found = client.post("/v1/similar/items", json={"item_ids": [1007, "nowhere"], "k": 2}).json()["results"]
        assert [each["status"] for each in found] == ["ok", "cold"]
        assert 'route="similar"' in client.get("/metrics").text
