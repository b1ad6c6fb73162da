"""Communities of a graph by label propagation (U. N. Raghavan, R. Albert, S. Kumara, Phys. Rev. E 76, 036106, 2007).

Every node starts with a label of its own and takes, round by round, the label that weighs most among its neighbours
and itself; of labels that weigh the same, the least. A node's own label weighs as much as its strongest link: else two
that have only each other would swap labels for ever. All nodes change at once, and the rounds are counted, so that the
answer is the same in any order of rows and the plan is known before the data.
"""

from typing import Final

import polars as pl

from feature_repo.features.windows import ROUNDS

NODE: Final = "node"
LINKED: Final = "linked"
"""The node at a link's other end."""
WEIGHT: Final = "weight"
LABEL: Final = "community_label"

_CODES: Final = 2**26
"""A sum of weights · 2^26 - label: one number that ranks ties too, for up to 67 million nodes."""


def communities(nodes: pl.LazyFrame, links: pl.LazyFrame, rounds: int = ROUNDS) -> pl.LazyFrame:
    """The community of each node.

    Args:
        nodes: NODE: Int64 from 1 to 67 million, each once.
        links: NODE, LINKED, and WEIGHT: Int64 above 0, a node's all together below 2^36. Each link from
            either side.
        rounds: how often labels are passed on.

    Returns:
        NODE, LABEL: the least node of the community.
    """
    whole = _with_itself(links).cache()
    labels = nodes.select(NODE, pl.col(NODE).alias(LABEL))
    for _ in range(rounds):
        labels = _passed_on(whole, labels)
    order = pl.col(NODE).rank("ordinal").over(LABEL)
    return (
        nodes.select(NODE)
        .join(labels, on=NODE, how="left")
        .with_columns(pl.col(LABEL).fill_null(pl.col(NODE)))
        .select(NODE, pl.when(order == 1).then(pl.col(NODE)).otherwise(0).alias("first"), LABEL)
        .select(NODE, pl.col("first").sum().over(LABEL).alias(LABEL))
    )


def _with_itself(links: pl.LazyFrame) -> pl.LazyFrame:
    """The links, and one from each linked node to itself, as strong as its strongest."""
    itself = pl.col("itself")
    place = pl.col(WEIGHT).rank("ordinal", descending=True).over(NODE)
    return (
        links.with_columns(place.alias("place"))
        .join(pl.LazyFrame({"itself": [False, True]}), how="cross")
        .with_columns((~itself | (pl.col("place") == 1)).alias("kept"))
        .filter(pl.col("kept"))
        .select(NODE, pl.when(itself).then(pl.col(NODE)).otherwise(pl.col(LINKED)).alias(LINKED), WEIGHT)
    )


def _passed_on(links: pl.LazyFrame, labels: pl.LazyFrame) -> pl.LazyFrame:
    """One round: NODE, LABEL."""
    order = (pl.col(WEIGHT) + 1) * _CODES - pl.col(LABEL)
    return (
        links.join(labels.rename({NODE: LINKED}), on=LINKED, how="inner")
        .group_by(NODE, LABEL)
        .agg(pl.col(WEIGHT).sum())
        .group_by(NODE)
        .agg(order.max().alias("order"))
        .select(NODE, (_CODES - pl.col("order") % _CODES).alias(LABEL))
    )
