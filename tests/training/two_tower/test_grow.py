import dataclasses

import numpy as np
import pytest
import torch

from motherlode.manifest import ItemTable
from training.ranking import ItemSets
from training.two_tower import train
from training.two_tower.data import Catalogue, Examples
from training.two_tower.grow import grow
from training.two_tower.train import Options, Towers


def catalogue(keys: str) -> Catalogue:
    """Letters, of two kinds by turns through the alphabet."""
    table = ItemTable(ids=tuple(keys), keys=tuple(keys), names=tuple(keys), categories=tuple(keys))
    return Catalogue(table, np.array([[ord(key) % 2] for key in keys]), (2,))


BASKETS = Examples(
    customers=np.array([0, 0, 1]),
    times=np.arange(3),
    history=np.array([[0, 0], [1, 0], [0, 0]]),
    top=np.zeros((3, 1), dtype=np.int64),
    weights=np.zeros((3, 1), dtype=np.float32),
    features=np.array([[1.0], [2.0], [4.0]], dtype=np.float32),
    baskets=ItemSets.of([[0, 1], [1, 2], [0, 2]]),
)


@pytest.fixture
def towers() -> Towers:
    torch.manual_seed(0)
    begun = train.begin(catalogue("bdf"), BASKETS, Options(dim=4, dropout=0.0), "cpu")
    for parameter in (*begun.user.parameters(), *begun.item.parameters()):
        torch.nn.init.normal_(parameter, std=0.3)
    return begun


def test_known_items_and_their_customers_keep_their_vectors(towers: Towers) -> None:
    """Rows move, as new keys sort between; an item that is no longer sold goes."""
    grown = grow(towers, catalogue("bdf"), catalogue("abcf"), BASKETS)
    before, after = train.item_vectors(towers), train.item_vectors(grown)
    np.testing.assert_array_equal(after[[1, 3]], before[[0, 2]])
    there = dataclasses.replace(BASKETS, history=np.array([[2, 4], [4, 0], [0, 0]]))
    here = dataclasses.replace(BASKETS, history=np.array([[1, 3], [3, 0], [0, 0]]))
    np.testing.assert_allclose(train.user_vectors(grown, there), train.user_vectors(towers, here), rtol=1e-6)


def test_a_new_item_begins_as_its_attributes_and_sales_say(towers: Towers) -> None:
    grown = grow(towers, catalogue("bdf"), catalogue("abd"), BASKETS)
    new = train.item_vectors(grown)[0]
    of_kind = towers.item.get_parameter("values.0.weight")[1].detach().numpy()
    np.testing.assert_array_equal(new[:-1], of_kind)
    assert new[-1] == pytest.approx(np.log(3 / 9))
    assert not grown.user.items.weight[1].any()
