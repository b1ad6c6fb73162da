"""The search as a graph on a device: on the CPU it gives what NumPy gives; `tests/gpu` asks the GPU the same."""

import numpy as np
import pytest

from motherlode.errors import BundleError
from motherlode.product import Product
from training.search_graph import search_graph

CPU = ["CPUExecutionProvider"]


@pytest.fixture
def graph() -> bytes:
    return search_graph()


def test_the_best_of_a_batch_are_the_best_of_each(graph: bytes) -> None:
    draw = np.random.default_rng(2)
    vectors = draw.integers(-3, 4, (500, 6)).astype(np.float32)
    queries = draw.integers(-3, 4, (4, 6)).astype(np.float32)
    rows, scores = Product(graph, vectors, "cpu", CPU).best(queries, 12)
    for query, found, value in zip(queries, rows, scores, strict=True):
        every = vectors @ query
        assert value.tolist() == sorted(every.tolist(), reverse=True)[:12]
        assert every[found].tolist() == value.tolist()
        assert len(set(found.tolist())) == 12


def test_what_is_barred_comes_last_with_minus_infinity(graph: bytes) -> None:
    vectors = np.arange(5, dtype=np.float32)[:, None]
    allowed = np.array([True, False, True, False, False])
    rows, scores = Product(graph, vectors, "cpu", CPU).best(np.ones((1, 1), np.float32), 3, allowed)
    assert rows[0, :2].tolist() == [2, 0]
    assert scores[0].tolist() == [2.0, 0.0, -np.inf]


def test_a_graph_that_is_none_is_named() -> None:
    with pytest.raises(BundleError, match=r"search\.onnx cannot be loaded"):
        Product(b"?", np.ones((1, 1), np.float32), "cpu", CPU)


def test_where_onnx_runtime_has_no_cuda_it_is_not_taken_for_a_gpu(graph: bytes) -> None:
    with pytest.raises(BundleError, match="cannot use CUDA here"):
        Product(graph, np.ones((1, 1), np.float32), "gpu", CPU)
