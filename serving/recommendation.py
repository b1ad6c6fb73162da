"""Recommendations: the best k items by the two towers, or the most popular, and why. No Ray, no HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from motherlode import names, nearest
from motherlode.api import MAX_ITEMS, Item, ItemFilters, Recommendation, SegmentAnswer, Source, Status
from motherlode.bundle import Bundle
from motherlode.nearest import Doubles, Floats, Rows
from motherlode.packed import Status as RowStatus
from motherlode.packed import ViewRows
from motherlode.runtime import Runtime
from serving.catalogue import open_catalogue
from serving.features import Plan, Standing
from serving.filters import Filters, Narrowed, short

LATEST: Final = "latest_items"
TOP: Final = "top_items"
WEIGHTS: Final = "top_weights"
PURCHASED: Final = "purchased_items"

_USERS_AT_ONCE: Final = 256
"""Customers whose vectors are computed by one run of the user tower; a bound on how long one step takes."""
_DIGITS: Final = 5

_NO_FILTER: Final = ItemFilters()


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

    Attributes:
        catalogue: its items, to be searched.
        filters: which of them there are for a request.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime) -> None:
        self.catalogue = open_catalogue(bundle, runtime.compute)
        self.filters = Filters(bundle.items, self.catalogue)
        self._everything = self.filters.narrow(_NO_FILTER)
        self._bundle = bundle
        self._runtime = runtime
        self._tower = bundle.manifest.tower
        self._row = self.filters.row
        popularity = np.array(bundle.items.popularity, dtype=np.float64)
        self._popular = np.argsort(-popularity, kind="stable")
        history = [(names.HISTORY, column) for column in (LATEST, TOP, WEIGHTS)]
        models = {names.USER_TOWER: self._tower.model}
        services = bundle.manifest.services
        self._plan = Plan(services, models, history)
        self._excluding = Plan(services, models, [*history, (names.PURCHASES, PURCHASED)])

    def plan(self, exclude_purchased: bool) -> Plan:
        """What to read."""
        return self._excluding if exclude_purchased else self._plan

    def personal(
        self,
        ids: Sequence[int | str],
        rows: Mapping[str, ViewRows],
        k: int,
        exclude_purchased: bool,
        at_us: int,
        narrowed: Narrowed | None = None,
    ) -> list[Recommendation | Customer]:
        """The recommender's answer for each of N customers, or the customer where it has none.

        Args:
            ids: N outside ids.
            rows: N rows of every view of the plan.
            k: items each.
            exclude_purchased: leave out whatever the customer ever bought.
            at_us: the time to judge ages by, microseconds since 1970 UTC.
            narrowed: the items that there are; None: all.
        """
        plan, narrowed = self.plan(exclude_purchased), narrowed or self._everything
        known = plan.know(rows, at_us)
        customers = [
            self._customer(outside, standing, rows, i, exclude_purchased)
            for i, (outside, standing) in enumerate(zip(ids, known.standings, strict=True))
        ]
        answers: list[Recommendation | Customer] = list(customers)
        able = np.array([i for i, each in enumerate(customers) if len(each.history)], dtype=np.int64)
        features = plan.matrix(names.USER_TOWER, known.raw)
        for start in range(0, len(able), _USERS_AT_ONCE):
            some = able[start : start + _USERS_AT_ONCE]
            made = self._personal([customers[i] for i in some], features[some], k, narrowed)
            for answer, i in zip(made, some.tolist(), strict=True):
                answers[i] = answer
        return answers

    def popular(
        self, customer: Customer, segment: SegmentAnswer | None, k: int, narrowed: Narrowed | None = None
    ) -> Recommendation:
        """What is popular in the customer's segment, or with all where it has none that the filter allows.

        Where the bundle knows how popular every item is, no filter empties the list while it leaves an item.
        """
        narrowed = narrowed or self._everything
        wanted = min(k, MAX_ITEMS)
        ranked = self._bundle.popular.by_segment.get(segment.id, ()) if segment else ()
        kept = self._left(ranked, customer, narrowed)[:wanted]
        source: Source = "segment" if kept and segment else "popular"
        if len(kept) < wanted:
            kept = self._filled(kept, customer, narrowed, wanted)
        notes = [*customer.notes, *narrowed.notes]
        if customer.standing.age_s is not None:
            notes.append("not personal: there is no readable purchase of an item in the catalogue")
        if source == "segment" and segment:
            notes.append(f"popular in the segment {segment.name!r}")
        if len(kept) < k:
            listed = ranked if source == "segment" else self._bundle.popular.overall
            notes.append(self._short(len(kept), k, customer, narrowed, len(listed)))
        return self._recommendation(customer, source, kept, notes)

    def unavailable(
        self,
        ids: Sequence[int | str],
        reason: str,
        k: int,
        exclude_purchased: bool,
        narrowed: Narrowed | None = None,
    ) -> list[Recommendation]:
        """N customers' answers when nothing could be read: the popular items, and why."""
        notes = ("purchases are unknown, nothing was left out",) if exclude_purchased else ()
        standing = Standing("degraded", None, (f"features unavailable: {reason}",))
        return [self.popular(_stranger(each, standing, notes), None, k, narrowed) for each in ids]

    def withheld(
        self, outside: int | str, status: Status, note: str, k: int, narrowed: Narrowed | None = None
    ) -> Recommendation:
        """What is popular with all, for a customer who is not answered personally."""
        return self.popular(_stranger(outside, Standing(status, None, (note,)), ()), None, k, narrowed)

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

    def _personal(
        self, customers: Sequence[Customer], features: Floats, k: int, narrowed: Narrowed
    ) -> list[Recommendation]:
        history = np.zeros((len(customers), self._tower.history_length), dtype=np.int64)
        for i, customer in enumerate(customers):
            history[i, : len(customer.history)] = customer.history + 1
        users = self._runtime.user(history, features)
        wanted = min(k, MAX_ITEMS)
        # What a customer keeps buying is scored apart, by more than the product: it stands aside in the search.
        repeated = [self._repeated(customer, user, narrowed) for customer, user in zip(customers, users, strict=True)]
        aside = [
            np.concatenate([narrowed.aside, customer.left_out, rows])
            for customer, (rows, _) in zip(customers, repeated, strict=True)
        ]
        answers = []
        for customer, found, (rows, scores) in zip(
            customers, self.catalogue.search(users, wanted, narrowed.allowed, aside), repeated, strict=True
        ):
            best, value = nearest.ranked(
                np.concatenate([found.scores, scores]), np.concatenate([found.rows, rows]), wanted
            )
            notes = [*customer.notes, *narrowed.notes]
            if len(best) < k:
                notes.append(self._short(len(best), k, customer, narrowed))
            kept = list(zip(best.tolist(), value.tolist(), strict=True))
            answers.append(self._recommendation(customer, "personal", kept, notes))
        return answers

    def _repeated(self, customer: Customer, user: Floats, narrowed: Narrowed) -> tuple[Rows, Doubles]:
        """The items that the customer keeps buying and that may be recommended, with their scores."""
        rows, first = np.unique(customer.top, return_index=True)
        weights = customer.weights[first]
        if not self._tower.repeat_weight:
            rows, weights = rows[:0], weights[:0]
        fit = narrowed.among(rows) & ~np.isin(rows, customer.left_out)
        rows, weights = rows[fit], weights[fit]
        bonus = self._tower.repeat_weight * np.log1p(weights.astype(np.float64))
        return rows, self.catalogue.scores(user, rows) + bonus

    def _left(
        self, ranked: Sequence[tuple[int, float]], customer: Customer, narrowed: Narrowed
    ) -> list[tuple[int, float]]:
        """What of a popular list may be recommended."""
        rows = np.array([row for row, _ in ranked], dtype=np.int64)
        fit = narrowed.among(rows) & ~np.isin(rows, customer.left_out)
        return [each for each, ok in zip(ranked, fit.tolist(), strict=True) if ok]

    def _filled(
        self, kept: Sequence[tuple[int, float]], customer: Customer, narrowed: Narrowed, wanted: int
    ) -> list[tuple[int, float]]:
        """A list filled up with what is popular with all."""
        items = self._bundle.items.popularity
        if not items:
            return list(kept) or self._left(self._bundle.popular.overall, customer, narrowed)[:wanted]
        least = min((score for _, score in kept), default=np.inf)
        given = np.array([row for row, _ in kept], dtype=np.int64)
        out = np.concatenate([given, customer.left_out, narrowed.aside])
        able = self._popular if narrowed.allowed is None else self._popular[narrowed.allowed.mask[self._popular]]
        # So many of the first may be left out, and no more.
        first = able[: wanted + len(out)]
        more = first[~np.isin(first, out)][: wanted - len(kept)]
        # A share of all baskets, not of the segment's: beside those it only says that these come after.
        return [*kept, *((row, min(items[row], least)) for row in more.tolist())]

    def _short(self, got: int, wanted: int, customer: Customer, narrowed: Narrowed, listed: int | None = None) -> str:
        """Why a list is short; `listed`: it was made of a popular list of that length."""
        short_list = listed is not None and not self._bundle.items.popularity
        parts = [f"the popular list has {listed}" if short_list else f"the catalogue has {len(self.catalogue)}"]
        if narrowed.narrowed:
            parts.append(f"{narrowed.size} pass the filters")
        bought = np.unique(customer.left_out)
        if left := int(narrowed.among(bought).sum()):
            parts.append(f"{left} were left out as already bought")
        return short(got, wanted, MAX_ITEMS, parts)

    def _recommendation(
        self, customer: Customer, source: Source, kept: Sequence[tuple[int, float]], notes: Sequence[str]
    ) -> Recommendation:
        table = self._bundle.items
        items = [Item(table.ids[row], round(score, _DIGITS), table.names[row]) for row, score in kept]
        standing = customer.standing
        return Recommendation(
            customer.outside, standing.status, source, items, standing.age_s, standing.with_notes(*notes)
        )


def _stranger(outside: int | str, standing: Standing, notes: tuple[str, ...]) -> Customer:
    """A customer of whom nothing is read."""
    none = np.empty(0, dtype=np.int64)
    return Customer(outside, standing, none, none, np.empty(0, dtype=np.float32), none, notes)


def _listed(rows: ViewRows, column: str, i: int) -> Sequence[str]:
    """One customer's list; empty where it is null."""
    values = rows.columns[column]
    found: Sequence[str] = values.data[i] if values.valid[i] else ()
    return found
