"""Where training starts: the towers of the closed form, an SVD of the normalised customer-item matrix.

A matrix of log counts, divided by the square roots of its row and column sums, is factored; items that the same
customers buy point the same way. A history's mean times an item's vector is then already a recommendation (GF-CF,
Shen et al., CIKM 2021), and the rest of the training improves on it.
"""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from training.two_tower.data import Catalogue, Examples
from training.two_tower.model import ItemTower, Shape, UserTower

SCALE: Final = 0.2
"""Standard deviation of the starting embeddings: wide enough that the scores differ, tried 0.1 to 0.3."""
_ITERATIONS: Final = 4
_OVERSAMPLING: Final = 8


def towers(catalogue: Catalogue, examples: Examples, shape: Shape) -> tuple[UserTower, ItemTower]:
    """Both towers, begun from the closed form, with the features' scale and the items' popularity.

    Args:
        catalogue: the items.
        examples: what may be seen: the training part.
        shape: the sizes.

    Returns:
        The towers on the CPU, drawn from PyTorch's global generator.
    """
    user, item = UserTower(shape), ItemTower(shape, catalogue.attributes)
    factors = item_factors(examples, shape.items, shape.dim)
    with torch.no_grad():
        user.standardise.fit(torch.from_numpy(examples.features))
        user.items.weight[1:, : factors.shape[1]] = factors
        item.ids.weight[:, : factors.shape[1]] = factors
        item.bias.copy_(log_share(examples, shape.items))
    return user, item


def log_share(examples: Examples, items: int) -> Tensor:
    """The logarithm of each item's share of all purchases, float of shape (items,); as if each sold once more."""
    popularity = np.bincount(examples.baskets.items, minlength=items)
    return torch.from_numpy(np.log((popularity + 1.0) / (popularity.sum() + items)))


def item_factors(examples: Examples, items: int, dim: int) -> Tensor:
    """The leading right singular vectors, but for the first, which is popularity.

    Returns:
        float32 of shape (items, at most dim), of standard deviation `SCALE`.
    """
    matrix = _normalised(examples, items)
    wanted = min(dim + 1, *matrix.shape)
    _, _, right = torch.svd_lowrank(matrix, q=min(wanted + _OVERSAMPLING, *matrix.shape), niter=_ITERATIONS)
    factors = right[:, 1:wanted]
    return factors * (SCALE / factors.std().clamp(min=1e-12)) if factors.numel() else factors


def _normalised(examples: Examples, items: int) -> Tensor:
    """Sparse, shape (customers, items)."""
    customers = examples.customers[examples.baskets.owners]
    cells, counts = np.unique(customers * items + examples.baskets.items, return_counts=True)
    rows, columns = cells // items, cells % items
    values = np.log1p(counts)
    of_row = np.bincount(rows, values)
    of_column = np.bincount(columns, values, minlength=items)
    values = values / np.sqrt(of_row[rows] * of_column[columns])
    return torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([rows, columns])),
        torch.from_numpy(values.astype(np.float32)),
        (len(of_row), items),
        is_coalesced=True,
        check_invariants=True,
    )
