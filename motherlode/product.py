"""The exact product on a device: every item's score and the best of them, computed where the item vectors lie.

The graph is a file of the bundle (`training.search_graph`), three operators without a weight; the vectors are sent
to the device once. The CPU runs the same graph, which is how it is tested where there is no GPU.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from motherlode.errors import BundleError
from motherlode.manifest import SEARCH
from motherlode.nearest import Floats, Mask, Rows

USERS: Final = "users"
ITEMS: Final = "items"
BARRED: Final = "barred"
COUNT: Final = "count"
BEST: Final = "best"
ROWS: Final = "rows"

_DEVICES: Final = {"gpu": "cuda", "cpu": "cpu"}
_CUDA: Final = "CUDAExecutionProvider"


class Product:
    """A catalogue on a device. May be asked from several threads at once.

    Args:
        graph: the content of the bundle's `search.onnx`.
        vectors: float32, shape (items, D).
        kind: "gpu" or "cpu".
        providers: ONNX Runtime's, as `Compute.onnx_providers`.

    Raises:
        BundleError: the graph cannot be loaded, or the vectors cannot be sent.
    """

    def __init__(
        self, graph: bytes, vectors: Floats, kind: str, providers: Sequence[str | tuple[str, dict[str, str]]]
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._device = _DEVICES[kind]
        try:
            # By itself ONNX Runtime falls back to the CPU after some errors, and tells nobody but the terminal.
            self._session = ort.InferenceSession(graph, options, providers=list(providers), enable_fallback=0)
            if kind == "gpu" and _CUDA not in self._session.get_providers():
                raise RuntimeError(f"ONNX Runtime {ort.__version__} cannot use CUDA here")
            self._items = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(vectors), self._device, 0)
        except Exception as error:  # ONNX Runtime's errors have no common base below Exception
            raise BundleError(f"{SEARCH} cannot be loaded: {error}.", "Train and publish again.") from error
        self._size = len(vectors)
        self._every = self._barred(np.ones(self._size, dtype=np.bool_))

    def best(self, queries: Floats, count: int, allowed: Mask | None = None) -> tuple[Rows, npt.NDArray[np.float32]]:
        """The best rows of each query, the best first.

        Args:
            queries: float32, shape (N, D).
            count: how many each; at most as many as there are items.
            allowed: shape (items,): which rows there are for this question; None: all.

        Returns:
            Rows and scores, both of shape (N, count); rows that are not allowed have minus infinity.

        Raises:
            Exception: whatever ONNX Runtime raises, which has no common base: the device is gone, its memory is full.
        """
        binding = self._session.io_binding()
        binding.bind_cpu_input(USERS, np.ascontiguousarray(queries))
        binding.bind_ortvalue_input(ITEMS, self._items)
        binding.bind_ortvalue_input(BARRED, self._every if allowed is None else self._barred(allowed))
        binding.bind_cpu_input(COUNT, np.array([count], dtype=np.int64))
        binding.bind_output(BEST)
        binding.bind_output(ROWS)
        self._session.run_with_iobinding(binding)
        scores, rows = binding.copy_outputs_to_cpu()
        return np.asarray(rows), np.asarray(scores)

    def _barred(self, allowed: Mask) -> Any:
        """What is added to every score: 0, or minus infinity."""
        added = np.where(allowed, np.float32(0), np.float32(-np.inf))
        return ort.OrtValue.ortvalue_from_numpy(added, self._device, 0)
