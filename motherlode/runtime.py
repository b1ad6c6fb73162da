"""The bundle's models in ONNX Runtime: how serving asks them, and how a bundle is held to its training.

Publishing and serving load a bundle by this same module, so what verifies is what answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from motherlode import names
from motherlode.bundle import Bundle
from motherlode.compute import Compute
from motherlode.errors import BundleError, DeviceError
from motherlode.manifest import CAMPAIGN, PROBABILITY_TOLERANCE, VECTOR_TOLERANCE
from motherlode.standby import AGAIN_S, Standby
from motherlode.weak import weakly

_CUDA: Final = "CUDAExecutionProvider"
_ON_THE_CPU: Final = Compute("cpu", "The CPU was asked for.")
_OR_AUTO: Final = "Look for its own message above, or use `--device auto`."
_REMEDY: Final = "Train and publish again; the bundle before goes on serving."


@dataclass(frozen=True)
class _Opened:
    """A bundle's models on one device.

    Attributes:
        sessions: one a model, by its name.
        inputs: the names of each one's inputs.
    """

    sessions: Mapping[str, ort.InferenceSession]
    inputs: Mapping[str, Sequence[str]]


class Runtime:
    """A bundle's models, ready to answer. May be asked from several threads at once.

    Where the GPU fails later on (its memory is full, the device is gone), the CPU answers from then on, whether it was
    asked for by name or not: a request is worth more than the device. `compute` says so, and after a while the GPU is
    tried again, beside the requests; it answers again once it has answered the bundle's samples as training did.

    Args:
        bundle: as `bundle.load` reads it.
        compute: what to run on. Where its GPU turns out not to work, the CPU answers, and `compute` says so.
        strict: then fail instead: the GPU was asked for by name.
        again_s: seconds until a GPU that failed is tried again.

    Raises:
        BundleError: a model cannot be loaded, or does not take the inputs that the manifest names.
        DeviceError: the GPU does not work, and `strict`.
    """

    def __init__(
        self, bundle: Bundle, compute: Compute = _ON_THE_CPU, *, strict: bool = False, again_s: float = AGAIN_S
    ) -> None:
        self._bundle = bundle
        self._models = {**bundle.manifest.models, names.USER_TOWER: bundle.manifest.tower.model}
        self._compute = compute
        self._strict = strict
        # Beside a GPU too, and in advance: 40 ms and 34 MB at the demo's size, which a request need not wait for, and
        # which a machine in trouble may not have.
        self._on_cpu = self._open(_ON_THE_CPU)
        gpu = None
        if compute.kind == "gpu":
            try:
                gpu = self._open_gpu()
            except _NoGpuError as error:
                if strict:
                    raise DeviceError(f"{error}.", _OR_AUTO) from error.__cause__
                self._compute = Compute("cpu", f"{compute.reason} But {error}.")
        for name in self._models:
            self._check_shape(name)
        self._standby = Standby(f"bundle {bundle.manifest.version}", gpu, self._on_cpu, weakly(self._reopen), again_s)

    @property
    def compute(self) -> Compute:
        """What answers now, and why."""
        lost = self._standby.lost
        return self._compute if lost is None else Compute("cpu", f"{self._compute.reason} But it failed: {lost}")

    def run(self, name: str, features: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """A scorer's answers.

        Args:
            name: a model of the manifest.
            features: float32, shape (N, len(model.inputs)), finite.

        Returns:
            Labels, int64 of shape (N,), or probabilities, float32 of shape (N,).
        """
        return self._standby.ask(lambda opened: self._run(opened, name, features))

    def user(self, history: npt.NDArray[np.int64], features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """User vectors.

        Args:
            history: int64, shape (N, history_length): item rows plus one, newest first, then 0.
            features: float32, shape (N, len(tower.model.inputs)), finite.

        Returns:
            float32, shape (N, D).
        """
        return self._standby.ask(lambda opened: self._user(opened, history, features))

    def check(self) -> None:
        """Hold the models to what training answered on the bundle's samples.

        Raises:
            BundleError: samples are missing, an answer is not finite, or differs beyond its tolerance.
            DeviceError: on the CPU they answer so, on the GPU they do not, and `strict`.
        """
        self._standby.ask(self._check)
        if self._strict and self._standby.lost is not None:
            raise DeviceError(f"The GPU fails: {self._standby.lost}.", _OR_AUTO)

    def _run(self, opened: _Opened, name: str, features: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        (answer,) = opened.sessions[name].run([self._models[name].output], {"features": features})
        return np.asarray(answer)

    def _user(
        self, opened: _Opened, history: npt.NDArray[np.int64], features: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        # A tower without features has an ONNX graph without that input.
        given = {"history": history, "features": features}
        feed = {name: given[name] for name in opened.inputs[names.USER_TOWER]}
        (answer,) = opened.sessions[names.USER_TOWER].run([self._models[names.USER_TOWER].output], feed)
        return np.asarray(answer)

    def _check(self, opened: _Opened) -> None:
        for name in self._bundle.manifest.models:
            expected = self._sample(f"{name}.answer")
            actual = self._run(opened, name, self._sample(f"{name}.features").astype(np.float32))
            exact = np.issubdtype(expected.dtype, np.integer)
            self._compare(name, actual, expected, 0.0 if exact else PROBABILITY_TOLERANCE)
            if not exact and (actual.min() < 0.0 or actual.max() > 1.0):
                raise self._error(f"{name} answers {actual.min()} to {actual.max()}, which are no probabilities")
        answer = self._user(
            opened,
            self._sample(f"{names.USER_TOWER}.history").astype(np.int64),
            self._features(len(self._sample(f"{names.USER_TOWER}.history"))),
        )
        self._compare(names.USER_TOWER, answer, self._sample(f"{names.USER_TOWER}.answer"), VECTOR_TOLERANCE)
        if answer.shape[1] != self._bundle.vectors.shape[1]:
            raise self._error(f"users have {answer.shape[1]} dimensions, items {self._bundle.vectors.shape[1]}")

    def _reopen(self) -> _Opened:
        opened = self._open_gpu()
        self._check(opened)
        return opened

    def _open_gpu(self) -> _Opened:
        """The models on the GPU.

        Raises:
            _NoGpuError: they cannot be opened there.
        """
        ort.preload_dlls()  # CUDA from the wheels beside it, where the system has none
        try:
            opened = self._open(self._compute)
        except BundleError as error:
            # The CPU has opened the same files.
            raise _NoGpuError(f"ONNX Runtime {ort.__version__} cannot open them on the GPU: {error.problem}") from error
        if not all(_CUDA in each.get_providers() for each in opened.sessions.values()):
            raise _NoGpuError(f"ONNX Runtime {ort.__version__} cannot use CUDA here")
        return opened

    def _open(self, compute: Compute) -> _Opened:
        options = ort.SessionOptions()
        # One request is one small batch: threads cost more than they bring, and spinning ones starve the others.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        sessions = {}
        for name, model in self._models.items():
            content = self._bundle.content(model.file)
            try:
                # By itself ONNX Runtime falls back to the CPU after some errors, and tells nobody but the terminal.
                sessions[name] = ort.InferenceSession(
                    content, options, providers=compute.onnx_providers, enable_fallback=0
                )
            except Exception as error:  # ONNX Runtime's errors have no common base below Exception
                raise self._error(f"{model.file} cannot be loaded: {error}") from error
            # It would keep the file for a fallback that is switched off: as much memory again as the model takes.
            sessions[name]._model_bytes = None
        inputs = {name: [each.name for each in session.get_inputs()] for name, session in sessions.items()}
        return _Opened(sessions, inputs)

    def _check_shape(self, name: str) -> None:
        model, session, inputs = self._models[name], self._on_cpu.sessions[name], self._on_cpu.inputs[name]
        known = {"history", "features"} if name == names.USER_TOWER else {"features"}
        if not set(inputs) <= known:
            raise self._error(f"{model.file} takes {inputs}, not {sorted(known)}")
        if model.output not in [output.name for output in session.get_outputs()]:
            raise self._error(f"{model.file} has no output {model.output!r}")
        for each in session.get_inputs():
            width = each.shape[-1]
            wanted = self._bundle.manifest.tower.history_length if each.name == "history" else len(model.inputs)
            if isinstance(width, int) and width != wanted:
                raise self._error(f"{model.file} takes {width} columns of {each.name}, the manifest says {wanted}")

    def _features(self, n: int) -> npt.NDArray[np.float32]:
        """The tower's sample features; a tower without any may leave them out."""
        if not self._models[names.USER_TOWER].inputs:
            return np.empty((n, 0), dtype=np.float32)
        return self._sample(f"{names.USER_TOWER}.features").astype(np.float32)

    def _sample(self, name: str) -> npt.NDArray[Any]:
        sample = self._bundle.answers.get(name)
        if sample is None or len(sample) == 0:
            raise self._error(f"there are no sample answers {name!r} to hold it to")
        return sample

    def _compare(self, name: str, actual: npt.NDArray[Any], expected: npt.NDArray[Any], tolerance: float) -> None:
        if actual.shape != expected.shape:
            raise self._error(f"{name} answers with shape {actual.shape}, training with {expected.shape}")
        if not np.isfinite(actual).all():
            raise self._error(f"{name} answers NaN or infinity")
        worst = float(np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max())
        # Written so that a NaN among training's own answers is refused too.
        if not worst <= tolerance:
            raise self._error(f"{name} answers differ from training's by {worst:.3g}, more than {tolerance:g}")

    def _error(self, problem: str) -> BundleError:
        return BundleError(f"Bundle {self._bundle.manifest.version}: {problem}.", _REMEDY)


class _NoGpuError(Exception):
    """The models cannot be opened on the GPU, and why."""


def verify(bundle: Bundle) -> None:
    """Check that a bundle is whole and answers as its training did, on the CPU.

    Raises:
        BundleError: it does not, naming what.
    """
    check_parts(bundle)
    Runtime(bundle).check()


def check_parts(bundle: Bundle) -> None:
    """Check what the manifest says against itself, the item table and the popular lists.

    Raises:
        BundleError: they contradict each other, naming where.
    """
    manifest = bundle.manifest

    def refuse(problem: str) -> BundleError:
        return BundleError(f"Bundle {manifest.version}: {problem}.", _REMEDY)

    lengths = {len(bundle.items.ids), len(bundle.items.keys), len(bundle.items.names), len(bundle.items.categories)}
    lengths |= {len(each) for each in (bundle.items.prices, bundle.items.stock, bundle.items.popularity) if each}
    if len(lengths) != 1:
        raise refuse("the item table's columns differ in length")
    if len(set(bundle.items.keys)) != len(bundle.items.keys):
        raise refuse("the item table holds an item twice")
    segments = {segment.id for segment in manifest.segments}
    if strange := set(bundle.popular.by_segment) - segments:
        raise refuse(f"popular lists of segments {sorted(strange)}, which there are not")
    if names.SEGMENTS in manifest.models:
        labels = bundle.answers.get(f"{names.SEGMENTS}.answer", np.empty(0, np.int64))
        if strange := set(np.unique(labels).tolist()) - segments:
            raise refuse(f"the segment model answers {sorted(strange)}, which are no segments")
    rows = {row for ranked in (bundle.popular.overall, *bundle.popular.by_segment.values()) for row, _ in ranked}
    if strange := rows - set(range(len(bundle.items.ids))):
        raise refuse(f"a popular list names item rows {sorted(strange)[:3]} of {len(bundle.items.ids)}")
    readable = {
        (view.view, column.name)
        for service in manifest.services.values()
        for view in service.views
        for column in view.columns
    }
    for model in (*manifest.models.values(), manifest.tower.model):
        for each in model.inputs:
            if each.view != CAMPAIGN and (each.view, each.name) not in readable:
                raise refuse(f"{model.file} reads {each.view}.{each.name}, which no feature service holds")
            if not np.isfinite(each.default):
                raise refuse(f"the default of {each.view}.{each.name} is {each.default}")
