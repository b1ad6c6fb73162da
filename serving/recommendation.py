"""Recommendations: the best k items by the two towers, or the most popular, and why. No Ray, no HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from motherlode import names, nearest
from motherlode.api import MAX_ITEMS, Item, Recommendation, SegmentAnswer, Source
from motherlode.bundle import Bundle
from motherlode.nearest import Doubles, Floats, Rows
from motherlode.packed import Status as RowStatus
from motherlode.packed import ViewRows
from motherlode.runtime import Runtime
from serving.catalogue import open_catalogue
from serving.consent import Verdicts, Withheld
from serving.features import Plan, Standing
from serving.filters import Filters, Narrowed, short
from serving.ranking import NO_HURRY, Deadline

LATEST: Final = "latest_items"
TOP: Final = "top_items"
WEIGHTS: Final = "top_weights"
PURCHASED: Final = "purchased_items"

_USERS_AT_ONCE: Final = 256
"""Customers whose vectors are computed by one run of the user tower; a bound on how long one step takes."""
_DIGITS: Final = 5
_NONE: Final = np.empty(0, dtype=np.int64)
_NOTHING_LEFT_OUT: Final = "purchases are unknown, nothing was left out"
_LITTLE_LEFT_OUT: Final = "purchases are unknown, only those in the history were left out"
_NOT_TO_BE_USED: Final = "purchases were not left out: without consent they are not used"


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
        late: whether the deadline came before the customer's turn.
    """

    outside: int | str
    standing: Standing
    history: Rows
    top: Rows
    weights: npt.NDArray[np.float32]
    left_out: Rows
    notes: tuple[str, ...]
    late: bool = False


@dataclass(frozen=True)
class Wanted:
    """What a list is to be, for all customers of a batch.

    Attributes:
        k: items each.
        exclude_purchased: leave out whatever the customer ever bought.
        narrowed: the items that there are.
    """

    k: int
    exclude_purchased: bool
    narrowed: Narrowed


class Recommender:
    """One bundle's recommender.

    Args:
        bundle: the bundle.
        runtime: its models.
        strict: the GPU was asked for by name: without it there is no catalogue.

    Attributes:
        catalogue: its items, to be searched.
        filters: which of them there are for a request.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime, *, strict: bool = False) -> None:
        self.catalogue = open_catalogue(bundle, runtime.compute, strict=strict)
        self.filters = Filters(bundle.items, self.catalogue)
        self._bundle = bundle
        self._runtime = runtime
        self._tower = bundle.manifest.tower
        self._row = self.filters.row
        history = [(names.HISTORY, column) for column in (LATEST, TOP, WEIGHTS)]
        models = {names.USER_TOWER: self._tower.model}
        services = bundle.manifest.services
        self._plan = Plan(services, models, history)
        self._excluding = Plan(services, models, [*history, (names.PURCHASES, PURCHASED)])

    def plan(self, exclude_purchased: bool) -> Plan:
        """What to read."""
        return self._excluding if exclude_purchased else self._plan

    def warm(self) -> None:
        """Ask everything once, before anybody waits for it."""
        history = np.zeros((1, self._tower.history_length), dtype=np.int64)
        self._runtime.user(history, np.zeros((1, len(self._tower.model.inputs)), dtype=np.float32))
        self.catalogue.warm()

    def personal(
        self,
        ids: Sequence[int | str],
        rows: Mapping[str, ViewRows],
        wanted: Wanted,
        at_us: int,
        verdicts: Verdicts | None = None,
        deadline: Deadline = NO_HURRY,
        parts: Sequence[tuple[int, int]] = (),
    ) -> list[Recommendation | Customer]:
        """The recommender's answer for each of N customers, or the customer where it has none.

        Args:
            ids: N outside ids.
            rows: N rows of every view of the plan.
            wanted: what each list is to be.
            at_us: the time to judge ages by, microseconds since 1970 UTC.
            verdicts: who of them is not answered personally, and so not ranked for; None: everybody is.
            deadline: whose turn comes after it has no answer, and is `late`.
            parts: where each request's customers begin and end; none: they are of one. No answer depends on what else
                is asked with it, to the last bit: the tower rounds otherwise in a larger batch, and so runs for each.
        """
        plan = self.plan(wanted.exclude_purchased)
        known = plan.know(rows, at_us)
        customers = [
            self._customer(outside, standing, rows, i, wanted.exclude_purchased, why)
            for i, (outside, standing, why) in enumerate(
                zip(ids, known.standings, verdicts or [None] * len(ids), strict=True)
            )
        ]
        answers: list[Recommendation | Customer] = list(customers)
        able = np.array([i for i, each in enumerate(customers) if len(each.history)], dtype=np.int64)
        features = plan.matrix(names.USER_TOWER, known)
        users = self._users(customers, able, features, parts or [(0, len(ids))], deadline)
        step, done = self.catalogue.at_once, 0
        while done < len(users) and not deadline.over:
            some = able[done : min(done + step, len(users))]
            made = self._personal([customers[i] for i in some], users[done : done + len(some)], wanted)
            for answer, i in zip(made, some.tolist(), strict=True):
                answers[i] = answer
            done += len(some)
        for i in able[done:].tolist():
            answers[i] = _late(customers[i], deadline.reason)
        return answers

    def popular(self, customer: Customer, segment: SegmentAnswer | None, wanted: Wanted) -> Recommendation:
        """What is popular in the customer's segment, or with all where it has none that the filter allows.

        Where the bundle knows how popular every item is, no filter empties the list while it leaves an item.
        """
        narrowed, k = wanted.narrowed, wanted.k
        most = min(k, MAX_ITEMS)
        ranked = self._bundle.popular.by_segment.get(segment.id, ()) if segment else ()
        kept = self._left(ranked, customer, narrowed)[:most]
        source: Source = "segment" if kept and segment else "popular"
        if len(kept) < most:
            kept = self._filled(kept, customer, narrowed, most)
        notes = [*customer.notes, *narrowed.notes]
        if customer.standing.age_s is not None and not customer.late:
            notes.append("not personal: there is no readable purchase of an item in the catalogue")
        if source == "segment" and segment:
            notes.append(f"popular in the segment {segment.name!r}")
        if len(kept) < k:
            listed = ranked if source == "segment" else self._bundle.popular.overall
            notes.append(self._short(len(kept), k, customer, narrowed, len(listed)))
        return self._recommendation(customer, source, kept, notes)

    def unavailable(self, ids: Sequence[int | str], reason: str, wanted: Wanted) -> list[Recommendation]:
        """N customers' answers when nothing could be read: the popular items, and why."""
        notes = (_NOTHING_LEFT_OUT,) if wanted.exclude_purchased else ()
        standing = Standing("degraded", None, (f"features unavailable: {reason}",))
        return [self.popular(_stranger(each, standing, notes), None, wanted) for each in ids]

    def _customer(
        self,
        outside: int | str,
        standing: Standing,
        rows: Mapping[str, ViewRows],
        i: int,
        exclude_purchased: bool,
        why: Withheld | None,
    ) -> Customer:
        """What is known of one customer; of one without consent, nothing; `capped`, what is to be left out alone."""
        if why is not None and why.status == "withheld":
            notes: tuple[str, ...] = (_NOT_TO_BE_USED,) if exclude_purchased else ()
            return _stranger(outside, Standing(why.status, None, (why.note,)), notes)
        history = rows[names.HISTORY]
        latest = self._rows(_listed(history, LATEST, i))
        favourites, counts = _listed(history, TOP, i), _listed(history, WEIGHTS, i)
        pairs = [(self._row[key], float(w)) for key, w in zip(favourites, counts, strict=False) if key in self._row]
        top = np.array([row for row, _ in pairs], dtype=np.int64)
        weights = np.array([weight for _, weight in pairs], dtype=np.float32)
        left_out, notes = _NONE, ()
        if exclude_purchased:
            purchases = rows[names.PURCHASES]
            bought = self._rows(_listed(purchases, PURCHASED, i))
            left_out = np.unique(np.concatenate([bought, latest, top]))
            if purchases.status[i] != RowStatus.PRESENT and standing.status != "cold":
                notes = (_LITTLE_LEFT_OUT if history.status[i] == RowStatus.PRESENT else _NOTHING_LEFT_OUT,)
        if why is not None:
            return _stranger(outside, Standing(why.status, None, (why.note,)), notes, left_out)
        return Customer(outside, standing, latest[: self._tower.history_length], top, weights, left_out, notes)

    def _rows(self, keys: Sequence[str]) -> Rows:
        return np.array([self._row[key] for key in keys if key in self._row], dtype=np.int64)

    def _users(
        self,
        customers: Sequence[Customer],
        able: Rows,
        features: Floats,
        parts: Sequence[tuple[int, int]],
        deadline: Deadline,
    ) -> Floats:
        """The vectors of the customers with a history: of all of them, or of as many as there is time for."""
        history = np.zeros((len(able), self._tower.history_length), dtype=np.int64)
        for place, i in enumerate(able.tolist()):
            history[place, : len(customers[i].history)] = customers[i].history + 1
        bounds = [(0, len(able))] if len(parts) == 1 else np.searchsorted(able, parts).tolist()
        made: list[Floats] = []
        runs = [(start, last) for first, last in bounds for start in range(first, last, _USERS_AT_ONCE)]
        for start, last in runs:
            if deadline.over:
                break
            some = slice(start, min(start + _USERS_AT_ONCE, last))
            made.append(self._runtime.user(history[some], features[able[some]]))
        if len(made) == 1:
            return made[0]
        return np.concatenate([np.empty((0, self.catalogue.vectors.shape[1]), dtype=np.float32), *made])

    def _personal(self, customers: Sequence[Customer], users: Floats, wanted: Wanted) -> list[Recommendation]:
        narrowed, k = wanted.narrowed, wanted.k
        most = min(k, MAX_ITEMS)
        # What a customer keeps buying is scored apart, by more than the product: it stands aside in the search.
        repeated = [self._repeated(customer, user, narrowed) for customer, user in zip(customers, users, strict=True)]
        aside = [
            np.concatenate([narrowed.aside, customer.left_out, rows])
            for customer, (rows, _) in zip(customers, repeated, strict=True)
        ]
        answers = []
        for customer, found, (rows, scores) in zip(
            customers, self.catalogue.search(users, most, narrowed.allowed, aside), repeated, strict=True
        ):
            best, value = nearest.ranked(
                np.concatenate([found.scores, scores]), np.concatenate([found.rows, rows]), most
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
        # So many of the first may be left out, and no more.
        first = self.filters.leading(narrowed, wanted + len(out))
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


def _stranger(outside: int | str, standing: Standing, notes: tuple[str, ...], left_out: Rows = _NONE) -> Customer:
    """A customer of whom nothing is known but what is to be left out."""
    return Customer(outside, standing, _NONE, _NONE, np.empty(0, dtype=np.float32), left_out, notes)


def _late(customer: Customer, reason: str) -> Customer:
    """A customer whose turn did not come."""
    known = customer.standing
    standing = Standing("degraded", known.age_s, (*known.notes, f"not personal: {reason}"))
    return replace(customer, standing=standing, late=True)


def _listed(rows: ViewRows, column: str, i: int) -> Sequence[str]:
    """One customer's list; empty where it is null."""
    values = rows.columns[column]
    found: Sequence[str] = values.data[i] if values.valid[i] else ()
    return found
