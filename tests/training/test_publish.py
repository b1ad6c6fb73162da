"""Publishing: what was written is verified once more, made current, and old bundles go."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motherlode import __version__, bundles
from motherlode.errors import BundleError
from motherlode.index import Index
from motherlode.manifest import ITEM_INDEX, NEIGHBOUR_INDEX, RECALL, Model, Tower
from motherlode.settings import Settings
from training import publish
from training.publish import Recommender


def test_versions_sort_by_time() -> None:
    moments = [datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC) for second in (5, 6, 59)]
    versions = [publish.version_of(moment) for moment in moments]
    assert versions == sorted(versions)
    assert versions[0] == "20260102T030405Z"


def test_a_version_that_was_never_written_is_refused_with_those_that_were(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.models.mkdir()
    with pytest.raises(BundleError, match="no bundle 'nonsense'") as caught:
        publish.publish(settings, "nonsense")
    assert "none" in caught.value.remedy
    assert not (settings.models / bundles.CURRENT).exists()


def test_the_libraries_that_made_a_model_are_named_with_their_versions() -> None:
    found = publish.libraries()
    assert found["motherlode"] == __version__
    assert found["polars"].startswith("1.39.")
    assert found["torch"].startswith("2.13.0")


def test_the_revision_is_a_commit_or_nothing() -> None:
    revision = publish.git_revision()
    assert revision == "" or (len(revision) == 40 and int(revision, 16))


def recommender(vectors: Any, queries: Any) -> Recommender:
    """As much of one as an index is made of."""
    none: Any = None
    return Recommender(none, b"", none, vectors, queries, none, none, none, none)


def test_a_large_catalogue_gets_an_index_with_its_measured_recall() -> None:
    draw = np.random.default_rng(3)
    vectors = np.repeat(draw.standard_normal((60, 32), dtype=np.float32), 200, axis=0)
    vectors += 0.3 * draw.standard_normal(vectors.shape, dtype=np.float32)
    queries = vectors[draw.integers(0, len(vectors), 120)]
    index, files, why = publish.index_of(recommender(vectors, queries), exact_items=10_000)
    assert index is not None
    assert (index.file, index.exact_items, index.queries, why) == (ITEM_INDEX, 10_000, 60, {})
    assert index.recall >= RECALL
    assert Index(files[ITEM_INDEX]).items == len(vectors)
    assert publish.index_of(recommender(vectors, queries), exact_items=12_000) == (None, {}, {})


def test_an_index_that_finds_too_little_is_left_out_with_the_reason() -> None:
    draw = np.random.default_rng(4)
    vectors = draw.standard_normal((8000, 64), dtype=np.float32)
    queries = draw.standard_normal((100, 64), dtype=np.float32)
    index, files, why = publish.index_of(recommender(vectors, queries), exact_items=1000)
    assert (index, files) == (None, {})
    assert why["search index"].endswith("of 8000; every search is exact")
    _, _, why = publish.index_of(recommender(vectors, queries[:99]), exact_items=1000)
    assert why == {"search index": "its recall cannot be measured by 99 customers"}


@pytest.mark.parametrize("biased", [True, False])
def test_a_large_catalogue_gets_an_index_of_similar_items_measured_by_items(biased: bool) -> None:
    draw = np.random.default_rng(3)
    vectors = np.repeat(draw.standard_normal((60, 32), dtype=np.float32), 200, axis=0)
    vectors += 0.3 * draw.standard_normal(vectors.shape, dtype=np.float32)
    vectors *= np.exp(draw.standard_normal((len(vectors), 1), dtype=np.float32))
    if biased:
        vectors[:, -1] = 50  # by which all of them would be alike
    tower = Tower(Model("user_tower.onnx", (), "user"), 5, 0.5, biased)
    made = replace(recommender(vectors, vectors[:0]), tower=tower)
    index, files, why = publish.similar_index_of(made, exact_items=10_000)
    assert index is not None
    assert (index.file, index.exact_items, index.queries, why) == (NEIGHBOUR_INDEX, 10_000, 200, {})
    assert index.recall >= RECALL
    assert Index(files[NEIGHBOUR_INDEX]).items == len(vectors)
    assert publish.similar_index_of(made, exact_items=12_000) == (None, {}, {})


def test_an_index_of_similar_items_that_finds_too_little_is_left_out_with_the_reason() -> None:
    vectors = np.random.default_rng(4).standard_normal((8000, 64), dtype=np.float32)
    made = replace(recommender(vectors, vectors[:0]), tower=Tower(Model("user_tower.onnx", (), "user"), 5, 0.5))
    index, files, why = publish.similar_index_of(made, exact_items=1000)
    assert (index, files) == (None, {})
    assert why["index of similar items"].endswith("of 8000; they are looked for exactly")
