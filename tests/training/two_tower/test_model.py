import numpy as np
import pytest
import torch

from training.two_tower.model import ItemTower, Shape, Standardise, UserTower

SHAPE = Shape(items=9, cardinalities=(2, 3), features=4, history_length=6, dim=8, heads=2, blocks=1, dropout=0.5)
ATTRIBUTES = np.array([[row % 2, row % 3] for row in range(9)])


@pytest.fixture
def user() -> UserTower:
    torch.manual_seed(0)
    tower = UserTower(SHAPE).eval()
    for parameter in tower.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return tower


def test_padding_changes_no_answer(user: UserTower) -> None:
    """Not through self-attention either, whatever stands in the padding's embedding."""
    history, features = torch.tensor([[3, 1, 0, 0, 0, 0]]), torch.rand(1, 4)
    torch.testing.assert_close(user(history, features), user(history[:, :2], features))


def test_an_empty_history_is_answered_from_the_features(user: UserTower) -> None:
    empty = torch.zeros(2, 6, dtype=torch.int64)
    answers = user(empty, torch.tensor([[0.0, 1.0, 2.0, 3.0], [9.0, 1.0, 0.0, 0.0]]))
    assert torch.isfinite(answers).all()
    assert (answers[0] - answers[1]).abs().max() > 1e-3


def test_one_customer_s_answer_does_not_depend_on_the_batch(user: UserTower) -> None:
    history, features = torch.randint(0, 10, (5, 6)), torch.rand(5, 4)
    torch.testing.assert_close(user(history, features)[2:3], user(history[2:3], features[2:3]))


def test_order_of_the_history_counts(user: UserTower) -> None:
    features = torch.rand(1, 4)
    one, other = user(torch.tensor([[3, 1]]), features), user(torch.tensor([[1, 3]]), features)
    assert (one - other).abs().max() > 1e-3


def test_a_tower_without_features_answers() -> None:
    """Data sets without customer features use the same room."""
    tower = UserTower(Shape(items=3, cardinalities=(), features=0, history_length=4, dim=8)).eval()
    assert tower(torch.tensor([[1, 2, 0, 0], [0, 0, 0, 0]]), torch.empty(2, 0)).shape == (2, 9)


def test_the_product_holds_the_item_s_bias(user: UserTower) -> None:
    item = ItemTower(SHAPE, ATTRIBUTES)
    users = user(torch.tensor([[1, 0]]), torch.rand(1, 4))
    before = users @ item().T
    with torch.no_grad():
        item.bias[4] += 2.5
    gained = (users @ item().T - before)[0]
    assert gained.tolist() == pytest.approx([2.5 if row == 4 else 0.0 for row in range(9)], abs=1e-5)


def test_items_of_like_attributes_share_them() -> None:
    item = ItemTower(SHAPE, ATTRIBUTES)
    before = item().detach().clone()
    item.get_parameter("values.1.weight").data[2] += 1.0
    moved = (item() - before).abs().sum(dim=1) > 0.5
    assert moved.tolist() == [row % 3 == 2 for row in range(9)]


def test_features_are_standardised_inside_the_graph() -> None:
    layer = Standardise(3)
    features = torch.stack([torch.linspace(-5, 1e6, 100), torch.linspace(0, 1, 100), torch.full((100,), 7.0)], dim=1)
    layer.fit(features)
    scaled = layer(features)
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(3), atol=0.2, rtol=0)
    assert scaled[:, 2].abs().max() == 0.0
    assert layer(torch.full((1, 3), 1e30)).abs().max() <= 5.0
