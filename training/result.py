"""What fitting a model yields: the model as ONNX, sample answers to hold it to, and its quality."""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from motherlode.bundle import Model


@dataclass(frozen=True)
class Quality:
    """A measured figure beside the baseline that a sceptic would choose, on the same held-out part.

    Attributes:
        model: `names.RESPONSE` and the like.
        metric: the field's name for it: "AUC", "average precision", "recall@10".
        value: the mean over the seeds.
        spread: the standard deviation over the seeds; None for one fit without randomness.
        baseline: what it is compared with: "recency alone".
        baseline_value: the baseline's figure.
        higher_is_better: False for errors.
    """

    model: str
    metric: str
    value: float
    spread: float | None
    baseline: str
    baseline_value: float
    higher_is_better: bool = True

    @property
    def wins(self) -> bool:
        """Whether the model beats its baseline."""
        gain = self.value - self.baseline_value
        return gain > 0 if self.higher_is_better else gain < 0


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
