"""The towers: a user by history and features, an item by id and attributes; their product is the score.

Both vectors carry one more dimension: the item's is its bias, the user's is 1. So a plain product ranks with the
bias, and whoever serves needs to know nothing of it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """The sizes of both towers.

    Attributes:
        items: the catalogue's size.
        cardinalities: the number of values of each item attribute; empty for items known by id alone.
        features: numeric customer features; 0 for none.
        history_length: the longest history.
        dim: width of the vectors, a multiple of `heads`.
        heads: of attention.
        blocks: self-attention blocks before the pooling; 0 for a history whose inner order says little.
        dropout: of whole history items and of hidden units.
    """

    items: int
    cardinalities: tuple[int, ...]
    features: int
    history_length: int
    dim: int = 64
    heads: int = 2
    blocks: int = 0
    dropout: float = 0.1


class ItemTower(nn.Module):
    """Id and attribute embeddings, summed, and a bias.

    Args:
        shape: the sizes.
        attributes: shape (items, len(shape.cardinalities)), int64.
    """

    attributes: Tensor

    def __init__(self, shape: Shape, attributes: npt.NDArray[np.int64]) -> None:
        super().__init__()
        self.ids = nn.Embedding(shape.items, shape.dim)
        self.values = nn.ModuleList(nn.Embedding(count, shape.dim) for count in shape.cardinalities)
        self.bias = nn.Parameter(torch.zeros(shape.items))
        self.register_buffer("attributes", torch.from_numpy(np.ascontiguousarray(attributes.T)))
        nn.init.normal_(self.ids.weight, std=0.02)
        for table in self._tables():
            nn.init.zeros_(table.weight)

    def forward(self) -> Tensor:
        """Every item's vector: float32 of shape (items, dim + 1)."""
        vectors = self.ids.weight
        for table, codes in zip(self._tables(), self.attributes, strict=True):
            vectors = vectors + table(codes)
        return torch.cat([vectors, self.bias[:, None]], dim=1)

    def _tables(self) -> list[nn.Embedding]:
        return [table for table in self.values if isinstance(table, nn.Embedding)]


class Standardise(nn.Module):
    """Raw features to roughly normal ones, inside the graph: signed log1p, then mean 0 and deviation 1."""

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def fit(self, features: Tensor) -> None:
        """Take mean and deviation from rows of shape (N, F); a constant column is left at 0."""
        logs = self._log(features)
        self.mean.copy_(logs.mean(dim=0))
        deviation = logs.std(dim=0, correction=0)
        self.scale.copy_(torch.where(deviation > 1e-6, 1.0 / deviation, 0.0))

    def forward(self, features: Tensor) -> Tensor:
        """Shape (N, F) to (N, F)."""
        # Beyond the training range an answer should not run away with one customer's one number.
        return ((self._log(features) - self.mean) * self.scale).clamp(-5.0, 5.0)

    @staticmethod
    def _log(features: Tensor) -> Tensor:
        return features.sign() * features.abs().log1p()


class Attention(nn.Module):
    """A pre-norm attention block, written out because `nn.TransformerEncoder` with masks does not export.

    Args:
        dim: the width.
        heads: how many.
        dropout: of both branches.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.inner_norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, 2 * dim)
        self.narrow = nn.Linear(2 * dim, dim)
        self.dropout = nn.Dropout(dropout)
        # The block begins as the mean of what it sees: equal attention, values as they come, no inner layer.
        nn.init.zeros_(self.query.weight)
        nn.init.zeros_(self.query.bias)
        for layer in (self.value, self.out):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.narrow.weight)
        nn.init.zeros_(self.narrow.bias)

    def forward(self, asking: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Let `asking` look at `tokens`.

        Args:
            asking: shape (N, Q, dim).
            tokens: shape (N, T, dim).
            mask: bool, broadcast to (N, 1, Q, T); True where a token may be seen. No row is wholly False.

        Returns:
            Shape (N, Q, dim).
        """
        seen = self.norm(tokens)
        query = self._split(self.query(self.norm(asking)))
        attended = functional.scaled_dot_product_attention(
            query, self._split(self.key(seen)), self._split(self.value(tokens)), attn_mask=mask
        )
        joined = attended.transpose(1, 2).flatten(2)
        summed: Tensor = asking + self.dropout(self.out(joined))
        inner: Tensor = self.dropout(self.narrow(functional.gelu(self.widen(self.inner_norm(summed)))))
        return summed + inner

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class UserTower(nn.Module):
    """A customer token made of the features looks at the history's items.

    Args:
        shape: the sizes.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.items = nn.Embedding(shape.items + 1, shape.dim, padding_idx=0)
        self.places = nn.Embedding(shape.history_length, shape.dim)
        self.standardise = Standardise(shape.features)
        self.widen = nn.Parameter(torch.zeros(shape.dim, shape.features))
        self.widen_bias = nn.Parameter(torch.zeros(shape.dim))
        self.customer = nn.Linear(shape.dim, shape.dim)
        self.blocks = nn.ModuleList(Attention(shape.dim, shape.heads, shape.dropout) for _ in range(shape.blocks))
        self.pool = Attention(shape.dim, shape.heads, shape.dropout)
        nn.init.normal_(self.items.weight, std=0.02)
        nn.init.zeros_(self.places.weight)
        nn.init.normal_(self.widen, std=max(shape.features, 1) ** -0.5)
        nn.init.normal_(self.customer.weight, std=0.002)
        with torch.no_grad():
            self.items.weight[0] = 0.0

    def forward(self, history: Tensor, features: Tensor) -> Tensor:
        """Every customer's vector.

        Args:
            history: int64 (N, L), L at most `history_length`: item row + 1, newest first, then 0.
            features: float32 (N, F), raw and finite.

        Returns:
            float32 (N, dim + 1); the last is 1, for the items' bias.
        """
        widened = functional.linear(self.standardise(features), self.widen, self.widen_bias)
        customer = self.customer(functional.gelu(widened))[:, None, :]
        places = self.places.weight[: history.shape[1]]
        tokens = torch.cat([customer, self.items(history) + places], dim=1)
        # The customer's own token is always seen, so that an empty history masks no row wholly.
        known = torch.cat([torch.ones_like(history[:, :1], dtype=torch.bool), history > 0], dim=1)
        diagonal = torch.eye(known.shape[1], dtype=torch.bool, device=known.device)
        mask = known[:, None, None, :] | diagonal
        for block in self.blocks:
            tokens = block(tokens, tokens, mask)
        user = self.pool(tokens[:, :1], tokens, mask[:, :, :1])[:, 0]
        return torch.cat([user, torch.ones_like(user[:, :1])], dim=1)
