"""Chinese: character n-grams weighed by a logistic regression, as plain arrays.

`scripts/train_chinese_sentiment.py` fits it (Wang & Manning, "Baselines and Bigrams", ACL 2012: the n-grams' log-count
ratios times the regression's weights) and keeps it as `chinese.npz`, with what it was fitted on and how well it does
as `chinese.json` beside it.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

MODEL: Final = "chinese.npz"
LONGEST_GRAM: Final = 3
"""Characters of an n-gram, at most."""

_CHARACTER_BITS: Final = 21
"""Of a Unicode code point: three fit into one number."""
_CODE_POINTS: Final = 0x110000
_BATCH: Final = 20_000
"""Texts scored at once: bounds the memory."""

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Model:
    """The model's arrays.

    Attributes:
        grams: known n-grams as `grams` codes them, ascending, int64 of shape (G,).
        weights: of each, positive for good, float64 of shape (G,).
        bias: added to every text's score.
        simplified: code point → the code point of its simplified character, or itself; uint32.
    """

    grams: Codes
    weights: Floats
    bias: float
    simplified: npt.NDArray[np.uint32]


def polarity(texts: pl.Series) -> pl.Series:
    """Float32 from -1 (bad) to 1 (good) for each text; null where it has no n-gram that the model knows."""
    good = probabilities(texts, model())
    return pl.Series(2 * good - 1, dtype=pl.Float32).fill_nan(None)


def probabilities(texts: pl.Series, model: Model) -> Floats:
    """The probability that a text praises, shape (N,); NaN where it has no known n-gram."""
    batches = [_probabilities(texts.slice(start, _BATCH), model) for start in range(0, texts.len(), _BATCH)]
    return np.concatenate(batches) if batches else np.empty(0)


@cache
def model() -> Model:
    """The model that is shipped."""
    with (files(__package__) / MODEL).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return Model(
            np.cumsum(arrays["gram_steps"], dtype=np.int64),
            arrays["weights"].astype(np.float64),
            float(arrays["bias"]),
            table(arrays["traditional"], arrays["simplified"]),
        )


def table(traditional: npt.NDArray[np.uint32], simplified: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Code point → code point, for every character; `traditional` and `simplified` are pairs."""
    points = np.arange(_CODE_POINTS, dtype=np.uint32)
    points[traditional] = simplified
    return points


def grams(texts: pl.Series, simplified: npt.NDArray[np.uint32]) -> tuple[Codes, Codes]:
    """Every n-gram of every text: the text's number and the n-gram's code, two arrays of one length.

    A text is read in Unicode's compatible form (NFKC), in small letters, in simplified characters, with a single space
    for white space and one at either end, so that n-grams tell where a text begins and ends; a space alone is none.
    An n-gram's code is its characters' code points, 21 bits each.
    """
    read = texts.fill_null("").str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    padded = " " + read + " "
    text = np.repeat(np.arange(padded.len()), padded.str.len_chars().to_numpy())
    points = simplified[np.frombuffer("".join(padded.to_list()).encode("utf-32-le"), np.uint32)].astype(np.int64)
    shown = points != ord(" ")
    rows, codes, code = [text[shown]], [points[shown]], points
    for length in range(2, LONGEST_GRAM + 1):
        code = (code[:-1] << _CHARACTER_BITS) | points[length - 1 :]
        within = text[: len(code)] == text[length - 1 :]
        rows.append(text[: len(code)][within])
        codes.append(code[within])
    return np.concatenate(rows), np.concatenate(codes)


def _probabilities(texts: pl.Series, model: Model) -> Floats:
    row, code = grams(texts, model.simplified)
    # Polars' hash join is seven times faster here than a binary search.
    known = pl.DataFrame({_CODE: model.grams, _PLACE: np.arange(len(model.grams))})
    found = pl.DataFrame({_CODE: code, _TEXT: row}).join(known, on=_CODE, how="inner")
    # An n-gram counts once a text, and a text's length once: the sum is over the root of its distinct known n-grams.
    pairs = np.sort(found[_TEXT].to_numpy() * len(model.grams) + found[_PLACE].to_numpy())
    row, place = np.divmod(pairs[np.diff(pairs, prepend=-1) > 0], len(model.grams))
    total = np.bincount(row, weights=model.weights[place], minlength=texts.len())
    distinct = np.bincount(row, minlength=texts.len())
    with np.errstate(invalid="ignore"):
        score = total / np.sqrt(distinct) + model.bias
    return np.asarray(1 / (1 + np.exp(-score)))


_CODE: Final = "code"
_TEXT: Final = "text"
_PLACE: Final = "place"
