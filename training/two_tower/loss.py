"""The loss: a softmax over the catalogue, whole or sampled, of every item in a basket.

The sampled softmax corrects each negative's score by the logarithm of how often it is drawn (logQ: Yi et al.,
"Sampling-bias-corrected neural modeling", RecSys 2019) and leaves the positive as it is (arXiv 2507.09331). The draws
are half by popularity, half uniform (mixed negatives: Yang et al., doi 10.1145/3366424.3386195).
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bought:
    """The items of B baskets, as (basket, item) pairs.

    Attributes:
        owners: shape (n,), int64, the basket.
        rows: shape (n,), int64, the item's row.
    """

    owners: Tensor
    rows: Tensor


def full_softmax(users: Tensor, items: Tensor, bought: Bought) -> Tensor:
    """The mean over purchases of -log softmax over all items.

    Args:
        users: shape (B, D).
        items: shape (items, D), the whole catalogue.
        bought: what to predict.

    Returns:
        A scalar.
    """
    # `log_softmax`, not `logsumexp`: on the CPU the latter is up to eight times slower on far-apart scores.
    logs = torch.log_softmax((users @ items.T).float(), dim=1)
    return -logs[bought.owners, bought.rows].mean()


@dataclass(frozen=True)
class Negatives:
    """Items drawn to stand for the whole catalogue.

    Attributes:
        rows: shape (S,), int64, drawn with replacement.
        log_expected: shape (S,), float32: the logarithm of how often S draws are expected to bring that item.
    """

    rows: Tensor
    log_expected: Tensor


def draw(popularity: Tensor, size: int) -> Negatives:
    """S negatives, half by popularity and half uniform.

    Args:
        popularity: shape (items,), counts of purchases.
        size: S.
    """
    counts = popularity.float()
    share = 0.5 * counts / counts.sum().clamp(min=1.0) + 0.5 / len(counts)
    rows = torch.multinomial(share, size, replacement=True)
    return Negatives(rows, (share[rows] * size).log())


def sampled_softmax(users: Tensor, items: Tensor, bought: Bought, negatives: Negatives) -> Tensor:
    """`full_softmax`, its sum over the catalogue estimated from drawn items.

    A negative that is in the very basket is an accidental hit: it is masked, and the basket's purchases do not
    compete with each other.

    Args:
        users: shape (B, D).
        items: shape (items, D).
        bought: what to predict.
        negatives: the draws, shared by the batch.

    Returns:
        A scalar.
    """
    # Minus: what is drawn often must count for less, each draw stands for 1 / (expected draws) items.
    against = (users @ items[negatives.rows].T).float() - negatives.log_expected
    accidental = (bought.rows[:, None] == negatives.rows).float()
    taken = torch.zeros_like(against).index_add(0, bought.owners, accidental) > 0
    rest = against.masked_fill(taken, -torch.inf).logsumexp(dim=1)[bought.owners]
    positive = (users[bought.owners] * items[bought.rows]).sum(dim=1).float()
    return (torch.logaddexp(positive, rest) - positive).mean()
