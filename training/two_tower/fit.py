"""Fit, measure and pack the recommender: what the pipeline calls."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from motherlode.bundle import ItemTable, Model, Tower
from motherlode.compute import Compute
from training.result import Quality
from training.two_tower import data, evaluate, export, train
from training.two_tower.data import Dataset, Examples
from training.two_tower.train import Options, Towers

_SAMPLES: Final = 32
"""Rows that the bundle is held to."""

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
        quality: the test part's figures beside their baselines.
    """

    tower: Tower
    onnx: bytes
    item_table: ItemTable
    vectors: npt.NDArray[np.float32]
    history: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]
    answer: npt.NDArray[np.float32]
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
    """Train the two towers and measure them on each customer's last basket.

    In time's order: the towers learn from all but the last two baskets; the validation basket chooses the weight of
    repeats; the towers are carried forward over it, and the test basket measures them; then they are carried forward
    over that, the same way, and published. So what is published is what was measured, one basket on.

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
    chosen = options or Options()
    dataset = data.prepare(transactions, items, user_features)
    with train.reproducible(seed, chosen.threads) as rng:
        towers, repeat_weight, quality = _train_and_measure(dataset, compute, chosen, rng, on_epoch or _silent)
    tower = Tower(
        model=Model(file=export.FILE, inputs=dataset.inputs, output=export.USER),
        history_length=dataset.examples.history.shape[1],
        repeat_weight=repeat_weight,
    )
    sample = _sample(dataset.examples)
    on_cpu = Towers(towers.user.cpu(), towers.item.cpu(), torch.device("cpu"))
    return FittedTower(
        tower=tower,
        onnx=export.to_onnx(on_cpu.user),
        item_table=dataset.catalogue.table,
        vectors=train.item_vectors(on_cpu),
        history=sample.history,
        features=sample.features,
        answer=train.user_vectors(on_cpu, sample),
        quality=quality,
    )


def _train_and_measure(
    dataset: Dataset, compute: Compute, options: Options, rng: np.random.Generator, on_epoch: OnEpoch
) -> tuple[Towers, float, tuple[Quality, ...]]:
    examples = dataset.examples
    passes = options.epochs + 2
    towers = train.begin(dataset.catalogue, examples.train, options, compute.torch_device)
    recent = examples.between(2, 2 + options.recent)
    for done, _ in enumerate(train.epochs(towers, recent, options, options.epochs, options.learning_rate, rng), 1):
        on_epoch(done, passes)
    repeat_weight = evaluate.choose_repeat_weight(_candidates(towers, examples.validation), examples.validation.baskets)
    _carry_forward(towers, examples, 1, options, rng)
    on_epoch(options.epochs + 1, passes)
    test = examples.test
    quality = evaluate.quality(
        _candidates(towers, test),
        repeat_weight,
        train.user_vectors(towers, test),
        train.item_vectors(towers),
        examples.between(1, None),
        test,
    )
    _carry_forward(towers, examples, 0, options, rng)
    on_epoch(passes, passes)
    return towers, repeat_weight, quality


def _carry_forward(towers: Towers, examples: Examples, age: int, options: Options, rng: np.random.Generator) -> None:
    """One gentle pass over the basket of that age and the few before it, so that the new does not push out the old."""
    latest = examples.between(age, age + options.continued)
    for _ in train.epochs(towers, latest, options, 1, options.continued_rate, rng):
        pass


def _candidates(towers: Towers, examples: Examples) -> evaluate.Candidates:
    return evaluate.candidates(train.user_vectors(towers, examples), train.item_vectors(towers), examples)


def _sample(examples: Examples) -> Examples:
    """A first basket, with nothing before it, and then last baskets evenly through the customers."""
    empty = np.flatnonzero((examples.history == 0).all(axis=1))[:1]
    last = np.flatnonzero(examples.ages == 0)
    spread = last[np.linspace(0, len(last) - 1, min(_SAMPLES - 1, len(last))).astype(np.int64)]
    return examples.take(np.concatenate([empty, spread]))


def _silent(done: int, passes: int) -> None:
    """No progress."""
