"""From purchases to training examples: one basket is one example, seen with what was known before it.

The protocol is the usual one of next-basket recommendation: distinct (customer, basket, item); items of too few
baskets go, then baskets of too few items, then customers of too few baskets. Which example is for what, `splits` says.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from motherlode import names, stability
from motherlode.errors import DataError
from motherlode.manifest import Input, ItemTable
from training.ranking import ItemSets

MIN_ITEM_BASKETS: Final = 17
"""An item in fewer baskets gets no id embedding, is not recommended, and is skipped in a history."""
MIN_BASKET_ITEMS: Final = 3
MIN_CUSTOMER_BASKETS: Final = 4
HISTORY_LENGTH: Final = 50
TOP_ITEMS: Final = 50
HALF_LIFE_DAYS: Final = 120.0
"""Of a purchase's weight; the `history` view counts the same way."""

ATTRIBUTES: Final = (names.DEPARTMENT, names.CATEGORY, names.BRAND)

_DAY_US: Final = 86_400_000_000


@dataclass(frozen=True)
class Catalogue:
    """What can be recommended, in rows.

    Attributes:
        table: ids, keys, names and categories for the bundle.
        attributes: shape (items, len(ATTRIBUTES)), int64; each column numbers its values from 0, null is one of them.
        cardinalities: the number of values of each attribute.
    """

    table: ItemTable
    attributes: npt.NDArray[np.int64]
    cardinalities: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.table.keys)


@dataclass(frozen=True)
class Examples:
    """P baskets, by customer and then by time, each with what its customer had bought before it.

    Attributes:
        customers: shape (P,), the customer's number, 0 to C - 1.
        times: shape (P,), int64, microseconds since 1970 in UTC.
        history: shape (P, HISTORY_LENGTH), int64: row + 1 of the latest distinct items, newest first, then 0.
        top: shape (P, TOP_ITEMS), int64: row + 1 of the items with the highest decayed purchase counts, then 0.
        weights: shape of `top`, float32: those counts, 0 where there is none.
        features: shape (P, F), float32; NaN where nothing is known, before `imputed`.
        baskets: the items bought, P sets.
    """

    customers: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    history: npt.NDArray[np.int64]
    top: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]
    baskets: ItemSets

    def __len__(self) -> int:
        return len(self.customers)

    def take(self, rows: npt.NDArray[np.int64]) -> "Examples":
        """The examples at `rows`, in that order."""
        return Examples(
            self.customers[rows],
            self.times[rows],
            self.history[rows],
            self.top[rows],
            self.weights[rows],
            self.features[rows],
            self.baskets.take(rows),
        )

    @property
    def ages(self) -> npt.NDArray[np.int64]:
        """Shape (P,): 0 for a customer's last basket among these, 1 for the last but one, and so on."""
        return np.searchsorted(self.customers, self.customers, side="right") - 1 - np.arange(len(self))

    def latest(self, count: int) -> "Examples":
        """Each customer's last `count` baskets among these."""
        return self.take(np.flatnonzero(self.ages < count))

    def imputed(self, inputs: tuple[Input, ...]) -> "Examples":
        """These, with the inputs' defaults where a feature is not known."""
        defaults = np.array([each.default for each in inputs], dtype=np.float32)
        return replace(self, features=np.where(np.isfinite(self.features), self.features, defaults))


@dataclass(frozen=True)
class Dataset:
    """Everything a fit needs.

    Attributes:
        catalogue: the items.
        columns: the customer features as `view__feature`, one for each column of `examples.features`.
        examples: every basket of the protocol, the features as they are known.
    """

    catalogue: Catalogue
    columns: tuple[str, ...]
    examples: Examples


def prepare(
    transactions: pl.DataFrame, items: pl.DataFrame, user_features: pl.DataFrame, before: datetime | None = None
) -> Dataset:
    """Purchases, items and feature snapshots to examples.

    Args:
        transactions: the integrated table; customer_id, basket_id, item_id, quantity and
            event_timestamp are read.
        items: the integrated table.
        user_features: customer_id, event_timestamp and numeric columns `view__feature`: the snapshots. A basket sees
            the latest snapshot of its customer that is not after it; a snapshot sees only purchases before it.
        before: see `keep_protocol`.

    Raises:
        DataError: too little is left of the purchases, or a column is not numeric.
    """
    lines = keep_protocol(transactions, before)
    catalogue = build_catalogue(lines, items)
    baskets = _baskets(lines)
    columns, features = as_of(baskets, user_features)
    return Dataset(catalogue, columns, _examples(lines, baskets, catalogue, features))


def keep_protocol(transactions: pl.DataFrame, before: datetime | None = None) -> pl.DataFrame:
    """Distinct (customer, basket, item) with the basket's time, after the three cuts.

    Args:
        transactions: see `prepare`.
        before: only what lies before it decides which items and customers stay; None: everything does.

    Returns:
        customer_id, basket_id, item_id, event_timestamp (the basket's first), by customer, time, basket and item.

    Raises:
        DataError: nothing is left.
    """
    basket = [names.CUSTOMER_ID, names.BASKET_ID]
    sold = pl.col(names.ITEM_ID).is_not_null() & (pl.col(names.QUANTITY) >= 0)  # a return's quantity is negative
    lines = transactions.filter(sold).group_by(*basket, names.ITEM_ID).agg(pl.col(names.EVENT_TIMESTAMP).min())
    counts = pl.lit(True) if before is None else pl.col(names.EVENT_TIMESTAMP) < before
    # A group of distinct lines has as many baskets, or items, as it has lines.
    lines = _of_at_least(lines, lines.filter(counts), [names.ITEM_ID], MIN_ITEM_BASKETS)
    lines = _of_at_least(lines, lines, basket, MIN_BASKET_ITEMS)
    lines = _of_at_least(lines, lines.filter(counts).unique(basket), [names.CUSTOMER_ID], MIN_CUSTOMER_BASKETS)
    # An item that counted only by lines which the other two cuts took is not known before.
    lines = _of_at_least(lines, lines.filter(counts), [names.ITEM_ID], 1)
    if lines.is_empty():
        when = "" if before is None else f", counted before {before:%Y-%m-%d}"
        raise DataError(
            f"No purchases are left of {len(transactions)}{when}: items need {MIN_ITEM_BASKETS} baskets, baskets "
            f"{MIN_BASKET_ITEMS} such items, customers {MIN_CUSTOMER_BASKETS} such baskets.",
            "Give the recommender more purchases.",
        )
    return lines.with_columns(pl.col(names.EVENT_TIMESTAMP).min().over(basket)).sort(
        names.CUSTOMER_ID, names.EVENT_TIMESTAMP, names.BASKET_ID, names.ITEM_ID
    )


def _of_at_least(lines: pl.DataFrame, counted: pl.DataFrame, keys: list[str], least: int) -> pl.DataFrame:
    return lines.join(counted.group_by(keys).len().filter(pl.col("len") >= least), on=keys, how="semi")


def _baskets(lines: pl.DataFrame) -> pl.DataFrame:
    """One row a basket, in the lines' order: customer_id, basket_id, event_timestamp, size."""
    return lines.group_by(names.CUSTOMER_ID, names.BASKET_ID, maintain_order=True).agg(
        pl.col(names.EVENT_TIMESTAMP).first(), pl.len().cast(pl.Int64).alias("size")
    )


def build_catalogue(lines: pl.DataFrame, items: pl.DataFrame) -> Catalogue:
    """The items that occur in `lines`, ordered by key, with their attributes.

    The attributes' values are numbered over all of `items`, so that catalogues of other lines number them alike.

    Raises:
        DataError: `items` knows an item twice.
    """
    sold = lines.select(names.ITEM_ID).unique().join(items, on=names.ITEM_ID, how="left").sort(names.ITEM_ID)
    if sold[names.ITEM_ID].n_unique() < len(sold):
        twice = sold.filter(pl.col(names.ITEM_ID).is_duplicated())[names.ITEM_ID][0]
        raise DataError(f"Item {twice!r} stands twice in the table of items.", "Keep one row an item.")
    keys = sold[names.ITEM_ID].to_list()
    ids = [key if outside is None else outside for key, outside in zip(keys, sold[names.OUTSIDE_ID], strict=True)]
    values = [_values(items[attribute]) for attribute in ATTRIBUTES]
    codes = [
        sold[attribute].fill_null("").replace_strict(known, range(len(known)), return_dtype=pl.Int64).to_numpy()
        for attribute, known in zip(ATTRIBUTES, values, strict=True)
    ]
    table = ItemTable(
        ids=tuple(ids),
        keys=tuple(keys),
        names=tuple(sold[names.ITEM_NAME].fill_null("")),
        categories=tuple(sold[names.CATEGORY].fill_null("")),
    )
    return Catalogue(table, np.stack(codes, axis=1), tuple(map(len, values)))


def _values(column: pl.Series) -> list[str]:
    # Numbered by value and not by first sight, so that the order of the rows changes nothing. Null always is one:
    # an item that is not in the table has it.
    return sorted({"", *column.fill_null("")})


def as_of(baskets: pl.DataFrame, user_features: pl.DataFrame) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
    """The latest snapshot not after each basket.

    Returns:
        The features' names, F of them, and float32 of shape (P, F), NaN for what is missing.

    Raises:
        DataError: a feature is not numeric, or not named `view__feature`.
    """
    keys = (names.CUSTOMER_ID, names.EVENT_TIMESTAMP)
    columns = [column for column in user_features.columns if column not in keys]
    for column in columns:
        if not user_features.schema[column].is_numeric() or "__" not in column:
            raise DataError(
                f"Feature {column!r} ({user_features.schema[column]}) cannot enter the user tower.",
                "Give numeric columns named `view__feature`.",
            )
    # Unlike `join_asof`, which wants each side sorted by time alone, the order of the baskets must stay.
    joined = (
        baskets.with_row_index("order")
        .sort(names.EVENT_TIMESTAMP)
        .join_asof(
            user_features.sort(names.EVENT_TIMESTAMP),
            on=names.EVENT_TIMESTAMP,
            by=names.CUSTOMER_ID,
            check_sortedness=False,
        )
        .sort("order")
    )
    values = joined.select(pl.col(columns).cast(pl.Float32).fill_null(np.nan)).to_numpy().reshape(len(joined), -1)
    return tuple(columns), values.astype(np.float32)


def learn_inputs(columns: tuple[str, ...], features: npt.NDArray[np.float32]) -> tuple[Input, ...]:
    """Each feature's median, which stands in where it is not known, and its drift profile.

    Args:
        columns: `view__feature`, F names.
        features: shape (P, F), NaN where not known; of the training part alone, so that nothing later is told.
    """
    return tuple(_input(column, features[:, place]) for place, column in enumerate(columns))


def _input(column: str, values: npt.NDArray[np.float32]) -> Input:
    known = values[np.isfinite(values)]
    default = float(np.median(known)) if len(known) else 0.0
    view, name = column.split("__", 1)
    return Input(view, name, default, *stability.seen(values))


def _examples(
    lines: pl.DataFrame, baskets: pl.DataFrame, catalogue: Catalogue, features: npt.NDArray[np.float32]
) -> Examples:
    rows = (
        lines[names.ITEM_ID]
        .replace_strict(catalogue.table.keys, range(len(catalogue)), return_dtype=pl.Int64)
        .to_numpy()
    )
    sets = ItemSets(rows, np.concatenate([[0], np.cumsum(baskets["size"].to_numpy())]).astype(np.int64))
    at = baskets[names.EVENT_TIMESTAMP].dt.epoch("us").to_numpy()
    runs = baskets[names.CUSTOMER_ID].rle_id().cast(pl.Int64).to_numpy()
    bounds = np.concatenate([np.flatnonzero(np.diff(runs, prepend=-1)), [len(runs)]])
    history = np.zeros((len(sets), HISTORY_LENGTH), dtype=np.int64)
    top = np.zeros((len(sets), TOP_ITEMS), dtype=np.int64)
    weights = np.zeros((len(sets), TOP_ITEMS), dtype=np.float32)
    for start, stop in pairwise(bounds.tolist()):
        for basket, known in enumerate(_walk(sets, at, start, stop), start):
            latest, favourites, counts = known
            history[basket, : len(latest)] = latest + 1
            top[basket, : len(favourites)] = favourites + 1
            weights[basket, : len(counts)] = counts
    return Examples(runs, at, history, top, weights, features, sets)


def _walk(
    sets: ItemSets, at: npt.NDArray[np.int64], start: int, stop: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """What one customer had bought before each of the baskets `start` to `stop`.

    Yields:
        The latest items, the items with the highest decayed counts, and those counts; ties by item row.
    """
    own, local = np.unique(sets.items[sets.offsets[start] : sets.offsets[stop]], return_inverse=True)
    seen = np.full(len(own), -1, dtype=np.int64)
    counts = np.zeros(len(own))
    for basket in range(start, stop):
        if basket > start:
            counts *= 0.5 ** ((at[basket] - at[basket - 1]) / (HALF_LIFE_DAYS * _DAY_US))
        known = int((seen >= 0).sum())
        latest = np.argsort(-seen, kind="stable")[: min(known, HISTORY_LENGTH)]
        favourites = np.argsort(-counts, kind="stable")[: min(known, TOP_ITEMS)]
        yield own[latest], own[favourites], counts[favourites]
        bought = local[sets.offsets[basket] - sets.offsets[start] : sets.offsets[basket + 1] - sets.offsets[start]]
        seen[bought] = basket
        counts[bought] += 1.0
