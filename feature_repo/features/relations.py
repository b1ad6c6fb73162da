"""Relations: the customers that behave most alike, and the community that they make.

Grain: customer × the latest snapshot, for each who bought something before it; all of it from `transactions` of the
`windows.YEAR` before, returns left out. A customer's signature is the up to `windows.SIGNATURE` items bought on the
most days; who bought nothing in that year has none. Neighbours are the up to `windows.NEAREST` nearest by their
signatures, nearest first, ties by id: of the candidates that a customer met over its heaviest items (`similarity`,
with `windows.BUCKETS`, `windows.MEET` and `windows.CANDIDATES`), so that one as near who never met it may be missing.
Similar is the cosine of the vectors of days bought × ln(customers / customers who have the item in their signature),
an item that nobody else has left out. There is no graph of referrals: no canonical table tells who brought whom. Who
is among another's neighbours, or has it among its own, is linked to it, as strongly as they are similar; communities
of that graph are found by `windows.ROUNDS` rounds of label propagation (`community`). A customer without neighbours
has null lists and a community of its own.
"""

from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.community import LABEL, LINKED, NODE, WEIGHT, communities
from feature_repo.features.frames import ROW, Tables, buyers, finish, money, share, units
from feature_repo.features.signature import DAYS, ITEMS, PAID, signatures
from feature_repo.features.similarity import CUSTOMER, OTHER, RANK, SCALE, SIMILARITY, nearest
from feature_repo.features.view import Feature
from motherlode import names

READS: Final = (names.TRANSACTIONS,)
LATEST_ONLY: Final = True
ACROSS: Final = (
    "neighbours",
    "similarities",
    "degree",
    "community",
    "community_size",
    "community_money_share",
)

_DAYS: Final = windows.YEAR.days
_AMOUNT: Final = f"amount_{windows.label(windows.YEAR)}"

FEATURES: Final[dict[str, Feature]] = {
    ITEMS: Feature(
        pl.List(pl.String()),
        "item_id",
        f"the up to {windows.SIGNATURE} items bought on the most days in {_DAYS} days, ties by id",
    ),
    DAYS: Feature(pl.List(pl.Int32()), "days", f"on how many days (UTC) of the {_DAYS} each of them was bought"),
    _AMOUNT: Feature(pl.Float64(), "currency", f"paid for all items in {_DAYS} days, returns not taken off"),
    "neighbours": Feature(
        pl.List(pl.String()),
        "customer_id",
        f"the up to {windows.NEAREST} customers that buy most like this one, found among candidates, nearest first",
    ),
    "similarities": Feature(
        pl.List(pl.Float32()),
        "cosine 0–1",
        "how like each neighbour: of days × ln(customers / customers with the item) over both signatures",
    ),
    "degree": Feature(pl.Int32(), "customers", "neighbours, and those that have this customer for a neighbour"),
    "community": Feature(pl.String(), "customer_id", "the community, by the least id of its customers"),
    "community_size": Feature(pl.Int32(), "customers", "of the community, this one included"),
    "community_money_share": Feature(
        pl.Float32(),
        "share 0–1",
        f"of what the community paid in {_DAYS} days, by this customer; null where it is nothing",
    ),
}

_STRENGTH: Final = 2**16
"""A link's weight is a whole number of 2^-16, so that a community's weights fit into a number."""


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `relations` but for what compares customers; see the module for units and sources."""
    rows = buyers(tables, snapshots).join(signatures(tables, snapshots), on=ROW, how="left")
    plain = {name: feature.dtype for name, feature in FEATURES.items() if name not in ACROSS}
    return finish(rows.with_columns(money(pl.col(PAID).fill_null(0)).alias(_AMOUNT)), plain)


def across(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The features of ACROSS, from the signatures of all customers."""
    time, number = names.EVENT_TIMESTAMP, pl.col(CUSTOMER).cast(pl.Int64)
    numbered = rows.sort(time, names.CUSTOMER_ID).with_row_index(CUSTOMER, offset=1).with_columns(number).cache()
    near = nearest(numbered).cache()
    links = _links(near).cache()
    degrees = links.group_by(NODE).agg(pl.len().alias("degree")).rename({NODE: CUSTOMER})
    ids = numbered.select(CUSTOMER, names.CUSTOMER_ID)
    paid = units(_AMOUNT)
    whole = (
        numbered.join(_neighbours(near, ids), on=CUSTOMER, how="left")
        .join(degrees, on=CUSTOMER, how="left")
        .join(communities(numbered.select(pl.col(CUSTOMER).alias(NODE)), links).rename({NODE: CUSTOMER}), on=CUSTOMER)
        .join(ids.rename({CUSTOMER: LABEL, names.CUSTOMER_ID: "community"}), on=LABEL)
        .with_columns(pl.lit(1, dtype=pl.Int64).alias("one"))
        .with_columns(
            pl.col("one").sum().over(LABEL).alias("community_size"),
            share(paid, paid.sum().over(LABEL)).alias("community_money_share"),
        )
    )
    compared = [pl.col(name).cast(FEATURES[name].dtype) for name in ACROSS if name != "degree"]
    degree = pl.col("degree").fill_null(0).cast(FEATURES["degree"].dtype)
    return whole.select(names.CUSTOMER_ID, time, ITEMS, DAYS, _AMOUNT, degree, *compared).select(
        names.CUSTOMER_ID, time, *FEATURES
    )


def _links(near: pl.LazyFrame) -> pl.LazyFrame:
    """Who is linked to whom, once from either side: NODE, LINKED, WEIGHT."""
    here, there, turned = pl.col(CUSTOMER), pl.col(OTHER), pl.col("turned")
    return (
        near.join(pl.LazyFrame({"turned": [False, True]}), how="cross")
        .select(
            pl.when(turned).then(there).otherwise(here).alias(NODE),
            pl.when(turned).then(here).otherwise(there).alias(LINKED),
            (pl.col(SIMILARITY) // (SCALE // _STRENGTH) + 1).alias(WEIGHT),
        )
        .unique()
    )


def _neighbours(near: pl.LazyFrame, ids: pl.LazyFrame) -> pl.LazyFrame:
    """The lists of each customer: CUSTOMER, `neighbours`, `similarities`."""
    return (
        near.join(ids.rename({CUSTOMER: OTHER}), on=OTHER, how="inner")
        .sort(RANK)
        .group_by(CUSTOMER)
        .agg(
            pl.col(names.CUSTOMER_ID).alias("neighbours"),
            (pl.col(SIMILARITY) / SCALE).cast(pl.Float32).alias("similarities"),
        )
    )
