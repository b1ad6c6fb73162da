"""Names for segments, from their centres, in a shop's words: how often they come, and what sets them apart."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from training.ranks import Floats


@dataclass(frozen=True)
class Trait:
    """Something that customers differ in.

    Attributes:
        columns: the features that show it.
        high, low: what customers are called who have much or little of it; empty where it is not worth a name.
    """

    columns: tuple[str, ...]
    high: str
    low: str = ""


TRAITS: Final = (
    Trait(("price_sensitivity__coupon_line_share", "price_sensitivity__coupon_basket_share"), "coupon users"),
    Trait(
        ("price_sensitivity__discount_line_share", "price_sensitivity__discount_depth"),
        "bargain hunters",
        "full-price buyers",
    ),
    Trait(("spending__basket_value_mean", "spending__basket_items_mean"), "big baskets", "small baskets"),
    Trait(("price_sensitivity__private_label_share",), "own-brand buyers", "name-brand buyers"),
)
ACTIVITY: Final[Mapping[str, float]] = {
    "rfm__recency_days": -1.0,
    "rfm__frequency_28d": 1.0,
    "rfm__frequency_84d": 1.0,
    "spending__days_between_baskets": -1.0,
}
"""The features of how often a customer comes, and which way they count."""

_LADDER: Final = ((0.75, "Loyal"), (0.1, "Regular"), (-0.5, "Occasional"), (-1.0, "Fading"), (-np.inf, "Lapsed"))
"""Mean activity, in standard deviations from all customers, from which a word holds."""
_LEAST: Final = 0.25
"""Standard deviations below which a trait is nothing special."""
_PLAIN: Final = "all-rounders"


def names(columns: Sequence[str], centres: Floats) -> tuple[str, ...]:
    """A name a segment, no two alike.

    Args:
        columns: the features, among them those of `TRAITS` and `ACTIVITY`.
        centres: shape (segments, F), in standard deviations from the mean of all customers.

    Returns:
        "Loyal big baskets" and the like. The most striking trait of all is given first; where a name is taken,
        the segment's next trait stands in it.
    """
    words = [_activity(columns, centre) for centre in centres]
    striking = [
        (abs(size), segment, noun) for segment, centre in enumerate(centres) for size, noun in _nouns(columns, centre)
    ]
    given: dict[int, str] = {}
    for _, segment, noun in sorted(striking, key=lambda each: (-each[0], each[1])):
        name = f"{words[segment]} {noun}"
        if segment not in given and name not in given.values():
            given[segment] = name
    for segment, word in enumerate(words):
        if segment not in given:
            given[segment] = _free(f"{word} {_PLAIN}", given.values())
    return tuple(given[segment] for segment in range(len(centres)))


def describe(columns: Sequence[str], medians: Floats) -> str:
    """A segment in a sentence.

    Args:
        columns: the features.
        medians: shape (F,), of the segment's customers, in the features' units.
    """
    of = dict(zip(columns, (float(each) for each in medians), strict=True))
    return (
        f"Typically {_count(of['rfm__frequency_84d'], 'basket')} and {of['rfm__monetary_84d']:,.0f} spent in 84 days, "
        f"{of['spending__basket_value_mean']:,.0f} a basket, last here {_count(of['rfm__recency_days'], 'day')} ago; "
        f"{of['price_sensitivity__discount_line_share']:.0%} of lines on discount, "
        f"coupons in {of['price_sensitivity__coupon_basket_share']:.0%} of baskets, "
        f"{of['price_sensitivity__private_label_share']:.0%} of money on the shop's own brand."
    )


def _activity(columns: Sequence[str], centre: Floats) -> str:
    activity = float(np.mean([sign * centre[columns.index(column)] for column, sign in ACTIVITY.items()]))
    return next(word for least, word in _LADDER if activity >= least)


def _nouns(columns: Sequence[str], centre: Floats) -> list[tuple[float, str]]:
    """The segment's traits that are worth a name, with their sizes."""
    sizes = ((float(np.mean([centre[columns.index(column)] for column in trait.columns])), trait) for trait in TRAITS)
    named = ((size, trait.high if size > 0 else trait.low) for size, trait in sizes if abs(size) >= _LEAST)
    return [(size, noun) for size, noun in named if noun]


def _count(number: float, thing: str) -> str:
    whole = round(number)
    return f"{whole} {thing}" if whole == 1 else f"{whole} {thing}s"


def _free(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free
