import numpy as np
import pytest
import torch
from torch.nn import functional

from training.two_tower.loss import Bought, Negatives, draw, full_softmax, sampled_softmax

ITEMS, DIM, BASKETS = 400, 8, 6


@pytest.fixture
def scores() -> tuple[torch.Tensor, torch.Tensor, Bought, torch.Tensor]:
    """Users, items whose first are both popular and liked, one purchase a basket, and the popularity."""
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(BASKETS, DIM, generator=generator) * 0.3
    users[:, 0] = 1.0
    items = torch.randn(ITEMS, DIM, generator=generator) * 0.3
    popularity = (10_000 / torch.arange(1, ITEMS + 1)).long()
    items[:, 0] = popularity.float().log()
    rows = torch.randint(0, ITEMS, (BASKETS,), generator=generator)
    return users, items, Bought(torch.arange(BASKETS), rows), popularity


def test_full_softmax_is_the_cross_entropy(scores: tuple[torch.Tensor, torch.Tensor, Bought, torch.Tensor]) -> None:
    users, items, bought, _ = scores
    expected = functional.cross_entropy(users @ items.T, bought.rows)
    torch.testing.assert_close(full_softmax(users, items, bought), expected)


def test_logq_has_the_right_sign(scores: tuple[torch.Tensor, torch.Tensor, Bought, torch.Tensor]) -> None:
    """Corrected by -logQ the sampled loss estimates the full one; uncorrected or with +logQ it is far off.

    (TensorFlow Recommenders shipped it with the wrong sign: tensorflow/recommenders#219.)
    """
    users, items, bought, popularity = scores
    full = full_softmax(users, items, bought).item()
    torch.manual_seed(1)
    estimates: dict[float, list[float]] = {1.0: [], 0.0: [], -1.0: []}
    for _ in range(50):
        drawn = draw(popularity, 200)
        for sign, found in estimates.items():
            found.append(sampled_softmax(users, items, bought, Negatives(drawn.rows, sign * drawn.log_expected)).item())
    error = {sign: abs(float(np.mean(found)) - full) for sign, found in estimates.items()}
    assert error[1.0] < 0.05
    assert error[0.0] > 5 * error[1.0]
    assert error[-1.0] > error[0.0]


def test_expected_draws_are_those_that_happen() -> None:
    popularity = torch.tensor([90, 10, 0, 0])
    torch.manual_seed(0)
    drawn = draw(popularity, 40_000)
    counts = torch.bincount(drawn.rows, minlength=4).float()
    expected = torch.zeros(4).index_put((drawn.rows,), drawn.log_expected.exp())
    torch.testing.assert_close(counts, expected, rtol=0.05, atol=0.0)
    assert expected[2] == pytest.approx(40_000 * 0.5 / 4)


def test_accidental_hits_do_not_count() -> None:
    """A negative that the basket holds changes nothing."""
    users, items = torch.ones(2, 1), torch.tensor([[1.0], [2.0], [3.0]])
    bought = Bought(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2]))
    log_expected = torch.zeros(2)
    with_hit = sampled_softmax(users, items, bought, Negatives(torch.tensor([2, 1]), log_expected))
    # Basket 0 holds item 1 and keeps item 2 against it; basket 1 holds item 2 and keeps item 1.
    expected = torch.stack([torch.tensor(each) for each in (1.0, 2.0)])
    first = torch.logaddexp(expected, torch.tensor(3.0)) - expected
    second = torch.logaddexp(torch.tensor(3.0), torch.tensor(2.0)) - 3.0
    torch.testing.assert_close(with_hit, torch.cat([first, second[None]]).mean())
