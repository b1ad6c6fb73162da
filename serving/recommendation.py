"""Recommendations: the best k items by the two towers, or the most popular, and why. No Ray, no HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from motherlode import names
from motherlode.api import MAX_ITEMS, Item, Recommendation, SegmentAnswer, Source
from motherlode.bundle import Bundle
from motherlode.packed import Status as RowStatus
from motherlode.packed import ViewRows
from motherlode.runtime import Runtime
from serving.features import Plan, Standing

LATEST: Final = "latest_items"
TOP: Final = "top_items"
WEIGHTS: Final = "top_weights"
PURCHASED: Final = "purchased_items"

_SCORES_AT_ONCE: Final = 4_000_000
"""Customers × items; 16 MB of float32, and a bound on how long one step takes."""
_DIGITS: Final = 5

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Customer:
    """What is known of one customer for recommending.

    Attributes:
        outside: the id as it was asked for.
        standing: what the answer rests on.
        history: rows of the catalogue, newest first.
        top: rows of the items bought most, and `weights`, how much.
        left_out: rows that must not be recommended.
        notes: what could not be done.
    """

    outside: int | str
    standing: Standing
    history: Rows
    top: Rows
    weights: npt.NDArray[np.float32]
    left_out: Rows
    notes: tuple[str, ...]


class Recommender:
    """One bundle's recommender.

    Args:
        bundle: the bundle.
        runtime: its models.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime) -> None:
        self._bundle = bundle
        self._runtime = runtime
        self._tower = bundle.manifest.tower
        self._row = {key: row for row, key in enumerate(bundle.items.keys)}
        history = [(names.HISTORY, column) for column in (LATEST, TOP, WEIGHTS)]
        models = {names.USER_TOWER: self._tower.model}
        services = bundle.manifest.services
        self._plan = Plan(services, models, history)
        self._excluding = Plan(services, models, [*history, (names.PURCHASES, PURCHASED)])
        self._at_once = max(1, _SCORES_AT_ONCE // max(1, len(bundle.items.ids)))

    def plan(self, exclude_purchased: bool) -> Plan:
        """What to read."""
        return self._excluding if exclude_purchased else self._plan

    def personal(
        self, ids: Sequence[int | str], rows: Mapping[str, ViewRows], k: int, exclude_purchased: bool, at_us: int
    ) -> list[Recommendation | Customer]:
        """The recommender's answer for each of N customers, or the customer where it has none.

        Args:
            ids: N outside ids.
            rows: N rows of every view of the plan.
            k: items each.
            exclude_purchased: leave out whatever the customer ever bought.
            at_us: the time to judge ages by, microseconds since 1970 UTC.
        """
        plan = self.plan(exclude_purchased)
        known = plan.know(rows, at_us)
        customers = [
            self._customer(outside, standing, rows, i, exclude_purchased)
            for i, (outside, standing) in enumerate(zip(ids, known.standings, strict=True))
        ]
        answers: list[Recommendation | Customer] = list(customers)
        able = np.array([i for i, each in enumerate(customers) if len(each.history)], dtype=np.int64)
        features = plan.matrix(names.USER_TOWER, known.raw)
        for start in range(0, len(able), self._at_once):
            some = able[start : start + self._at_once]
            scores = self._scores([customers[i] for i in some], features[some])
            for row, i in zip(scores, some.tolist(), strict=True):
                answers[i] = self._answer(customers[i], row, k)
        return answers

    def popular(self, customer: Customer, segment: SegmentAnswer | None, k: int) -> Recommendation:
        """What is popular in the customer's segment, or with all where it has none."""
        left_out = set(customer.left_out.tolist())
        ranked = self._bundle.popular.by_segment.get(segment.id, ()) if segment else ()
        source: Source = "segment" if ranked and segment else "popular"
        ranked = ranked or self._bundle.popular.overall
        wanted = min(k, MAX_ITEMS)
        kept = [(row, score) for row, score in ranked if row not in left_out][:wanted]
        notes = list(customer.notes)
        if customer.standing.age_s is not None:
            notes.append("not personal: there is no readable purchase of an item in the catalogue")
        if source == "segment" and segment:
            notes.append(f"popular in the segment {segment.name!r}")
        if len(kept) < k:
            notes.append(_short(len(kept), k, f"the popular list has {len(ranked)}", len(ranked) - len(kept)))
        return self._recommendation(customer, source, kept, notes)

    def unavailable(
        self, ids: Sequence[int | str], reason: str, k: int, exclude_purchased: bool
    ) -> list[Recommendation]:
        """N customers' answers when nothing could be read: the popular items, and why."""
        notes = ("purchases are unknown, nothing was left out",) if exclude_purchased else ()
        standing = Standing("degraded", None, (f"features unavailable: {reason}",))
        none = np.empty(0, dtype=np.int64)
        weights = np.empty(0, dtype=np.float32)
        return [self.popular(Customer(each, standing, none, none, weights, none, notes), None, k) for each in ids]

    def _customer(
        self, outside: int | str, standing: Standing, rows: Mapping[str, ViewRows], i: int, exclude_purchased: bool
    ) -> Customer:
        history = rows[names.HISTORY]
        latest = self._rows(_listed(history, LATEST, i))
        favourites, counts = _listed(history, TOP, i), _listed(history, WEIGHTS, i)
        pairs = [(self._row[key], float(w)) for key, w in zip(favourites, counts, strict=False) if key in self._row]
        top = np.array([row for row, _ in pairs], dtype=np.int64)
        weights = np.array([weight for _, weight in pairs], dtype=np.float32)
        left_out = np.empty(0, dtype=np.int64)
        notes: tuple[str, ...] = ()
        if exclude_purchased:
            purchases = rows[names.PURCHASES]
            bought = self._rows(_listed(purchases, PURCHASED, i))
            left_out = np.unique(np.concatenate([bought, latest, top]))
            if purchases.status[i] != RowStatus.PRESENT and standing.status != "cold":
                notes = ("purchases are unknown, only those in the history were left out",)
        return Customer(outside, standing, latest[: self._tower.history_length], top, weights, left_out, notes)

    def _rows(self, keys: Sequence[str]) -> Rows:
        return np.array([self._row[key] for key in keys if key in self._row], dtype=np.int64)

    def _scores(self, customers: Sequence[Customer], features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Shape (len(customers), items): what is left out is minus infinity."""
        history = np.zeros((len(customers), self._tower.history_length), dtype=np.int64)
        for i, customer in enumerate(customers):
            history[i, : len(customer.history)] = customer.history + 1
        scores = self._runtime.user(history, features) @ self._bundle.vectors.T
        for i, customer in enumerate(customers):
            if self._tower.repeat_weight:
                scores[i, customer.top] += self._tower.repeat_weight * np.log1p(customer.weights)
            scores[i, customer.left_out] = -np.inf
        return np.asarray(scores, dtype=np.float32)

    def _answer(self, customer: Customer, scores: npt.NDArray[np.float32], k: int) -> Recommendation:
        best = [row for row in top_k(scores, min(k, MAX_ITEMS)).tolist() if np.isfinite(scores[row])]
        kept = [(row, float(scores[row])) for row in best]
        notes = list(customer.notes)
        if len(kept) < k:
            size = len(scores)
            notes.append(_short(len(kept), k, f"the catalogue has {size}", len(np.unique(customer.left_out))))
        return self._recommendation(customer, "personal", kept, notes)

    def _recommendation(
        self, customer: Customer, source: Source, kept: Sequence[tuple[int, float]], notes: Sequence[str]
    ) -> Recommendation:
        table = self._bundle.items
        items = [Item(table.ids[row], round(score, _DIGITS), table.names[row]) for row, score in kept]
        standing = customer.standing
        return Recommendation(
            customer.outside, standing.status, source, items, standing.age_s, standing.with_notes(*notes)
        )


def top_k(scores: npt.NDArray[np.float32], k: int) -> Rows:
    """The rows of the k best scores, best first; among equals the lower row.

    Args:
        scores: shape (items,).
        k: how many; fewer items give fewer.
    """
    if k < len(scores):
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        # Everything as good as the k-th takes part, so that ties do not depend on the partition.
        candidates = np.flatnonzero(scores >= least)
    else:
        candidates = np.arange(len(scores))
    return candidates[np.argsort(-scores[candidates], kind="stable")[:k]]


def _listed(rows: ViewRows, column: str, i: int) -> Sequence[str]:
    """One customer's list; empty where it is null."""
    values = rows.columns[column]
    found: Sequence[str] = values.data[i] if values.valid[i] else ()
    return found


def _short(got: int, wanted: int, reason: str, left_out: int) -> str:
    if got == MAX_ITEMS:
        return f"{got} of {wanted} items: at most {MAX_ITEMS} are given"
    left = f", {left_out} were left out as already bought" if left_out > 0 else ""
    return f"{got} of {wanted} items: {reason}{left}"
