"""Carry trained towers into a larger catalogue: items that were too rare when training began join the known ones."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from training.two_tower.data import Catalogue, Examples
from training.two_tower.model import ItemTower, UserTower
from training.two_tower.start import log_share
from training.two_tower.train import Towers


def grow(towers: Towers, known: Catalogue, catalogue: Catalogue, examples: Examples) -> Towers:
    """The same towers over the rows of another catalogue.

    A known item keeps all that it learned. A new one begins as its attributes say, with its share of the purchases
    for a bias, and says nothing in a history yet.

    Args:
        towers: over `known`.
        known, catalogue: the items then and now, of one table of items, so that both number attributes alike.
        examples: baskets of `catalogue`, for the shares.
    """
    row_of = {key: row for row, key in enumerate(known.table.keys)}
    pairs = [(new, row_of[key]) for new, key in enumerate(catalogue.table.keys) if key in row_of]
    new, old = torch.from_numpy(np.array(pairs, dtype=np.int64).reshape(-1, 2).T.copy()).to(towers.device)
    shape = replace(towers.user.shape, items=len(catalogue))
    user, item = UserTower(shape).to(towers.device), ItemTower(shape, catalogue.attributes).to(towers.device)
    of_user, of_item = towers.user.state_dict(), towers.item.state_dict()
    in_history = torch.zeros_like(user.items.weight)
    user.load_state_dict(of_user | {"items.weight": _copied(in_history, new + 1, of_user["items.weight"], old + 1)})
    bias = log_share(examples, len(catalogue)).to(of_item["bias"])
    item.load_state_dict(
        of_item
        | {
            "attributes": item.attributes,
            "ids.weight": _copied(torch.zeros_like(item.ids.weight), new, of_item["ids.weight"], old),
            "bias": _copied(bias, new, of_item["bias"], old),
        }
    )
    return Towers(user, item, towers.device)


def _copied(values: Tensor, rows: Tensor, others: Tensor, places: Tensor) -> Tensor:
    return values.detach().index_copy(0, rows, others[places])
