"""The view `channels` against a reference in plain Python."""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from feature_repo.features import channels
from feature_repo.features.view import Words

CHANNELS = {name: name for name in ("web", "store", "phone", "mail", "app")} | {"call_centre": "Call Centre"}
SLUGS = {word: slug for slug, word in CHANNELS.items()}
YEAR = timedelta(days=364)

Lines = list[dict[str, Any]]


def reference(rows: dict[str, Lines], at: datetime) -> dict[str, dict[str, Any]]:
    customers: dict[str, Lines] = {}
    for line in rows.get("transactions", []):
        if line["event_timestamp"] < at and line["quantity"] > 0:
            customers.setdefault(line["customer_id"], []).append(line)
    everything = rows.get("transactions", [])
    return {customer: of_customer(customer, lines, everything, at) for customer, lines in customers.items()}


def of_customer(customer: str, lines: Lines, everything: Lines, at: datetime) -> dict[str, Any]:
    baskets, money = dict.fromkeys([*CHANNELS, "other"], 0), dict.fromkeys([*CHANNELS, "other"], 0)

    def channel(basket: str, time: datetime) -> str:
        """The least of all lines of the basket's moment, returns and coupons among them."""
        told = [
            line["channel"]
            for line in everything
            if (line["customer_id"], line["basket_id"], line["event_timestamp"]) == (customer, basket, time)
            and line["channel"] is not None
        ]
        return SLUGS.get(min(told), "other") if told else "other"

    for basket in {line["basket_id"] for line in lines}:
        time = min(line["event_timestamp"] for line in lines if line["basket_id"] == basket)
        if time >= at - YEAR:
            baskets[channel(basket, time)] += 1
    for line in lines:
        if line["event_timestamp"] >= at - YEAR:
            money[channel(line["basket_id"], line["event_timestamp"])] += round(line["amount"] * 10_000)
    shares = {f"share_{slug}": part(count, baskets) for slug, count in baskets.items()}
    told = [slug for slug in sorted(CHANNELS) if baskets[slug]]
    favourite = min(told, key=lambda slug: (-baskets[slug], -money[slug], slug)) if told else None
    return {
        **shares,
        **{f"money_share_{slug}": part(paid, money) for slug, paid in money.items()},
        "favourite_channel": CHANNELS[favourite] if favourite else None,
        "channel_entropy": None
        if not sum(baskets.values())
        else -sum(share * math.log(share) for share in shares.values() if share),
    }


def part(value: int, of: dict[str, int]) -> float | None:
    whole = sum(of.values())
    return value / whole if whole > 0 else None


def test_channels_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("channels", reference)


def test_channels_is_the_same_bits_in_any_batch(batches: Callable[[str], None]) -> None:
    batches("channels")


@pytest.mark.parametrize(("words", "shares"), [({}, ["share_other"]), ({"a": "A"}, ["share_a", "share_other"])])
def test_each_channel_of_the_company_has_a_column(words: dict[str, str], shares: list[str]) -> None:
    found = channels.features(Words(channels=words))
    assert list(found) == [*shares, *(f"money_{name}" for name in shares), "favourite_channel", "channel_entropy"]
