"""Ranks: a column's place among the values trained on, between 0 and 1, by straight lines between quantiles.

What counts and money have in a linear model is their order: the tail of a skewed column no longer decides, and
a value far beyond everything trained on answers like the largest. The function is a sum of clipped ramps, which
ONNX has and which does not depend on the device.
"""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

QUANTILES: Final = 21

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranks:
    """A monotone piecewise linear function a column.

    Attributes:
        curves: for each column its distinct quantiles, ascending, and their ranks; flat beyond both ends.
    """

    curves: tuple[tuple[Floats, Floats], ...]

    @classmethod
    def fit(cls, x: npt.NDArray[Any]) -> Self:
        """Quantiles of the columns of `x`, shape (N, F), N > 0; equal values share their mean rank."""
        return cls(tuple(_curve(np.sort(column)) for column in np.asarray(x, dtype=np.float64).T))

    def transform(self, x: npt.NDArray[Any]) -> Floats:
        """The ranks of `x`, shape (N, F): float64 of the same shape."""
        values = np.asarray(x, dtype=np.float64)
        columns = [np.interp(column, *curve) for column, curve in zip(values.T, self.curves, strict=True)]
        return np.stack(columns, axis=1) if columns else values

    def ramps(self) -> "Ramps":
        """The same functions, taken apart."""
        return Ramps(
            base=np.array([ranks[0] for _, ranks in self.curves]),
            columns=np.repeat(np.arange(len(self.curves)), [len(values) - 1 for values, _ in self.curves]),
            low=np.concatenate([values[:-1] for values, _ in self.curves]),
            high=np.concatenate([values[1:] for values, _ in self.curves]),
            slopes=np.concatenate([np.diff(ranks) / np.diff(values) for values, ranks in self.curves]),
        )


@dataclass(frozen=True)
class Ramps:
    """Ranks as sums: base + Σ slope · (min(max(x, low), high) - low), over the R ramps of all columns together.

    Attributes:
        base: shape (F,).
        columns: shape (R,), int64: the column that each belongs to.
        low, high, slopes: shape (R,).
    """

    base: Floats
    columns: npt.NDArray[np.int64]
    low: Floats
    high: Floats
    slopes: Floats


def _curve(ordered: Floats) -> tuple[Floats, Floats]:
    values = np.unique(np.quantile(ordered, np.linspace(0.0, 1.0, QUANTILES), method="inverted_cdf"))
    below, upto = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return values, (below + upto) / (2 * len(ordered))
