"""What fitting a model yields: the model as ONNX, sample answers to hold it to, and its quality."""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from motherlode.manifest import Model, Quality

__all__ = ["Fitted", "Quality"]


@dataclass(frozen=True)
class Fitted:
    """A fitted scorer.

    Attributes:
        name: `names.SEGMENTS`, `names.RESPONSE` or `names.INACTIVE_28D`.
        model: its place in the bundle and its inputs.
        onnx: the serialised ONNX model.
        features: sample inputs, float32, shape (n, len(model.inputs)).
        answer: what the library that trained it answers on them: labels int64 (n,), or the
            probability of the positive class float32 (n,).
        quality: its figures on the test part.
    """

    name: str
    model: Model
    onnx: bytes
    features: npt.NDArray[Any]
    answer: npt.NDArray[Any]
    quality: tuple[Quality, ...]
