import numpy as np
import pytest
import torch

from training.ranking import ItemSets
from training.two_tower import start
from training.two_tower.data import Examples


def two_worlds() -> Examples:
    """Customers 0 to 19 buy items 0 to 4, the others items 5 to 9, three of five a basket; two buy from both."""
    rng = np.random.default_rng(0)
    baskets = [sorted((rng.permutation(5)[:3] + 5 * (customer >= 20)).tolist()) for customer in range(40)]
    baskets[0], baskets[20] = [0, 6, 7], [1, 2, 5]
    empty = np.zeros((40, 1), dtype=np.int64)
    return Examples(
        customers=np.arange(40),
        times=np.zeros(40, dtype=np.int64),
        history=empty,
        top=empty,
        weights=empty.astype(np.float32),
        features=np.empty((40, 0), dtype=np.float32),
        baskets=ItemSets.of(baskets),
    )


def test_items_of_the_same_customers_point_the_same_way() -> None:
    torch.manual_seed(0)
    factors = start.item_factors(two_worlds(), items=10, dim=1)[:, 0]
    signs = torch.sign(factors)
    assert set(signs[:5].tolist()) | {-sign for sign in signs[5:].tolist()} == {signs[0].item()}
    assert factors.std().item() == pytest.approx(start.SCALE, rel=1e-4)


def test_more_dimensions_than_the_matrix_has_are_not_invented() -> None:
    torch.manual_seed(0)
    assert start.item_factors(two_worlds(), items=10, dim=64).shape == (10, 9)
