"""The GPU's search of a catalogue is the CPU's, to the last tie."""

import numpy as np
import pytest

from motherlode.compute import Compute, Room
from motherlode.product import Product
from serving.catalogue import Catalogue
from training.search_graph import search_graph

pytestmark = pytest.mark.gpu


def test_the_best_items_are_the_same(gpu: Room) -> None:
    draw = np.random.default_rng(21)
    vectors = draw.normal(size=(50_000, 65)).astype(np.float32)
    vectors[::7] = vectors[0]
    queries = draw.normal(size=(20, 65)).astype(np.float32)
    device = Compute("gpu", "a test")
    there = Catalogue(vectors, opening=lambda: Product(search_graph(), vectors, "gpu", device.onnx_providers))
    here = Catalogue(vectors)
    for mask in (None, draw.random(50_000) < 0.3, draw.random(50_000) < 0.001):
        aside = [draw.integers(0, 50_000, 300) for _ in queries]
        ours, theirs = (
            each.search(queries, 25, None if mask is None else each.allow(mask), aside) for each in (here, there)
        )
        assert there.how == "on the GPU"
        for a, b in zip(ours, theirs, strict=True):
            assert a.rows.tolist() == b.rows.tolist()
            assert a.scores.tolist() == b.scores.tolist()
