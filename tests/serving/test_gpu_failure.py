"""CUDA fails in the middle of an answer: the answer comes all the same, and says that the CPU gave it."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import onnxruntime as ort
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from motherlode import bundle
from motherlode.api import RecommendRequest, ScoreRequest
from motherlode.compute import Compute
from motherlode.runtime import Runtime
from serving.engine import Engine
from serving.reading import connect

if TYPE_CHECKING:
    from tests.serving.conftest import Company


class Card:
    """Sessions on the GPU that run on the CPU, and fail from when `full` is set."""

    def __init__(self) -> None:
        self.full = False
        self._real = ort.InferenceSession

    def open(self, content: bytes, options: Any, *, providers: list[Any], enable_fallback: int) -> Any:
        session = self._real(content, options, providers=["CPUExecutionProvider"], enable_fallback=enable_fallback)
        if len(providers) > 1:
            run = session.run

            def on_gpu(outputs: list[str], feed: Mapping[str, Any]) -> Any:
                if self.full:
                    raise RuntimeException("CUDA failure 2: out of memory")
                return run(outputs, feed)

            session.run, session.get_providers = on_gpu, lambda: ["CUDAExecutionProvider"]
        return session


def test_an_answer_that_cuda_fails_is_the_cpus_and_says_so(company: "Company", monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card()
    monkeypatch.setattr(ort, "InferenceSession", card.open)
    loaded = bundle.load(bundle.current(company.settings.models))

    async def run() -> None:
        client = connect(company.settings)
        asked = Engine(company.settings, loaded, Runtime(loaded, Compute("gpu", "A card.")), client)
        well = await asked.score(ScoreRequest((1, 2)))
        assert well.device == "gpu"
        card.full = True
        score, items = await asyncio.gather(asked.score(ScoreRequest((1, 2))), asked.recommend(RecommendRequest((1,))))
        assert score.device == items.device == "cpu"
        assert [each.scores for each in score.results] == [each.scores for each in well.results]
        assert items.results[0].source == "personal"
        assert asked.compute.reason == "A card. But it failed: RuntimeException: CUDA failure 2: out of memory"
        await client.aclose()

    asyncio.run(run())
