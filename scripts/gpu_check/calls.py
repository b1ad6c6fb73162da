"""Our real calls, bound to the real signatures.

The GPU room's functions run on example data, each RAPIDS module in them replaced by a `StandIn`: an
attribute must exist on the real object; a call's arguments must fit the real signature, and constructors
run for real. Only what needs a GPU is done otherwise: `fit` and `as_sklearn` fit the scikit-learn model
that cuML's own conversion of its parameters names. So a parameter that changed its meaning gives another
model than the CPU room's, and that is compared too.
"""

import functools
import inspect
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Final
from unittest import mock

import numpy as np
import polars as pl
import xgboost
from cuml.internals.base import Base as Estimator

from motherlode.compute import cpu
from motherlode.compute.room import Room
from motherlode.errors import DeviceError
from scripts.gpu_check import coverage, execution
from scripts.gpu_check.verdict import Verdict

STOOD_IN_FOR: Final = ("cuml", "cudf", "cudf_polars", "cupy", "rmm", "pylibcudf", "xgboost")
"""Packages of which nothing reaches the GPU room but by a stand-in."""

_TOLERANCE: Final = 1e-4
_ROWS: Final = 240
_FEATURES: Final = 4


class Uncovered(Exception):  # noqa: N818 - says what is the matter
    """A call that nothing here knows how to check."""


class StandIn:
    """A real object whose attributes and calls are checked against it.

    Args:
        real: the object of the installed library.
        path: what it is called: "cuml.KMeans".
    """

    def __init__(self, real: Any, path: str) -> None:
        self._real = real
        self._path = path

    def __getattr__(self, name: str) -> "StandIn":
        try:
            return StandIn(getattr(self._real, name), f"{self._path}.{name}")
        except AttributeError:
            raise AttributeError(f"{self._path} has no {name}") from None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            inspect.signature(self._real).bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._path}: {error}") from None
        if inspect.isclass(self._real) and issubclass(self._real, Estimator):
            return FittedStandIn(self._real(*args, **kwargs), self._path)
        if self._path not in _WITHOUT_GPU:
            raise Uncovered(f"{self._path}() is called, and {Path(__file__).name} knows no way to check it")
        return _WITHOUT_GPU[self._path](*args, **kwargs)


class FittedStandIn:
    """A real cuML estimator that was really constructed; its methods' arguments are bound, not executed."""

    def __init__(self, real: Any, path: str) -> None:
        self._real = real
        self._path = path
        self._twin: Any = None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not hasattr(self._real, name):
            raise AttributeError(f"{self._path} has no {name}")
        if name not in ("fit", "set_params", "as_sklearn"):
            raise Uncovered(f"{self._path}.{name} is used, and {Path(__file__).name} knows no way to check it")
        method = getattr(self._real, name)
        act: Callable[..., Any] = getattr(self, f"_{name}")

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                bound = inspect.signature(method).bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self._path}.{name}: {error}") from None
            return act(bound)

        return call

    def _fit(self, bound: inspect.BoundArguments) -> "FittedStandIn":
        self._twin = _sklearn_twin(self._real).fit(bound.arguments["X"], bound.arguments.get("y"))
        return self

    def _set_params(self, bound: inspect.BoundArguments) -> "FittedStandIn":
        self._real.set_params(*bound.args, **bound.kwargs)
        return self

    def _as_sklearn(self, _bound: inspect.BoundArguments) -> Any:
        self._real._params_to_cpu()  # what as_sklearn() does first; it fails on parameters that cannot be carried over
        if self._twin is None:
            raise Uncovered(f"{self._path}.as_sklearn() is called before fit()")
        return self._twin


def _sklearn_twin(estimator: Any) -> Any:
    """The scikit-learn model that cuML says has the same parameters; arrays are carried over by name."""
    given = estimator.get_params()
    arrays = {name: value for name, value in given.items() if isinstance(value, np.ndarray)}
    bare = type(estimator)(**{name: value for name, value in given.items() if name not in arrays})
    return estimator._get_cpu_class()(**{**bare._params_to_cpu(), **arrays})


class _TrainedBooster:
    """A booster trained on the CPU that says of itself what one trained on the GPU would say."""

    def __init__(self, booster: xgboost.Booster, device: str) -> None:
        self._booster = booster
        self._device = device

    def save_config(self) -> str:
        config = json.loads(self._booster.save_config())
        config["learner"]["generic_param"]["device"] = f"{self._device}:0"
        return json.dumps(config)

    def set_param(self, *args: Any, **kwargs: Any) -> None:
        self._booster.set_param(*args, **kwargs)

    def predict(self, data: xgboost.DMatrix) -> Any:
        return self._booster.predict(data)


def _train(params: Mapping[str, Any], *args: Any, **kwargs: Any) -> _TrainedBooster:
    if params["device"] != "cuda":
        raise ValueError(f"xgboost.train: device is {params['device']!r}, not 'cuda'")
    return _TrainedBooster(xgboost.train({**params, "device": "cpu"}, *args, **kwargs), params["device"])


_WITHOUT_GPU: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {"xgboost.train": _train, "xgboost.DMatrix": xgboost.DMatrix}
)
"""What needs no GPU, or is done otherwise here."""


@contextmanager
def standing_in(module: ModuleType) -> Iterator[None]:
    """The module with a stand-in for each object of STOOD_IN_FOR among its globals."""
    replaced = {
        name: StandIn(value, _path(value))
        for name, value in vars(module).items()
        if _path(value).partition(".")[0] in STOOD_IN_FOR
    }
    with mock.patch.dict(vars(module), replaced):
        yield


def _path(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    home = getattr(value, "__module__", None) if callable(value) else None
    return f"{home}.{getattr(value, '__qualname__', '')}" if home else ""


Answer = Callable[[Room, Path], Any]


@functools.cache
def _examples() -> Mapping[str, Answer]:
    """Room function → a call of it on example data, answering what can be compared between the rooms."""
    random = np.random.default_rng(0)
    x = random.normal(size=(_ROWS, _FEATURES)) + 6 * np.repeat(np.eye(3, _FEATURES), _ROWS // 3, axis=0)
    y = (x[:, 0] + random.normal(size=_ROWS) > np.median(x[:, 0])).astype(np.int64)
    frame = pl.LazyFrame({"a": [1, 2], "b": [0.5, None]})
    data = xgboost.DMatrix(x)
    boosting = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.1, "subsample": 0.8}

    def sink(room: Room, folder: Path) -> pl.Schema:
        room.sink_parquet(frame, folder / "frame.parquet")
        return pl.read_parquet_schema(folder / "frame.parquet")  # type: ignore[return-value]

    return {
        "collect": lambda room, _: room.collect(frame).schema,
        "sink_parquet": sink,
        "kmeans": lambda room, _: room.kmeans(x, 3, 7).cluster_centers_,
        "pca": lambda room, _: room.pca(x, 2).components_,
        "logistic_regression": lambda room, _: room.logistic_regression(x, y, 0.3, 7).predict_proba(x),
        "random_forest": lambda room, _: room.random_forest(x, y, 9, 4, 5, 7).predict_proba(x),
        "boosted_trees": lambda room, _: room.boosted_trees(x, y, boosting, 7, 11).predict(data),
    }


def examine(gpu: Any, folder: Path) -> list[Verdict]:
    """Check every function of the GPU room, and that nothing in it was left unchecked.

    Args:
        gpu: the module.
        folder: where files may be written.
    """
    with coverage.reached(gpu) as found:
        verdicts = [
            *(Verdict(f"call {name}", _problem(gpu, name, folder)) for name in coverage.functions(gpu)),
            Verdict("call boosted_trees, which fell back to the CPU, is refused", _fall_back(gpu)),
            Verdict("call collect of a plan that cuDF cannot run is refused", _unfit_plan(gpu)),
            Verdict("call collect where Polars prefers another engine", _other_engine(gpu)),
        ]
    missing = coverage.not_reached(gpu, found)
    unchecked = f"never reached: {'; '.join(missing)}" if missing else None
    return [*verdicts, Verdict("call coverage: nothing in gpu.py is left out", unchecked)]


def _problem(gpu: Any, name: str, folder: Path) -> str | None:
    if name not in _examples():
        return f"there is no example of it in {Path(__file__).name}"
    with standing_in(gpu), execution.captured():
        answer, error = _attempt(lambda: _examples()[name](gpu, folder))
    if error is not None:
        return _said(error)
    expected = _expected(name, folder)
    if isinstance(expected, np.ndarray):
        same = answer.shape == expected.shape and np.allclose(answer, expected, atol=_TOLERANCE)
    else:
        same = answer == expected
    return None if same else "cuML's own reading of the arguments gives another answer than the CPU room"


@functools.cache
def _expected(name: str, folder: Path) -> Any:
    return _examples()[name](cpu, folder)


def _fall_back(gpu: Any) -> str | None:
    """XGBoost without a GPU trains on the CPU, and says so in a warning."""
    x, y = np.zeros((4, 1), dtype=np.float32), np.array([0, 1, 0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _refused(lambda: gpu.boosted_trees(x, y, {}, 0, 1))


def _unfit_plan(gpu: Any) -> str | None:
    with execution.captured():
        return _refused(lambda: gpu.collect(pl.LazyFrame({"a": ["x"]}).select(pl.col("a").hash())))


def _other_engine(gpu: Any) -> str | None:
    """Under this affinity Polars silently runs every plan on the CPU."""
    with execution.captured() as plans, pl.Config(set_engine_affinity="streaming"):
        _, error = _attempt(lambda: gpu.collect(pl.LazyFrame({"a": ["x"]})))
    if error is not None:
        return _said(error)
    return None if plans else "it ran on the CPU"


def _refused(call: Callable[[], Any]) -> str | None:
    _, error = _attempt(call)
    if error is None:
        return "it was taken for an answer of the GPU"
    return None if isinstance(error, DeviceError) else _said(error)


def _attempt(call: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001 - whatever a wrong call raises is the finding
        return None, error


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
