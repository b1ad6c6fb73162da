"""The view `item_neighbours` against the same algorithm in plain Python."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from feature_repo.features import item_neighbours
from feature_repo.features.windows import BASKETS_AT_MOST, NEAREST, SAMPLE, SUPPORT

Row = dict[str, Any]
SCALE = 2**24


def reference(rows: dict[str, list[Row]], at: datetime) -> dict[str, Row]:
    lines = [
        line
        for line in rows.get("transactions", [])
        if at - timedelta(days=84) <= line["event_timestamp"] < at and line["quantity"] > 0
    ]
    first: dict[tuple[str, str], datetime] = {}
    held: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in lines:
        basket = (line["customer_id"], line["basket_id"])
        first[basket] = min(line["event_timestamp"], first.get(basket, at))
        held[basket].add(line["item_id"])
    newest = sorted(held, key=lambda basket: (at - first[basket], basket))[:BASKETS_AT_MOST]
    holding: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for basket in newest:
        for item in held[basket]:
            holding[item].append(basket)
    answers: dict[str, Row] = {}
    for item, baskets in holding.items():
        shared = Counter(other for basket in baskets[:SAMPLE] for other in held[basket] if other != item)
        looked, mine = min(len(baskets), SAMPLE), math.sqrt(len(baskets))
        found = sorted(
            (-round(number / looked * (mine / math.sqrt(len(holding[other]))) * SCALE), other)
            for other, number in shared.items()
            if number >= SUPPORT
        )[:NEAREST]
        answers[item] = {
            "neighbours": [other for _, other in found] or None,
            "similarities": [-value / SCALE for value, _ in found] or None,
        }
    return answers


@pytest.mark.parametrize(
    ("sample", "support", "most"),
    [(SAMPLE, SUPPORT, BASKETS_AT_MOST), (4, 2, BASKETS_AT_MOST), (1, 1, 9), (SAMPLE, 2, 40)],
)
def test_item_neighbours_are_what_their_documentation_says(
    sample: int, support: int, most: int, monkeypatch: pytest.MonkeyPatch, agrees: Callable[[str, Any], None]
) -> None:
    for name, value in (("SAMPLE", sample), ("SUPPORT", support), ("BASKETS_AT_MOST", most)):
        monkeypatch.setattr(item_neighbours, name, value)
        monkeypatch.setitem(globals(), name, value)
    agrees("item_neighbours", reference)


def test_the_other_snapshots_and_the_rows_order_change_no_bit(batches: Callable[[str], None]) -> None:
    batches("item_neighbours")
