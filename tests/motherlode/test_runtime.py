"""The bundle's models in ONNX Runtime: they answer as trained, and whatever does not is refused by name."""

import gc
import io
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import DeviceReset, EPFail, Fail, InvalidArgument, RuntimeException

from motherlode import bundle
from motherlode.bundle import Bundle
from motherlode.compute import Compute
from motherlode.errors import BundleError, DeviceError
from motherlode.manifest import (
    ANSWERS,
    FORMAT,
    ITEM_TABLE,
    ITEM_VECTORS,
    POPULAR,
    Input,
    ItemTable,
    Manifest,
    Model,
    Popular,
    Segment,
    Service,
    Tower,
)
from motherlode.online.reader import ViewRequest
from motherlode.packed import Column
from motherlode.runtime import Runtime, check_parts, verify

INPUTS = (Input("v", "x", 0.0), Input("v", "y", 1.0))
WEIGHTS = np.array([0.5, -0.25], dtype=np.float32)
VECTORS = np.eye(3, dtype=np.float32)
X = np.array([[1.0, 2.0], [-3.0, 4.0], [0.0, 0.0]], dtype=np.float32)
HISTORY = np.array([[1, 2], [3, 0], [0, 0]], dtype=np.int64)
ROWS = np.vstack([np.zeros((1, 3)), VECTORS]).astype(np.float32)


def graph(nodes: list[Any], inputs: list[Any], output: Any, weights: Mapping[str, Any]) -> bytes:
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, [output], stored),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def features(width: int) -> Any:
    return helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])


def probability() -> bytes:
    nodes = [helper.make_node("MatMul", ["features", "w"], ["s"]), helper.make_node("Sigmoid", ["s"], ["probability"])]
    return graph(
        nodes, [features(2)], helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"]), {"w": WEIGHTS}
    )


def segments() -> bytes:
    nodes = [helper.make_node("ArgMax", ["features"], ["label"], axis=1, keepdims=0)]
    return graph(nodes, [features(2)], helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]), {})


def tower() -> bytes:
    """A user is the sum of the items of the history; there are no features."""
    nodes = [
        helper.make_node("Gather", ["rows", "history"], ["items"]),
        helper.make_node("ReduceSum", ["items", "axis"], ["user"], keepdims=0),
    ]
    history = helper.make_tensor_value_info("history", TensorProto.INT64, ["n", 2])
    output = helper.make_tensor_value_info("user", TensorProto.FLOAT, ["n", 3])
    return graph(nodes, [history], output, {"rows": ROWS, "axis": np.array([1], dtype=np.int64)})


TRAINED: Mapping[str, Any] = {
    "response.features": X,
    "response.answer": 1 / (1 + np.exp(-(X @ WEIGHTS))),
    "segments.features": X,
    "segments.answer": X.argmax(axis=1),
    "user_tower.history": HISTORY,
    "user_tower.answer": ROWS[HISTORY].sum(axis=1),
}

MANIFEST = Manifest(
    format=FORMAT,
    version="v1",
    created_at="2026-01-01T00:00:00+00:00",
    git_revision="",
    code_fingerprint="",
    identity="",
    data_fingerprint="f",
    project="p",
    device="cpu",
    device_reason="asked for",
    services={"s": Service("s", (ViewRequest("v", (Column("x", "float32"), Column("y", "float32")), None),))},
    models={"response": Model("r.onnx", INPUTS, "probability"), "segments": Model("s.onnx", INPUTS, "label")},
    segments=(Segment(0, "A", 0.5, "", 1), Segment(1, "B", 0.5, "", 1)),
    tower=Tower(Model("t.onnx", (), "user"), 2, 0.0),
    quality=(),
    libraries={},
    files={},
)


@pytest.fixture
def good(tmp_path: Path) -> Bundle:
    """A bundle that verifies."""
    vectors, answers = io.BytesIO(), io.BytesIO()
    np.save(vectors, VECTORS)
    np.savez(answers, **TRAINED)
    files = {
        "r.onnx": probability(),
        "s.onnx": segments(),
        "t.onnx": tower(),
        ITEM_VECTORS: vectors.getvalue(),
        ITEM_TABLE: msgspec.json.encode(ItemTable((1, 2, 3), ("1", "2", "3"), ("a", "b", "c"), ("", "", ""))),
        POPULAR: msgspec.json.encode(Popular(((0, 1.0),), {0: ((2, 1.0),)})),
        ANSWERS: answers.getvalue(),
    }
    return bundle.load(bundle.write(tmp_path, MANIFEST, files, lambda _: None))


def manifest_with(good: Bundle, **changes: Any) -> Bundle:
    return replace(good, manifest=msgspec.structs.replace(good.manifest, **changes))


def answers_with(good: Bundle, **changes: Any) -> Bundle:
    return replace(good, answers={**good.answers, **{name.replace("__", "."): each for name, each in changes.items()}})


def test_models_answer_as_trained(good: Bundle) -> None:
    verify(good)
    models = Runtime(good)
    assert models.compute.kind == "cpu"
    assert models.run("response", X) == pytest.approx(TRAINED["response.answer"], abs=1e-6)
    assert models.run("segments", X).tolist() == [1, 1, 0]
    assert models.user(HISTORY, np.empty((3, 0), np.float32)).tolist() == TRAINED["user_tower.answer"].tolist()


def test_a_model_that_is_swapped_after_the_bundle_was_checked_is_never_run(good: Bundle) -> None:
    """Another model of the same shape, that somebody puts there in the moment between."""
    (good.folder / "r.onnx").write_bytes(probability().replace(WEIGHTS.tobytes(), (-WEIGHTS).tobytes()))
    with pytest.raises(BundleError, match=r"r\.onnx of bundle v1 is not the file that was published"):
        Runtime(good)


def test_the_files_of_the_models_are_not_kept_in_memory(good: Bundle) -> None:
    """ONNX Runtime has a copy of its own."""
    read: list[bytes] = []

    class Watched(Bundle):
        """Remembers what it was asked for."""

        def content(self, name: str) -> bytes:
            read.append(super().content(name))
            return read[-1]

    models = Runtime(Watched(**vars(good)))
    assert len(read) == 3
    while read:
        content = read.pop()
        assert sys.getrefcount(content) == 2, "this name's and the question's"
    models.check()


def test_models_are_freed_when_nobody_has_them_any_more(good: Bundle) -> None:
    """Not when the collector next looks at the oldest objects: a bundle is replaced while the one before is in use."""
    gc.disable()
    try:
        models = Runtime(good)
        models.check()
        gone = weakref.ref(models)
        del models
        assert gone() is None
    finally:
        gc.enable()


def test_a_difference_within_the_tolerance_passes_and_beyond_it_is_refused(good: Bundle) -> None:
    right = TRAINED["response.answer"]
    verify(answers_with(good, response__answer=right + 0.9e-5))
    with pytest.raises(BundleError, match="response answers differ from training's by 2e-05"):
        verify(answers_with(good, response__answer=right + 2e-5))
    users = TRAINED["user_tower.answer"]
    verify(answers_with(good, user_tower__answer=users + 0.9e-4))
    with pytest.raises(BundleError, match="user_tower answers differ"):
        verify(answers_with(good, user_tower__answer=users + 2e-4))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"response__answer": np.full(3, np.nan, np.float32)}, "response answers differ"),
        ({"response__features": np.full((3, 2), np.nan, np.float32)}, "response answers NaN"),
        ({"response__answer": np.zeros(2, np.float32)}, r"shape \(3,\), training with \(2,\)"),
        ({"response__answer": np.empty(0, np.float32)}, "no sample answers 'response.answer'"),
        ({"segments__answer": np.array([0, 1, 1])}, "segments answers differ"),
        ({"segments__answer": np.array([0, 1, 9])}, r"the segment model answers \[9\]"),
    ],
)
def test_wrong_answers_are_refused(good: Bundle, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(BundleError, match=problem):
        verify(answers_with(good, **changes))


def test_missing_samples_are_refused(good: Bundle) -> None:
    with pytest.raises(BundleError, match=r"no sample answers 'user_tower\.history'"):
        verify(replace(good, answers={k: v for k, v in good.answers.items() if k != "user_tower.history"}))


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (Model("r.onnx", INPUTS[:1], "probability"), "takes 2 columns of features, the manifest says 1"),
        (Model("r.onnx", INPUTS, "nowhere"), "has no output 'nowhere'"),
        (Model("items.npy", INPUTS, "probability"), r"items\.npy cannot be loaded"),
        (Model("gone.onnx", INPUTS, "probability"), r"vouches for no gone\.onnx"),
        (Model("t.onnx", INPUTS, "user"), r"t\.onnx takes \['history'\], not \['features'\]"),
        (Model("r.onnx", (INPUTS[0], Input("w", "z", 0.0)), "probability"), "reads w.z, which no feature service"),
        (Model("r.onnx", (INPUTS[0], Input("v", "y", float("nan"))), "probability"), "default of v.y is nan"),
    ],
)
def test_a_model_that_is_not_what_the_manifest_says_is_refused(good: Bundle, model: Model, problem: str) -> None:
    with pytest.raises(BundleError, match=problem):
        verify(manifest_with(good, models={**good.manifest.models, "response": model}))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"popular": Popular(((3, 1.0),), {})}, r"item rows \[3\] of 3"),
        ({"popular": Popular(((-1, 1.0),), {})}, r"item rows \[-1\] of 3"),
        ({"popular": Popular((), {7: ()})}, r"segments \[7\]"),
        ({"items": ItemTable((1, 2, 3), ("1", "1", "3"), ("a", "b", "c"), ("", "", ""))}, "an item twice"),
        ({"items": ItemTable((1, 2, 3), ("1", "2", "3"), ("a", "b"), ("", "", ""))}, "differ in length"),
        ({"vectors": np.eye(3, 2, dtype=np.float32)}, "users have 3 dimensions, items 2"),
    ],
)
def test_parts_that_contradict_each_other_are_refused(good: Bundle, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(BundleError, match=problem):
        verify(replace(good, **changes))


def test_the_parts_of_a_good_bundle_fit(good: Bundle) -> None:
    check_parts(good)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_does_not_work_is_the_cpu_with_the_reason_or_an_error(good: Bundle) -> None:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("ONNX Runtime has CUDA here")
    gpu = Compute("gpu", "A card.")
    fallen = Runtime(good, gpu)
    assert fallen.compute.kind == "cpu"
    assert fallen.compute.reason.startswith("A card. But ONNX Runtime")
    fallen.check()
    with pytest.raises(DeviceError, match="cannot use CUDA"):
        Runtime(good, gpu, strict=True)


class OnDemand:
    """ONNX Runtime's sessions, of which those on the GPU run on the CPU, and fail when they are told to.

    Attributes:
        fails: what the next runs on the GPU raise; empty: they answer.
        opens: whether it can be opened on the GPU at all.
    """

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.spared = 0
        self.wrong = 0.0
        self.opens = True
        self.opened = 0
        self._session = ort.InferenceSession

    def open(self, content: bytes, options: Any, *, providers: list[Any], **more: Any) -> "Faked":
        on_gpu = len(providers) > 1
        assert more == {"enable_fallback": 0}
        if on_gpu and not self.opens:
            raise RuntimeException("CUDA failure 2: out of memory")
        self.opened += on_gpu
        return Faked(self, self._session(content, options, providers=["CPUExecutionProvider"]), on_gpu)


class Faked:
    """One session of `OnDemand`."""

    def __init__(self, told: OnDemand, session: Any, on_gpu: bool) -> None:
        self._told, self._session, self._on_gpu = told, session, on_gpu
        self.get_inputs, self.get_outputs = session.get_inputs, session.get_outputs

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider"] * self._on_gpu + ["CPUExecutionProvider"]

    def run(self, outputs: list[str], feed: Mapping[str, Any]) -> list[Any]:
        if self._on_gpu and self._told.fails is not None:
            if not self._told.spared:
                raise self._told.fails
            self._told.spared -= 1
        answer: list[Any] = self._session.run(outputs, feed)
        return [each + self._told.wrong for each in answer] if self._on_gpu and self._told.wrong else answer


@pytest.fixture
def on_demand(monkeypatch: pytest.MonkeyPatch) -> OnDemand:
    told = OnDemand()
    monkeypatch.setattr(ort, "InferenceSession", told.open)
    return told


# What ONNX Runtime raises for CUDA out of memory, a kernel that fails, a device that was reset, and one that is gone.
ERRORS = (
    RuntimeException("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : CUDA failure 2: out of memory"),
    Fail("[ONNXRuntimeError] : 1 : FAIL : CUBLAS failure 14"),
    EPFail("[ONNXRuntimeError] : 11 : EP_FAIL : CUDA failure 719: unspecified launch failure"),
    DeviceReset("[ONNXRuntimeError] : DEVICE_RESET"),
    MemoryError("std::bad_alloc"),
)
CARD = Compute("gpu", "A card.")


@pytest.mark.parametrize("error", ERRORS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("spared", [0, 2])
def test_a_gpu_that_fails_is_answered_for_by_the_cpu_which_says_so(
    good: Bundle, on_demand: OnDemand, error: Exception, spared: int
) -> None:
    models = Runtime(good, CARD, strict=spared == 0)
    models.check()
    assert models.compute == CARD
    on_demand.fails, on_demand.spared = error, spared
    for at in range(3):
        assert models.run("response", X) == pytest.approx(TRAINED["response.answer"], abs=1e-6)
        assert models.compute.kind == ("gpu" if at < spared else "cpu")
    assert models.user(HISTORY, np.empty((3, 0), np.float32)).tolist() == TRAINED["user_tower.answer"].tolist()
    assert models.compute.reason == f"A card. But it failed: {type(error).__name__}: {error}"


def test_many_threads_are_answered_while_the_gpu_fails_and_comes_back(good: Bundle, on_demand: OnDemand) -> None:
    models, stop, seen, errors = Runtime(good, CARD, again_s=0.02), threading.Event(), set(), []

    def ask() -> None:
        while not stop.is_set():
            try:
                seen.add(tuple(models.run("segments", X).tolist()))
            except Exception as error:  # noqa: BLE001 - none is expected, of whatever kind
                errors.append(error)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for each in asking:
        each.start()
    for _ in range(3):
        on_demand.fails = ERRORS[0]
        wait_for(models, "cpu")
        on_demand.fails = None
        wait_for(models, "gpu")
    stop.set()
    for each in asking:
        each.join()
    assert errors == []
    assert seen == {(1, 1, 0)}


def test_it_comes_back_only_when_it_answers_as_trained(good: Bundle, on_demand: OnDemand) -> None:
    models = Runtime(good, CARD, again_s=0.01)
    on_demand.fails = ERRORS[3]
    models.run("segments", X)
    on_demand.fails, on_demand.wrong, opened = None, 0.5, on_demand.opened
    until = time.monotonic() + 5
    while on_demand.opened < opened + 6 and time.monotonic() < until:  # two tries, of three models each
        assert models.run("segments", X).tolist() == [1, 1, 0]
        assert models.compute.kind == "cpu"
    assert on_demand.opened >= opened + 6
    on_demand.wrong = 0.0
    wait_for(models, "gpu")


def test_a_gpu_without_room_for_the_models_is_the_cpu_or_an_error(good: Bundle, on_demand: OnDemand) -> None:
    on_demand.opens = False
    models = Runtime(good, CARD)
    assert models.compute.kind == "cpu"
    assert "cannot open them on the GPU" in models.compute.reason
    assert "out of memory" in models.compute.reason
    models.check()
    with pytest.raises(DeviceError, match="out of memory"):
        Runtime(good, CARD, strict=True)


def test_a_gpu_that_answers_wrong_is_the_cpu_or_an_error(good: Bundle, on_demand: OnDemand) -> None:
    on_demand.wrong = 0.5
    models = Runtime(good, CARD)
    models.check()
    assert "response answers differ from training's by 0.5" in models.compute.reason
    assert models.compute.kind == "cpu"
    with pytest.raises(DeviceError, match="response answers differ"):
        Runtime(good, CARD, strict=True).check()


def test_wrong_inputs_are_the_callers_and_cost_no_gpu(good: Bundle, on_demand: OnDemand) -> None:
    models = Runtime(good, CARD)
    with pytest.raises(InvalidArgument):
        models.run("response", X[:, :1])
    assert models.compute == CARD


def wait_for(models: Runtime, kind: str) -> None:
    until = time.monotonic() + 5
    while models.compute.kind != kind:
        assert time.monotonic() < until
        models.run("segments", X)
