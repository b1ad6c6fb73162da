"""The view `relations` against the same algorithm in plain Python, and what must hold of any answer."""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from feature_repo.features import relations, signature, similarity
from feature_repo.features.community import LABEL, LINKED, NODE, WEIGHT, communities
from feature_repo.features.similarity import LENGTH, ROUGH, SCALE, STEPS
from feature_repo.features.windows import BUCKETS, CANDIDATES, MEET, NEAREST, ROUNDS, SIGNATURE
from motherlode import names

Row = dict[str, Any]
Pair = tuple[str, str]
AT = datetime(2024, 6, 1, tzinfo=UTC)
TWO = [1, 2]
"""Worlds of `rows` for what is dear to build again and again, and goes wrong in each where it goes wrong in one."""


Signature = list[tuple[str, int]]


def signatures(lines: list[Row]) -> dict[str, Signature]:
    """Customer → item and days, the most days first."""
    days = {(line["customer_id"], line["item_id"], line["event_timestamp"].date()) for line in lines}
    found: dict[str, Signature] = defaultdict(list)
    for (customer, item), number in Counter((customer, item) for customer, item, _ in days).items():
        found[customer].append((item, number))
    return {customer: sorted(own, key=lambda it: (-it[1], it[0]))[:SIGNATURE] for customer, own in found.items()}


def vectors(found: dict[str, Signature]) -> dict[str, list[tuple[str, int, int]]]:
    """Customer → item, weight, and part of a vector of one length; the heaviest first."""
    having = Counter(item for own in found.values() for item, _ in own)
    answers = {}
    for customer, own in found.items():
        weights = {
            item: weight
            for item, number in own
            if having[item] > 1 and (weight := round(number * math.log(len(found) / having[item]) * 1000)) > 0
        }
        norm = math.sqrt(sum(weight**2 for weight in weights.values()))
        order = sorted(weights.items(), key=lambda it: (-it[1], it[0]))
        answers[customer] = [(item, weight, math.floor(weight * LENGTH / norm)) for item, weight in order]
    return answers


def met(found: dict[str, list[tuple[str, int, int]]]) -> Counter[Pair]:
    """Pairs that met over an item, and how like they are by those items, in STEPS."""
    over: dict[str, list[tuple[str, int, str, int]]] = defaultdict(list)
    for customer, own in found.items():
        for item, weight, part in own[:BUCKETS]:
            others = [other for other, _, _ in own[:2] if other != item]
            over[item].append((others[0] if others else "", -weight, customer, part))
    products: Counter[Pair] = Counter()
    for there in over.values():
        there.sort()
        for start in range(0, len(there), MEET):
            for (_, _, a, one), (_, _, b, two) in combinations(there[start : start + MEET], 2):
                products[min(a, b), max(a, b)] += one * two // (SCALE // ROUGH)
    return Counter({pair: 1 + (value - 1) // (ROUGH // STEPS) for pair, value in products.items() if value > 0})


def best(pairs: dict[Pair, int], number: int) -> dict[str, list[tuple[str, int]]]:
    """Customer → the others that are most like it."""
    sides: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for (a, b), value in pairs.items():
        if value > 0:
            sides[a].append((b, value))
            sides[b].append((a, value))
    return {customer: sorted(own, key=lambda it: (-it[1], it[0]))[:number] for customer, own in sides.items()}


def nearest(signed: dict[str, Signature]) -> dict[str, list[tuple[str, int]]]:
    found = vectors(signed)
    parts = {customer: {item: part for item, _, part in own} for customer, own in found.items()}
    pairs = {(min(a, b), max(a, b)) for a, own in best(met(found), CANDIDATES).items() for b, _ in own}
    return best(
        {(a, b): sum(part * parts[b].get(item, 0) for item, part in parts[a].items()) for a, b in pairs}, NEAREST
    )


def spread(nodes: list[Any], links: dict[Any, dict[Any, int]]) -> dict[Any, Any]:
    """Label propagation, node by node."""
    labels = {node: node for node in nodes}
    for _ in range(ROUNDS):
        after = {}
        for node in nodes:
            votes: Counter[Any] = Counter({labels[node]: max(links[node].values(), default=1)})
            for other, weight in links[node].items():
                votes[labels[other]] += weight
            after[node] = min(votes, key=lambda label: (-votes[label], label))
        labels = after
    return {node: min(other for other in nodes if labels[other] == label) for node, label in labels.items()}


def reference(rows: dict[str, list[Row]], at: datetime) -> dict[str, Row]:
    seen = [line for line in rows.get("transactions", []) if line["event_timestamp"] < at and line["quantity"] > 0]
    recent = [line for line in seen if line["event_timestamp"] >= at - timedelta(days=364)]
    signed = signatures(recent)
    near = nearest(signed)
    nodes = sorted({line["customer_id"] for line in seen})
    links: dict[str, dict[str, int]] = {node: {} for node in nodes}
    for node, own in near.items():
        for other, value in own:
            links[node][other] = links[other][node] = value // 2**20 + 1
    community = spread(nodes, links)
    paid = {node: sum(line["amount"] for line in recent if line["customer_id"] == node) for node in nodes}
    answers = {}
    for node in nodes:
        members = [other for other in nodes if community[other] == community[node]]
        total = sum(paid[member] for member in members)
        answers[node] = {
            "signature_items": [item for item, _ in signed[node]] if node in signed else None,
            "signature_days": [number for _, number in signed[node]] if node in signed else None,
            "amount_364d": paid[node],
            "neighbours": [other for other, _ in near[node]] if node in near else None,
            "similarities": [value / SCALE for _, value in near[node]] if node in near else None,
            "degree": len(links[node]),
            "community": community[node],
            "community_size": len(members),
            "community_money_share": paid[node] / total if total > 0 else None,
        }
    return answers


def test_relations_are_what_their_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("relations", reference)


@pytest.mark.parametrize("rows", TWO, indirect=True)
def test_the_other_snapshots_and_the_rows_order_change_no_bit(batches: Callable[[str], None]) -> None:
    batches("relations")


@pytest.mark.parametrize("limits", [{"MEET": 3}, {"BUCKETS": 2, "SIGNATURE": 4}, {"CANDIDATES": 2, "NEAREST": 1}])
@pytest.mark.parametrize("rows", TWO, indirect=True)
def test_every_limit_cuts_where_it_says(
    limits: dict[str, int],
    rows: dict[str, list[Row]],
    monkeypatch: pytest.MonkeyPatch,
    agrees: Callable[[str, Any], None],
) -> None:
    last = max(line["event_timestamp"] for line in rows["transactions"])
    uncut = reference(rows, last)
    for name, value in limits.items():
        monkeypatch.setattr(signature if name == "SIGNATURE" else similarity, name, value)
        monkeypatch.setitem(globals(), name, value)
    assert reference(rows, last) != uncut
    agrees("relations", reference)


def test_similarity_is_mutual_and_nobody_is_its_own_neighbour(
    rows: dict[str, list[Row]], build: Callable[..., pl.DataFrame]
) -> None:
    last = max(line["event_timestamp"] for line in rows["transactions"])
    frame = build("relations", rows, [last]).drop_nulls("neighbours")
    found = {
        (row["customer_id"], other): value
        for row in frame.to_dicts()
        for other, value in zip(row["neighbours"], row["similarities"], strict=True)
    }
    assert found
    assert all(a != b for a, b in found)
    assert all(value == found.get((b, a), value) for (a, b), value in found.items())
    assert all(0 < value <= 1 for value in found.values())


def made_up(customers: int, items: int, times: list[datetime]) -> pl.DataFrame:
    """Rows of `build` at some times: signatures of up to six items, the first customer's null."""
    rng = random.Random(3)
    rows: list[Row] = []
    for time in times:
        for number in range(customers):
            own = sorted(rng.sample(range(items), rng.randint(1, 6))) if number else None
            rows.append(
                {
                    names.CUSTOMER_ID: f"c{number:03}",
                    names.EVENT_TIMESTAMP: time,
                    "signature_items": own and [f"i{item:03}" for item in own],
                    "signature_days": own and sorted((rng.randint(1, 9) for _ in own), reverse=True),
                    "amount_364d": round(rng.uniform(0, 99), 2) if own else 0.0,
                }
            )
    plain = {name: it.dtype for name, it in relations.FEATURES.items() if name not in relations.ACROSS}
    schema = {names.CUSTOMER_ID: pl.String(), names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC"), **plain}
    return pl.DataFrame(rows, schema=schema)


def compared(rows: pl.DataFrame) -> pl.DataFrame:
    key = [names.EVENT_TIMESTAMP, names.CUSTOMER_ID]
    return relations.across(rows.lazy()).collect(engine="streaming").sort(key)


def test_customers_are_compared_as_documented_where_many_meet_over_an_item() -> None:
    rows = made_up(150, 40, [AT])
    signed = {
        row[names.CUSTOMER_ID]: list(zip(row["signature_items"], row["signature_days"], strict=True))
        for row in rows.drop_nulls("signature_items").to_dicts()
    }
    wanted = nearest(signed)
    got = {row[names.CUSTOMER_ID]: row["neighbours"] for row in compared(rows).to_dicts()}
    assert max(Counter(item for own in signed.values() for item, _ in own).values()) > MEET / 2
    assert got == {
        customer: [other for other, _ in wanted[customer]] if customer in wanted else None for customer in got
    }


def test_rows_of_other_times_and_their_order_change_nothing_of_a_comparison() -> None:
    rows = made_up(90, 30, [AT, AT + timedelta(days=7), AT + timedelta(days=14)])
    whole = compared(rows)
    assert_frame_equal(compared(rows.sample(fraction=1, shuffle=True, seed=5)), whole)
    for (time,), part in rows.partition_by(names.EVENT_TIMESTAMP, as_dict=True).items():
        assert_frame_equal(compared(part), whole.filter(pl.col(names.EVENT_TIMESTAMP) == time))


def test_a_comparison_leaves_what_it_is_made_of_as_it_is() -> None:
    rows = made_up(20, 9, [AT])
    assert_frame_equal(compared(rows).select(rows.columns), rows)


def clustered(groups: list[list[int]], bridges: list[tuple[int, int]]) -> dict[int, int]:
    """Communities of groups within which all are linked, with a few weak links between them."""
    pairs = {pair: 100 for group in groups for pair in combinations(group, 2)} | dict.fromkeys(bridges, 1)
    rows = [(a, b, weight) for (one, two), weight in pairs.items() for a, b in ((one, two), (two, one))]
    nodes = sorted(node for group in groups for node in group)
    links = pl.DataFrame(rows, schema={NODE: pl.Int64, LINKED: pl.Int64, WEIGHT: pl.Int64}, orient="row")
    frame = pl.DataFrame({NODE: nodes})
    answer = communities(frame.lazy(), links.lazy()).collect(engine="streaming")
    return dict(answer.select(NODE, LABEL).rows())


def test_groups_with_weak_links_between_them_are_found_and_the_lonely_stay_alone() -> None:
    groups = [[1, 4, 7, 8], [2, 3, 9], [5], [6, 10]]
    found = clustered(groups, [(1, 2), (9, 10)])
    assert found == {node: min(group) for group in groups for node in group}
