"""The training loop: batches of baskets, a softmax over the catalogue, AdamW."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from training.two_tower import start
from training.two_tower.data import Catalogue, Examples
from training.two_tower.loss import Bought, draw, full_softmax, sampled_softmax
from training.two_tower.model import ItemTower, Shape, UserTower

FULL_SOFTMAX_ITEMS: Final = 50_000
"""The largest catalogue whose every item stands in the softmax."""


@dataclass(frozen=True)
class Options:
    """How to train; the defaults were chosen on the demo's validation part (docs/decisions/0009-two-tower.md).

    Attributes:
        dim, heads, blocks, dropout: see `model.Shape`.
        epochs: passes over each customer's `recent` latest training baskets.
        recent: baskets a customer.
        continued: baskets a customer in a pass that carries the towers forward.
        batch: baskets a step.
        learning_rate: at the start; it falls linearly.
        continued_rate: of the passes that carry forward.
        negatives: draws of the sampled softmax, for a catalogue above `FULL_SOFTMAX_ITEMS`.
        threads: of PyTorch, on the CPU. One: more wait for each other in every operation, and on a machine that does
            anything else besides, two were tried to be over ten times slower than one.
    """

    dim: int = 128
    heads: int = 2
    blocks: int = 0
    dropout: float = 0.1
    epochs: int = 2
    recent: int = 10
    continued: int = 4
    batch: int = 256
    learning_rate: float = 1e-3
    continued_rate: float = 2e-4
    negatives: int = 4096
    threads: int = 1


@dataclass(frozen=True)
class Towers:
    """Both towers in training, and where they are."""

    user: UserTower
    item: ItemTower
    device: torch.device


def begin(catalogue: Catalogue, train: Examples, options: Options, device: str) -> Towers:
    """The untrained towers, started from the closed form (see `start`)."""
    shape = Shape(
        items=len(catalogue),
        cardinalities=catalogue.cardinalities,
        features=train.features.shape[1],
        history_length=train.history.shape[1],
        dim=options.dim,
        heads=options.heads,
        blocks=options.blocks,
        dropout=options.dropout,
    )
    user, item = start.towers(catalogue, train, shape)
    where = torch.device(device)
    return Towers(user.to(where), item.to(where), where)


def epochs(
    towers: Towers, examples: Examples, options: Options, passes: int, rate: float, rng: np.random.Generator
) -> Iterator[float]:
    """Train, and yield after each pass its mean loss.

    Args:
        towers: changed in place.
        examples: the baskets to learn.
        options: the batch and the like.
        passes: how many times through the examples.
        rate: the learning rate at the start; it falls linearly to a fiftieth.
        rng: draws the order of the examples.
    """
    parameters = [*towers.user.parameters(), *towers.item.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0, fused=True)
    steps = passes * math.ceil(len(examples) / options.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.02, 1.0 - step / max(steps, 1)))
    popularity = torch.from_numpy(np.bincount(examples.baskets.items, minlength=towers.user.shape.items))
    popularity = popularity.to(towers.device)
    for _ in range(passes):
        towers.user.train()
        losses = []
        for rows in _batches(rng.permutation(len(examples)), options.batch):
            optimizer.zero_grad()
            loss = _loss(towers, examples.take(rows), popularity, options)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        yield float(torch.stack(losses).mean()) if losses else math.nan


def _batches(order: npt.NDArray[np.int64], size: int) -> Iterator[npt.NDArray[np.int64]]:
    for first in range(0, len(order), size):
        yield order[first : first + size]


def _loss(towers: Towers, batch: Examples, popularity: torch.Tensor, options: Options) -> torch.Tensor:
    device = towers.device
    history = torch.from_numpy(batch.history).to(device)
    # Whole items are dropped from a history, so that no item is learned as the echo of another.
    history = history * (torch.rand(history.shape, device=device) >= options.dropout)
    features = torch.from_numpy(batch.features).to(device)
    bought = Bought(torch.from_numpy(batch.baskets.owners).to(device), torch.from_numpy(batch.baskets.items).to(device))
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        users, items = towers.user(history, features), towers.item()
        if len(items) <= FULL_SOFTMAX_ITEMS:
            return full_softmax(users, items, bought)
        return sampled_softmax(users, items, bought, draw(popularity, options.negatives))


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[np.random.Generator]:
    """PyTorch's global generators seeded and its threads set, both given back at the end."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield np.random.default_rng(seed)
    finally:
        torch.set_num_threads(before)


def user_vectors(towers: Towers, examples: Examples) -> npt.NDArray[np.float32]:
    """What the user tower answers, shape (P, D)."""
    towers.user.eval()
    found = [np.empty((0, towers.user.shape.dim + 1), dtype=np.float32)]
    with torch.inference_mode():
        for rows in _batches(np.arange(len(examples)), 1024):
            history = torch.from_numpy(examples.history[rows]).to(towers.device)
            features = torch.from_numpy(examples.features[rows]).to(towers.device)
            found.append(towers.user(history, features).cpu().numpy())
    return np.concatenate(found)


def item_vectors(towers: Towers) -> npt.NDArray[np.float32]:
    """What the item tower answers, shape (items, D), C order."""
    towers.item.eval()
    with torch.inference_mode():
        return np.ascontiguousarray(towers.item().cpu().numpy())
