"""Customers in, merges out."""

from collections import defaultdict
from collections.abc import Collection
from typing import Final

import polars as pl

from feature_repo.warehouse.matching import clusters, normalise, pairs
from feature_repo.warehouse.matching.clusters import Edge
from feature_repo.warehouse.matching.normalise import COLUMNS, ID
from motherlode import names
from motherlode.errors import DataError

INTO: Final = "into_customer_id"
MATCHES: Final = pl.Schema(
    {names.CUSTOMER_ID: pl.String(), INTO: pl.String(), pairs.PROBABILITY: pl.Float64(), pairs.EVIDENCE: pl.String()}
)


def find(people: pl.DataFrame, threshold: float, apart: Collection[tuple[str, str]] = ()) -> pl.DataFrame:
    """Which customers are one person.

    Nothing is read, written or asked for outside this process, and `people` in another order gives the same groups:
    only who survives, the first of each group, depends on it.

    Args:
        people: `customer_id`, and any of `COLUMNS`, as the company writes them; the rows in the order of survival. Of a
            customer with several rows the first counts.
        threshold: probability from which two are merged, above 0, up to 1.
        apart: pairs of customer ids that are told to be two people: never in one group.

    Returns:
        `MATCHES`: a row each customer that goes into another, in the order of `people`. `into_customer_id` is never
        merged itself. `evidence` names the fields that agreed, never what stood in them.

    Raises:
        DataError: `people` has no customer ids or nothing to compare, or the threshold is no probability.
    """
    if names.CUSTOMER_ID not in people.columns:
        raise DataError(f"The people to match have no {names.CUSTOMER_ID}.", f"Columns: {', '.join(people.columns)}.")
    if not set(COLUMNS) & set(people.columns):
        raise DataError("The people to match have nothing to compare.", f"Map any of {', '.join(COLUMNS)}.")
    if not 0 < threshold <= 1:
        raise DataError(f"The matching's threshold is {threshold}.", "Give a probability above 0, up to 1.")
    compared = normalise.people(people.with_columns(pl.col(names.CUSTOMER_ID).cast(pl.String)))
    with pairs.database(compared) as connection:
        scored = pairs.score(connection, compared, threshold)
        edges = [Edge(*row) for row in scored.iter_rows()]
        several = [group for group in clusters.components(edges) if len(group) > 2]
        members = [(member, number) for number, group in enumerate(several) for member in group]
        table = pl.DataFrame(members, schema={ID: pl.Int64, "component": pl.Int64}, orient="row")
        contradicting = pairs.contradictions(connection, table).rows() if members else []
    ids = compared[names.CUSTOMER_ID].to_list()
    number = {customer: index for index, customer in enumerate(ids)}
    told = [(number[one], number[other]) for one, other in apart if one in number and other in number]
    order = people.select(pl.col(names.CUSTOMER_ID).cast(pl.String)).to_series().to_list()
    rank = {customer: place for place, customer in reversed(list(enumerate(order)))}
    rows = _rows(clusters.people(edges, [*contradicting, *told]), edges, ids, rank)
    return pl.DataFrame(sorted(rows, key=lambda row: rank[row[0]]), schema=MATCHES, orient="row")


def _rows(
    groups: list[list[int]], edges: list[Edge], ids: list[str], rank: dict[str, int]
) -> list[tuple[str, str, float, str]]:
    group_of = {member: index for index, group in enumerate(groups) for member in group}
    inside: dict[int, list[Edge]] = defaultdict(list)
    for edge in edges:
        if (index := group_of.get(edge.left)) is not None and index == group_of.get(edge.right):
            inside[index].append(edge)
    rows = []
    for index, group in enumerate(groups):
        survivor = min(group, key=lambda member: rank[ids[member]])
        ways = clusters.paths(group, inside[index], survivor)
        rows += [(ids[member], ids[survivor], *ways[member]) for member in group if member != survivor]
    return rows
