"""The door: which device, why, and the room that computes on it."""

import functools
import importlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, cast

from motherlode.compute import driver, libraries
from motherlode.compute.room import Room
from motherlode.errors import DeviceError
from motherlode.settings import DEVICES

Kind = Literal["cpu", "gpu"]
Purpose = Literal["training", "serving"]
"""What the device is for. Training needs RAPIDS, XGBoost and PyTorch; serving has only ONNX Runtime."""


@dataclass(frozen=True, slots=True)
class Compute:
    """A device, and why it is this one.

    Attributes:
        kind: "cpu" or "gpu".
        reason: one sentence for people; it goes into the bundle.
    """

    kind: Kind
    reason: str

    @property
    def torch_device(self) -> str:
        """What PyTorch calls it."""
        return "cuda" if self.kind == "gpu" else "cpu"

    @property
    def onnx_providers(self) -> list[str | tuple[str, dict[str, str]]]:
        """ONNX Runtime's execution providers with their options, best first.

        The CPU provider takes what the CUDA provider has no kernel for. TF32 keeps ten bits of mantissa, too few
        for the tolerances that a bundle is held to.
        """
        cuda: list[str | tuple[str, dict[str, str]]] = [("CUDAExecutionProvider", {"use_tf32": "0"})]
        return [*(cuda if self.kind == "gpu" else ()), "CPUExecutionProvider"]


def choose(requested: str, purpose: Purpose = "training") -> Compute:
    """The device to compute on; `decide`, said aloud.

    The reason is logged once a process, a fall-back from "auto" to the CPU as a warning.

    Raises:
        DeviceError: as `decide`.
    """
    compute = decide(requested, purpose)
    _say_once(logging.WARNING if (requested, compute.kind) == ("auto", "cpu") else logging.INFO, compute)
    return compute


def decide(requested: str, purpose: Purpose = "training") -> Compute:
    """The device to compute on, looked for anew.

    Args:
        requested: "auto" takes a GPU where there is one and falls back to the CPU where there is none; "cpu"
            and "gpu" are taken at their word.
        purpose: what it must be able to do.

    Raises:
        DeviceError: a GPU was asked for and there is none, naming what is missing; or the word is unknown.
    """
    if requested not in DEVICES:
        raise DeviceError(f"Device {requested!r} is unknown.", f"Use one of {', '.join(DEVICES)}.")
    if requested == "cpu":
        return Compute("cpu", "The CPU was asked for.")
    try:
        return Compute("gpu", f"{_usable_gpu(purpose)}.")
    except DeviceError as error:
        if requested == "gpu":
            raise
        return Compute("cpu", f"No GPU for {purpose}: {error.problem}")


def room(compute: Compute) -> Room:
    """The room that computes on a device: `motherlode.compute.cpu` or `.gpu`, imported when it is first asked for.

    Raises:
        DeviceError: a library that it needs cannot be imported, naming it.
    """
    try:
        return cast(Room, importlib.import_module(f"motherlode.compute.{compute.kind}"))
    except ImportError as error:
        extra = "motherlode[train]" if compute.kind == "cpu" else "motherlode[train,gpu]"
        raise DeviceError(f"The {compute.kind} room cannot be opened: {error}.", f"Install `{extra}`.") from error


def _usable_gpu(purpose: Purpose) -> driver.Gpu:
    found = driver.first_gpu()
    lacking = _LACKING[purpose]()
    if lacking is not None:
        raise DeviceError(f"{found.name} is there, but {lacking}", driver.REMEDY)
    return found


@functools.cache
def _say_once(level: int, compute: Compute) -> None:
    _LOG.log(level, "Computing on the %s. %s", compute.kind.upper(), compute.reason)


_LACKING: Final[Mapping[Purpose, Callable[[], str | None]]] = MappingProxyType(
    {"training": libraries.lacking_for_training, "serving": libraries.lacking_for_serving}
)
_LOG: Final = logging.getLogger(__name__)
