"""The user tower as ONNX, as `motherlode.bundle.Tower` says that serving asks it."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from training.two_tower.model import UserTower

FILE: Final = "user_tower.onnx"
HISTORY: Final = "history"
FEATURES: Final = "features"
USER: Final = "user"


def to_onnx(user: UserTower) -> bytes:
    """Serialise the tower in evaluation mode.

    Inputs `history`, int64 (N, L) with L up to the history length, and `features`, float32 (N, F); output `user`,
    float32 (N, D). N and L are free.
    """
    tower = copy.deepcopy(user).cpu().eval()
    # Two rows, two places and more: the exporter takes a size of one for a constant.
    history = torch.zeros(2, tower.shape.history_length, dtype=torch.int64)
    features = torch.zeros(2, tower.shape.features)
    rows = torch.export.Dim("rows")
    length = torch.export.Dim("length", max=tower.shape.history_length)
    with _quiet():
        program = torch.onnx.export(
            tower,
            (history, features),
            dynamo=True,
            verbose=False,
            input_names=[HISTORY, FEATURES],
            output_names=[USER],
            dynamic_shapes={HISTORY: {0: rows, 1: length}, FEATURES: {0: rows}},
        )
    if program is None:
        raise AssertionError("torch.onnx.export(dynamo=True) without a file answers with a program.")
    content: bytes = program.model_proto.SerializeToString()
    return content


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports every rewriting, and warns of its own parts' deprecations and of shared axis names."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
