"""The recommender beside the baselines of a sceptic, on baskets that it did not see.

Two questions. What will be in the next basket, most of which was bought before? There the customer's own habits are
the baseline. And what of the next basket will be *new* to the customer? There habits say nothing, popularity is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from motherlode import names
from training import ranking
from training.ranking import ItemSets
from training.result import Quality
from training.two_tower.data import Examples

K: Final = 10
REPEAT_WEIGHTS: Final = (0.0, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0, 10.0, 13.0, 18.0, 25.0)
"""What `choose_repeat_weight` tries."""
_AT_ONCE: Final = 512
"""Customers scored at once: 512 × 15,000 scores are 30 MB."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Candidates:
    """All items that a blend of tower and habits can bring into the first k.

    Attributes:
        rows: shape (P, C), item rows; a row's items are distinct where `scores` is finite.
        scores: shape (P, C), the towers' product; `-inf` where there is no item.
        habits: shape (P, C), log1p of the decayed purchase count, 0 for what was not bought.
    """

    rows: Ints
    scores: Floats
    habits: Floats

    def ranked(self, repeat_weight: float, k: int = K) -> Ints:
        """The best k rows of each customer, as serving ranks them: scores + repeat_weight · habits."""
        best = ranking.top_k(self.scores + np.float32(repeat_weight) * self.habits, k)
        return np.take_along_axis(self.rows, best, axis=1)


def candidates(users: Floats, items: Floats, examples: Examples, k: int = K) -> Candidates:
    """The items with habits, and the best of the others.

    Args:
        users: shape (P, D).
        items: shape (items, D).
        examples: P baskets with what was known before them.
        k: how many will be asked for.
    """
    none = examples.top == 0
    own = np.where(none, 0, examples.top - 1)
    # At most top.shape[1] of the best are the customer's own, so k others are left.
    wide = min(k + own.shape[1], len(items))
    rows = np.empty((len(users), wide), dtype=np.int64)
    scores = np.empty((len(users), wide), dtype=np.float32)
    own_scores = np.empty(own.shape, dtype=np.float32)
    for first in range(0, len(users), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        product = users[part] @ items.T
        own_scores[part] = np.take_along_axis(product, own[part], axis=1)
        rows[part] = ranking.top_k(product, wide)
        scores[part] = np.take_along_axis(product, rows[part], axis=1)
    scores[ranking.hits(rows, sets_of(examples.top))] = -np.inf
    own_scores[none] = -np.inf
    habits = np.concatenate([np.log1p(examples.weights), np.zeros_like(scores)], axis=1)
    return Candidates(np.concatenate([own, rows], axis=1), np.concatenate([own_scores, scores], axis=1), habits)


def sets_of(padded: Ints) -> ItemSets:
    """The sets of rows that a padded matrix of row + 1 holds."""
    known = padded > 0
    return ItemSets(padded[known] - 1, np.concatenate([[0], np.cumsum(known.sum(axis=1))]).astype(np.int64))


def choose_repeat_weight(validation: Candidates, baskets: ItemSets) -> float:
    """The weight of the best NDCG@10 among `REPEAT_WEIGHTS`, the smaller among equals."""
    gains = [np.nanmean(ranking.ndcg_at_k(validation.ranked(weight), baskets, K)) for weight in REPEAT_WEIGHTS]
    return REPEAT_WEIGHTS[int(np.argmax(gains))]


def by_habit(owners: Ints, rows: Ints, weights: npt.NDArray[np.float64], popularity: Ints, users: int) -> Ints:
    """Each user's heaviest items, filled up from the most popular.

    Args:
        owners, rows, weights: shape (n,), (user, item, weight) triples; a pair occurs once.
        popularity: shape (items,); it also breaks ties, and then the lower row.
        users: how many.

    Returns:
        int64 of shape (users, min(K, items)).
    """
    k = min(K, len(popularity))
    order = np.lexsort((rows, -popularity[rows], -weights, owners))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=users))]).astype(np.int64)
    own = ItemSets(rows[order], offsets)
    popular = np.argsort(-popularity, kind="stable")[: 2 * k]
    best = np.empty((users, k), dtype=np.int64)
    for user in range(users):
        first = own[user][:k]
        others = popular[~np.isin(popular, first)]
        best[user] = np.concatenate([first, others])[:k]
    return best


def most_bought_own(before: Examples, popularity: Ints, customers: Ints) -> Ints:
    """Each customer's items by the number of baskets they were in.

    Args:
        before: the baskets that may be counted.
        popularity: see `by_habit`.
        customers: shape (P,), whom to rank for; distinct.
    """
    items = len(popularity)
    cells, counts = np.unique(
        before.customers[before.baskets.owners] * items + before.baskets.items, return_counts=True
    )
    place = np.full(int(max(customers.max(initial=0), before.customers.max(initial=0))) + 1, -1, dtype=np.int64)
    place[customers] = np.arange(len(customers))
    owners = place[cells // items]
    asked = owners >= 0
    return by_habit(owners[asked], cells[asked] % items, counts[asked].astype(np.float64), popularity, len(customers))


def most_bought_decayed(examples: Examples, popularity: Ints) -> Ints:
    """Each customer's items by their baskets, each halved by age (`data.HALF_LIFE_DAYS`)."""
    own = sets_of(examples.top)
    weights = examples.weights[examples.top > 0].astype(np.float64)
    return by_habit(own.owners, own.items, weights, popularity, len(examples))


def most_bought_overall(popularity: Ints, users: int) -> Ints:
    """The same list for everyone."""
    return by_habit(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), popularity, users)


@dataclass(frozen=True)
class Discovery:
    """The part of each basket that its customer had never bought before.

    Attributes:
        bought: what each of P customers had bought before.
        new: what is new in each basket; may be empty.
    """

    bought: ItemSets
    new: ItemSets

    def ranked(self, users: Floats, items: Floats) -> Ints:
        """The best K items by the vectors' product, what was bought left out."""
        best = np.empty((len(users), min(K, len(items))), dtype=np.int64)
        for first in range(0, len(users), _AT_ONCE):
            some = np.arange(first, min(first + _AT_ONCE, len(users)))
            product = users[some] @ items.T
            known = self.bought.take(some)
            product[known.owners, known.items] = -np.inf
            best[some] = ranking.top_k(product, K)
        return best


def discovery(before: Examples, examples: Examples, items: int) -> Discovery:
    """What is new in each of P baskets.

    Args:
        before: all earlier baskets of the customers.
        examples: one basket a customer.
        items: the catalogue's size.
    """
    place = np.full(int(max(before.customers.max(initial=0), examples.customers.max(initial=0))) + 1, -1, np.int64)
    place[examples.customers] = np.arange(len(examples))
    owners = place[before.customers[before.baskets.owners]]
    asked = owners >= 0
    bought = _from_cells(np.unique(owners[asked] * items + before.baskets.items[asked]), items, len(examples))
    basket = examples.baskets.owners * items + examples.baskets.items
    new = basket[~np.isin(basket, bought.owners * items + bought.items)]
    return Discovery(bought, _from_cells(np.sort(new), items, len(examples)))


def _from_cells(cells: Ints, items: int, users: int) -> ItemSets:
    sizes = np.bincount(cells // items, minlength=users)
    return ItemSets(cells % items, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def quality(
    protocol: str,
    served: Candidates,
    repeat_weight: float,
    users: Floats,
    items: Floats,
    before: Examples,
    test: Examples,
) -> tuple[Quality, ...]:
    """The test part's figures.

    Args:
        protocol: which basket is the test, for the metrics' names.
        served: of the test baskets.
        repeat_weight: chosen on the validation part.
        users, items: the vectors, shapes (P, D) and (items, D).
        before: the baskets that popularity is learnt from, among them all that the test's customers had bought.
        test: one basket a customer, P.
    """
    popularity = np.bincount(before.baskets.items, minlength=len(items))
    blend, alone = served.ranked(repeat_weight), served.ranked(0.0)
    habits = most_bought_decayed(test, popularity)
    rows = [
        *_next_basket(protocol, blend, DECAYED, habits, test.baskets),
        *_next_basket(protocol, blend, OWN, most_bought_own(before, popularity, test.customers), test.baskets),
        *_next_basket(f"{protocol}, tower alone", alone, DECAYED, habits, test.baskets),
        *_next_basket(
            f"{protocol}, tower alone", alone, OVERALL, most_bought_overall(popularity, len(test)), test.baskets
        ),
    ]
    unseen = discovery(before, test, len(items))
    found = unseen.ranked(users, items)
    usual = unseen.ranked(np.ones((len(test), 1), np.float32), popularity[:, None].astype(np.float32))
    rows += _next_basket(f"{protocol}, new items", found, OVERALL_NEW, usual, unseen.new)
    reach = ranking.coverage(blend, len(items))
    usual_reach = ranking.coverage(habits, len(items))
    rows.append(Quality(names.USER_TOWER, f"coverage@{K}, {protocol}", reach, None, DECAYED, usual_reach))
    return tuple(rows)


def _next_basket(what: str, ours: Ints, baseline: str, theirs: Ints, baskets: ItemSets) -> Sequence[Quality]:
    rows = []
    for name, measure in (("recall", ranking.recall_at_k), ("NDCG", ranking.ndcg_at_k)):
        value, usual = measure(ours, baskets, K), measure(theirs, baskets, K)
        gain = (value - usual)[np.isfinite(value - usual)]
        rows.append(
            Quality(
                names.USER_TOWER,
                f"{name}@{K}, {what}",
                float(np.nanmean(value)),
                None,
                baseline,
                float(np.nanmean(usual)),
                error=float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else None,
            )
        )
    return rows


OWN: Final = "the customer's most bought items"
DECAYED: Final = "the customer's most bought items, half-life 120 days"
OVERALL: Final = "most bought overall"
OVERALL_NEW: Final = "most bought overall, not yet bought"
