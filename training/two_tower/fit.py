"""Fit, measure and pack the recommender: what the pipeline calls."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from motherlode.compute import Compute
from motherlode.manifest import Input, ItemTable, Model, Tower
from training.result import Quality
from training.two_tower import data, evaluate, export, splits, train
from training.two_tower.data import Dataset, Examples
from training.two_tower.grow import grow
from training.two_tower.splits import Split
from training.two_tower.train import Options, Towers

_SAMPLES: Final = 32
"""Rows that the bundle is held to."""
_QUERIES: Final = 1000
"""Customers whose vectors the recall of an index is measured by."""

OnEpoch = Callable[[int, int], None]
"""Called after each pass with the passes done and the passes in all."""


@dataclass(frozen=True)
class FittedTower:
    """The recommender, ready for the bundle.

    Attributes:
        tower: how serving asks it.
        onnx: the user tower.
        item_table: every item that can be recommended.
        vectors: shape (items, D), float32: the item tower's answers, row for row beside `item_table`.
        history, features, answer: sample inputs and PyTorch's answers, 32 rows or as many as there are; the first
            has an empty history.
        queries: float32, shape (Q, D): customers as they ask, at most 1,000 of them.
        quality: the test part's figures beside their baselines.
    """

    tower: Tower
    onnx: bytes
    item_table: ItemTable
    vectors: npt.NDArray[np.float32]
    history: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]
    answer: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]
    quality: tuple[Quality, ...]


def fit(
    transactions: pl.DataFrame,
    items: pl.DataFrame,
    user_features: pl.DataFrame,
    compute: Compute,
    seed: int,
    on_epoch: OnEpoch | None = None,
    options: Options | None = None,
) -> FittedTower:
    """Train the two towers, measure them by the calendar, and carry them forward to the end of the data.

    In time's order: the towers learn from what lies before the first cutoff; the baskets after it choose the weight
    of repeats; the towers are carried forward over those, and each customer's first basket after the second cutoff
    measures them; then they are carried forward over the rest, the same way, and published. Items that were too rare
    before the first cutoff join at that last step. So what is published is what was measured, one window on.

    Args:
        transactions, items: the integrated tables.
        user_features: customer_id, event_timestamp and numeric `view__feature` columns: the weekly snapshots.
        compute: the device; on the CPU equal seeds give equal vectors.
        seed: of every draw.
        on_epoch: progress.
        options: how to train.

    Raises:
        DataError: the tables hold too little, or a feature is not numeric.
    """
    chosen, report = options or Options(), on_epoch or _silent
    when = splits.cutoffs(transactions)
    past = data.prepare(transactions, items, user_features, when.validation)
    with train.reproducible(seed, chosen.threads) as rng:
        split = splits.by_calendar(past.examples, when)
        measured = _train_and_measure(past, split, compute, chosen, rng, report)
        whole = data.prepare(transactions, items, user_features)
        examples = whole.examples.imputed(measured.inputs)
        towers = grow(measured.towers, past.catalogue, whole.catalogue, examples)
        _carry_forward(towers, examples, chosen, rng)
        report(chosen.epochs + 2, chosen.epochs + 2)
    tower = Tower(
        model=Model(file=export.FILE, inputs=measured.inputs, output=export.USER),
        history_length=examples.history.shape[1],
        repeat_weight=measured.repeat_weight,
        biased=True,
    )
    sample = _sample(examples, _SAMPLES)
    on_cpu = Towers(towers.user.cpu(), towers.item.cpu(), torch.device("cpu"))
    return FittedTower(
        tower=tower,
        onnx=export.to_onnx(on_cpu.user),
        item_table=whole.catalogue.table,
        vectors=train.item_vectors(on_cpu),
        history=sample.history,
        features=sample.features,
        answer=train.user_vectors(on_cpu, sample),
        queries=train.user_vectors(on_cpu, _sample(examples, _QUERIES)),
        quality=measured.quality,
    )


def measure_last_baskets(
    transactions: pl.DataFrame,
    items: pl.DataFrame,
    user_features: pl.DataFrame,
    compute: Compute,
    seed: int,
    options: Options | None = None,
) -> tuple[Quality, ...]:
    """The figures by the usual protocol, each customer's last basket; to compare with others', not published.

    Args:
        transactions, items, user_features, compute, seed, options: see `fit`.

    Raises:
        DataError: see `fit`.
    """
    chosen = options or Options()
    dataset = data.prepare(transactions, items, user_features)
    with train.reproducible(seed, chosen.threads) as rng:
        split = splits.last_baskets(dataset.examples)
        return _train_and_measure(dataset, split, compute, chosen, rng, _silent).quality


@dataclass(frozen=True)
class _Measured:
    """Towers that know what came before the test, and how they did on it.

    Attributes:
        towers: over the catalogue that they were measured with.
        inputs: the features with the medians and drift profiles of the training part.
        repeat_weight: chosen on the validation part.
        quality: on the test part.
    """

    towers: Towers
    inputs: tuple[Input, ...]
    repeat_weight: float
    quality: tuple[Quality, ...]


def _train_and_measure(
    dataset: Dataset, split: Split, compute: Compute, options: Options, rng: np.random.Generator, on_epoch: OnEpoch
) -> _Measured:
    inputs = data.learn_inputs(dataset.columns, split.train.features)
    split = split.imputed(inputs)
    passes = options.epochs + 2
    towers = train.begin(dataset.catalogue, split.train, options, compute.torch_device)
    recent = split.train.latest(options.recent)
    for done, _ in enumerate(train.epochs(towers, recent, options, options.epochs, options.learning_rate, rng), 1):
        on_epoch(done, passes)
    repeat_weight = evaluate.choose_repeat_weight(_candidates(towers, split.validation), split.validation.baskets)
    _carry_forward(towers, split.before, options, rng)
    on_epoch(options.epochs + 1, passes)
    quality = evaluate.quality(
        split.protocol,
        _candidates(towers, split.test),
        repeat_weight,
        train.user_vectors(towers, split.test),
        train.item_vectors(towers),
        split.before,
        split.test,
    )
    return _Measured(towers, inputs, repeat_weight, quality)


def _carry_forward(towers: Towers, examples: Examples, options: Options, rng: np.random.Generator) -> None:
    """One gentle pass over each customer's latest baskets, old ones among them, so that the new does not push out."""
    for _ in train.epochs(towers, examples.latest(options.continued), options, 1, options.continued_rate, rng):
        pass


def _candidates(towers: Towers, examples: Examples) -> evaluate.Candidates:
    return evaluate.candidates(train.user_vectors(towers, examples), train.item_vectors(towers), examples)


def _sample(examples: Examples, size: int) -> Examples:
    """A first basket, with nothing before it, and then last baskets evenly through the customers."""
    empty = np.flatnonzero((examples.history == 0).all(axis=1))[:1]
    last = np.flatnonzero(examples.ages == 0)
    spread = last[np.linspace(0, len(last) - 1, min(size - 1, len(last))).astype(np.int64)]
    return examples.take(np.concatenate([empty, spread]))


def _silent(done: int, passes: int) -> None:
    """No progress."""
