"""How well each feature alone predicts a label: one that predicts it nearly perfectly has most likely seen it.

A number is judged by its rank, a list by its length; a missing value is a value of its own, below all others or above
them or by itself, and the present ones are judged alone too. A text is judged by the label's rate among its value's
other customers, so that a value that only one customer has says nothing. All rows of a customer stay together wherever
chance is asked, since they are alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from motherlode import names
from motherlode.errors import DataError

THRESHOLD: Final = 0.95
PERMUTATIONS: Final = 200
CHANCE: Final = 0.99
"""The share of permutations that chance must stay below."""
MOST_ROWS: Final = 20_000
"""Rows, about, that chance is found from; of more, it would be smaller still."""

FEWEST: Final = 25
"""Present rows of each kind from which a feature is also judged by them alone: chance has its way with fewer."""

_SEPARATOR: Final = "__"
_FOLDS: Final = 5
_DIGITS: Final = 9
"""What a sum of floats leaves of an area that is 1."""
_PRIOR: Final = 10.0
"""Rows' worth of the overall rate that a text's own rate is drawn to."""

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Power:
    """What one feature alone says of a label.

    Attributes:
        feature: `view.feature`.
        value: the area under the ROC curve, 0.5 to 1, in the better direction; of a number as label |Spearman|, 0 to 1.
        by: what it was judged by: "value", "missing lowest", "missing highest", "missing or not",
            "value, where present", "rate by value".
        present: rows in which it is not missing.
    """

    feature: str
    value: float
    by: str
    present: int


@dataclass(frozen=True)
class Audit:
    """What every feature alone says of a label.

    Attributes:
        measure: what `Power.value` is.
        rows: with a label.
        ones: of them, where the label has two values; else None.
        threshold: from which a feature is suspected.
        chance: what the best of the features reaches by chance, in one of a hundred tries.
        known: rows in which any feature is present.
        powers: every feature, the best first.
    """

    measure: Literal["AUC", "|Spearman|"]
    rows: int
    ones: int | None
    threshold: float
    chance: float
    known: int
    powers: tuple[Power, ...]

    @property
    def suspects(self) -> tuple[Power, ...]:
        """The features that predict too well, and better than chance does on as few rows."""
        return tuple(it for it in self.powers if it.value >= self.threshold and it.value > self.chance)


def audit(frame: pl.DataFrame, label: str, threshold: float = THRESHOLD, seed: int = 0) -> Audit:
    """Judge every feature of a training frame by itself.

    Args:
        frame: `customer_id`, the label, and the features as `view__feature`, as `store.training_frame` gives them.
        label: of two values (the later in order is the one that counts), or a number; rows without it, or with
            NaN, are left out.
        threshold: from which a feature is suspected, 0 to 1.
        seed: of the folds and of chance.

    Raises:
        DataError: the label is neither, has one value alone, or there is no feature.
    """
    if label not in frame.columns:
        raise DataError(f"The labels have no column {label!r}; they have {', '.join(frame.columns)}.", "Name it so.")
    features = [name for name in frame.columns if _SEPARATOR in name and name != label]
    if not features:
        raise DataError("The training frame holds no feature.", "Name a service that has some.")
    told = labelled(frame, label).sort(names.CUSTOMER_ID, maintain_order=True)
    target = _target(told[label])
    powers = [
        max(
            (Power(shown(name), *judged, present(told[name])) for judged in _judge(told, name, target, seed)),
            key=_value,
        )
        for name in features
    ]
    return Audit(
        measure="AUC" if target.binary else "|Spearman|",
        rows=told.height,
        ones=int((target.centred > 0).sum()) if target.binary else None,
        threshold=threshold,
        chance=_chance(told, label, features, seed),
        known=_known(told, features),
        powers=tuple(sorted(powers, key=lambda it: (-it.value, it.feature))),
    )


def labelled(frame: pl.DataFrame, label: str) -> pl.DataFrame:
    """The rows that have a label; NaN is none."""
    return frame.filter(~_missing(frame[label]))


def _known(frame: pl.DataFrame, features: Sequence[str]) -> int:
    there = np.zeros(frame.height, dtype=bool)
    for name in features:
        there |= ~_missing(frame[name]).to_numpy()
    return int(there.sum())


def shown(column: str) -> str:
    """A feature's name for people: `view.feature`."""
    return column.replace(_SEPARATOR, ".", 1)


def present(values: pl.Series) -> int:
    """How many values are not missing; NaN is missing."""
    return int((~_missing(values)).sum())


@dataclass(frozen=True)
class _Target:
    """A label as what ranks are held against.

    Attributes:
        centred: shape (rows,): the label less its mean, as 0 and 1 or as its rank.
        binary: whether it has two values.
    """

    centred: Floats
    binary: bool

    def strength(self, ranks: Floats, centred: Floats) -> Floats:
        """What ranks say of targets: -0.5 to 0.5 (the area less a half), or -1 to 1 (Spearman).

        Args:
            ranks: shape (rows,).
            centred: shape (rows, targets): as `centred`, each dealt out in another order, or of some rows alone.
        """
        products = (ranks - ranks.mean()) @ centred
        return self.scaled(products, ranks, centred)

    def scaled(self, products: Floats, ranks: Floats, centred: Floats) -> Floats:
        """Products of centred ranks and targets on the scale of `strength`; 0 where either is all the same."""
        if self.binary:
            ones = np.count_nonzero(centred > 0, axis=0)
            scale = (ones * (len(centred) - ones)).astype(np.float64)
        else:
            scale = np.sqrt(len(ranks) * ranks.var() * len(ranks) * centred.var(axis=0))
        answer: Floats = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
        return answer


def _target(label: pl.Series) -> _Target:
    values = label.unique().sort()
    if len(values) < 2:
        raise DataError(
            f"Every one of {len(label)} rows has the {label.name} {values.to_list()}.", "Give labels of two kinds."
        )
    if len(values) == 2:
        ones = (label == values[1]).to_numpy().astype(np.float64)
        return _Target(ones - ones.mean(), binary=True)
    if not label.dtype.is_numeric():
        raise DataError(
            f"The label {label.name!r} is {label.dtype} and has {len(values)} values.", "Give two values, or a number."
        )
    ranks = _ranks(label)
    return _Target(ranks - ranks.mean(), binary=False)


def _judge(frame: pl.DataFrame, name: str, target: _Target, seed: int) -> Iterator[tuple[float, str]]:
    """A feature's power under each way to read it, and the way."""
    base = 0.5 if target.binary else 0.0
    if _is_text(frame[name]):
        groups = _Groups.of(frame, name, seed)
        yield round(base + max(0.0, groups.strength(target, target.centred)), _DIGITS), "rate by value"
        return
    for by, ranks, rows in _readings(frame[name], target):
        yield round(base + float(abs(target.strength(ranks, target.centred[rows, None])[0])), _DIGITS), by


def _chance(frame: pl.DataFrame, label: str, features: Sequence[str], seed: int) -> float:
    """What the best of all features reaches when customers' labels are dealt out anew."""
    rng = np.random.default_rng(seed)
    some = _some(frame, rng)
    if some[label].n_unique() < 2:
        some = frame
    target = _target(some[label])
    dealt = np.stack([target.centred[order] for order in _orders(some[names.CUSTOMER_ID], rng)], axis=1)
    best = np.zeros(PERMUTATIONS)
    for name in features:
        if _is_text(some[name]):
            groups = _Groups.of(some, name, seed)
            found = np.array([groups.strength(target, dealt[:, each]) for each in range(PERMUTATIONS)])
            best = np.maximum(best, found)
            continue
        for _, ranks, rows in _readings(some[name], target):
            best = np.maximum(best, np.abs(target.strength(ranks, dealt[rows])))
    return float(np.quantile(best, CHANCE)) + (0.5 if target.binary else 0.0)


def _some(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Whole customers, about MOST_ROWS rows of them."""
    if frame.height <= MOST_ROWS:
        return frame
    customers = frame[names.CUSTOMER_ID].unique(maintain_order=True)
    wanted = max(2, round(len(customers) * MOST_ROWS / frame.height))
    chosen = customers.gather(np.sort(rng.permutation(len(customers))[:wanted]))
    return frame.filter(pl.col(names.CUSTOMER_ID).is_in(chosen.implode()))


def _orders(customers: pl.Series, rng: np.random.Generator) -> Iterator[Ints]:
    """Orders of the rows in which the customers, each one's rows together, stand in another order."""
    lengths = customers.to_frame("c").group_by("c", maintain_order=True).len()["len"].to_numpy().astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    for _ in range(PERMUTATIONS):
        order = rng.permutation(len(lengths))
        moved = np.cumsum(lengths[order]) - lengths[order]
        yield np.repeat(starts[order] - moved, lengths[order]) + np.arange(len(customers))


def _readings(values: pl.Series, target: _Target) -> Iterator[tuple[str, Floats, Bools]]:
    """A feature's ranks under each way to read what is missing, and of which rows they are."""
    missing = _missing(values).to_numpy()
    gone, every = int(missing.sum()), np.ones(len(values), dtype=bool)
    if gone == 0:
        yield "value", _ranks(_numbers(values)), every
        return
    known = _ranks(_numbers(values).filter(pl.Series(~missing)))
    ranks = np.zeros(len(values))
    ranks[~missing] = known
    yield "missing lowest", np.where(missing, (gone + 1) / 2, ranks + gone), every
    yield "missing highest", np.where(missing, len(values) - (gone - 1) / 2, ranks), every
    yield "missing or not", _ranks(pl.Series(missing)), every
    above = np.count_nonzero(target.centred[~missing] > 0)
    if min(above, len(known) - above) >= FEWEST:
        yield "value, where present", known, ~missing


def _is_text(values: pl.Series) -> bool:
    return not (values.dtype.is_numeric() or values.dtype.is_temporal() or values.dtype in (pl.Boolean, pl.List))


def _missing(values: pl.Series) -> pl.Series:
    return values.is_null() | values.is_nan().fill_null(True) if values.dtype.is_float() else values.is_null()


def _numbers(values: pl.Series) -> pl.Series:
    return values.list.len() if isinstance(values.dtype, pl.List) else values.to_physical()


def _ranks(values: pl.Series) -> Floats:
    """From 1; equal values share their mean."""
    return values.rank("average").to_numpy().astype(np.float64)


@dataclass(frozen=True)
class _Groups:
    """A text feature's rows by value and fold; all rows of a customer are in one fold.

    Attributes:
        cell: shape (rows,): value × _FOLDS + fold.
        folds: shape (rows,).
        rows: shape (values, _FOLDS): how many.
    """

    cell: Ints
    folds: Ints
    rows: Floats

    @classmethod
    def of(cls, frame: pl.DataFrame, name: str, seed: int) -> "_Groups":
        codes = frame[name].cast(pl.String).rank("dense").fill_null(0).to_numpy().astype(np.int64)
        customers = frame[names.CUSTOMER_ID].rank("dense").fill_null(0).to_numpy().astype(np.int64)
        folds = np.random.default_rng(seed).permutation(customers.max() + 1)[customers] % _FOLDS
        cell = codes * _FOLDS + folds
        rows = np.bincount(cell, minlength=(codes.max() + 1) * _FOLDS).reshape(-1, _FOLDS)
        return cls(cell, folds, rows.astype(np.float64))

    def strength(self, target: _Target, centred: Floats) -> float:
        """`_Target.strength` of the rates that the other folds have, the folds' own by their rows; signed."""
        sums = np.bincount(self.cell, weights=centred, minlength=self.rows.size).reshape(self.rows.shape)
        total, weight = 0.0, 0.0
        for fold in range(_FOLDS):
            rows, own = self.rows[:, fold], centred[self.folds == fold]
            others = self.rows.sum(axis=1) - rows
            everyone = others.sum()
            if len(own) < 2 or everyone == 0:
                continue
            overall = (sums.sum() - sums[:, fold].sum()) / everyone
            rate = (sums.sum(axis=1) - sums[:, fold] + _PRIOR * overall) / (others + _PRIOR)
            ranks = _shared_ranks(rate, rows)
            middle = (len(own) + 1) / 2
            products = np.array([((ranks - middle) * sums[:, fold]).sum()])
            every = np.repeat(ranks, rows.astype(np.int64))
            total += float(target.scaled(products, every, own[:, None])[0]) * len(own)
            weight += len(own)
        return total / weight if weight else 0.0


def _shared_ranks(values: Floats, rows: Floats) -> Floats:
    """The mean rank, from 1, of the rows of each value, of which there are `rows` each."""
    distinct, where = np.unique(values, return_inverse=True)
    counts = np.bincount(where, weights=rows, minlength=len(distinct))
    return (np.cumsum(counts) - counts + (counts + 1) / 2)[where]


def _value(power: Power) -> float:
    return power.value
