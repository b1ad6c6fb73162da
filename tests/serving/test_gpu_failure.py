"""CUDA fails in the middle of an answer: the answer comes all the same, and says that the CPU gave it."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import onnxruntime as ort
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from motherlode import bundle, product
from motherlode.api import RecommendRequest, ScoreRequest
from motherlode.compute import Compute
from motherlode.errors import DeviceError
from motherlode.manifest import SEARCH
from motherlode.product import Product
from motherlode.runtime import Runtime
from serving import recommendation
from serving.catalogue import open_catalogue
from serving.engine import Engine
from serving.reading import connect
from tests.serving.conftest import bundle_files, make_manifest
from training.search_graph import search_graph

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
            bound = session.run_with_iobinding

            def bound_on_gpu(binding: Any) -> None:
                if self.full:
                    raise RuntimeException("CUDA failure 2: out of memory")
                bound(binding)

            session.run_with_iobinding = bound_on_gpu
        return session


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    """In this machine, whose vectors it holds in the CPU's memory."""
    made = Card()
    monkeypatch.setattr(ort, "InferenceSession", made.open)
    monkeypatch.setitem(product._DEVICES, "gpu", "cpu")
    return made


def with_search(company: "Company", version: str) -> bundle.Bundle:
    files = {**bundle_files(), SEARCH: search_graph()}
    manifest = make_manifest(version, company.settings.project)
    folder = bundle.write(company.settings.models, manifest, files, lambda _: None)
    return bundle.load(folder)


def test_an_answer_that_cuda_fails_is_the_cpus_and_says_so(company: "Company", card: Card) -> None:
    loaded = with_search(company, "v2")

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
        assert asked.search == "exactly; the GPU failed: RuntimeException: CUDA failure 2: out of memory"
        await client.aclose()

    asyncio.run(run())


class Search:
    """What the catalogue alone asks of the card."""

    def __init__(self, card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        best = Product.best

        def asked(held: Product, *question: Any) -> Any:
            if self.full:
                raise RuntimeException("CUDA failure 2: out of memory")
            return best(held, *question)

        monkeypatch.setattr(Product, "best", asked)


def test_a_search_that_cuda_fails_is_the_cpus_and_says_so_until_the_card_is_well_again(
    company: "Company", card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, search = with_search(company, "v2"), Search(card, monkeypatch)
    monkeypatch.setattr(recommendation, "open_catalogue", partial(open_catalogue, again_s=0.05))

    async def run() -> None:
        client = connect(company.settings)
        asked = Engine(company.settings, loaded, Runtime(loaded, Compute("gpu", "A card.")), client)
        well = await asked.recommend(RecommendRequest((1,), 5))
        assert (well.device, asked.search) == ("gpu", "on the GPU")
        search.full = True
        ill = await asked.recommend(RecommendRequest((1,), 5))
        assert ill.device == "cpu"
        assert [each.items for each in ill.results] == [each.items for each in well.results]
        lost = "RuntimeException: CUDA failure 2: out of memory"
        assert asked.compute == Compute("cpu", f"A card. But it failed at the search of the catalogue: {lost}")
        assert asked.search == f"exactly; the GPU failed: {lost}"
        score = await asked.score(ScoreRequest((1,)))
        assert score.device == "gpu", "the models are as well as ever"
        search.full = False
        end = time.monotonic() + 5
        while (again := await asked.recommend(RecommendRequest((1,), 5))).device == "cpu":
            assert time.monotonic() < end
            await asyncio.sleep(0.005)
        assert again.results[0].items == well.results[0].items
        assert asked.compute == Compute("gpu", "A card.")
        await client.aclose()

    asyncio.run(run())


def test_a_card_too_full_for_the_catalogue_does_not_refuse_the_bundle_unless_it_was_asked_for_by_name(
    company: "Company", card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, search = with_search(company, "v2"), Search(card, monkeypatch)
    search.full = True

    async def run() -> None:
        client = connect(company.settings)
        models = Runtime(loaded, Compute("gpu", "A card."))
        asked = Engine(company.settings, loaded, models, client)
        assert (asked.compute.kind, models.compute.kind) == ("cpu", "gpu")
        answer = await asked.recommend(RecommendRequest((1,), 5))
        assert (answer.device, answer.results[0].source) == ("cpu", "personal")
        with pytest.raises(DeviceError, match="The GPU cannot search the catalogue: RuntimeException: CUDA failure 2"):
            Engine(replace(company.settings, device="gpu"), loaded, models, client)
        await client.aclose()

    asyncio.run(run())
