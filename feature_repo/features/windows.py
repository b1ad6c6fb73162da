"""Windows, half-lives and cut-offs: each declared here, once, and named by its features.

A window ends at the snapshot and its far end is included: [snapshot - window, snapshot). Windows are whole weeks, so
that each holds every weekday equally often.
"""

from datetime import timedelta
from typing import Final

MONTH: Final = timedelta(days=28)
QUARTER: Final = timedelta(days=84)
HALF_YEAR: Final = timedelta(days=182)
YEAR: Final = timedelta(days=364)

SHORT_HALF_LIFE: Final = timedelta(days=28)
LONG_HALF_LIFE: Final = timedelta(days=182)
ITEM_HALF_LIFE: Final = timedelta(days=120)
"""Of an item's standing in `history`: chosen on validation (docs/decisions/0009)."""

EVENING: Final = 17
"""The hour, on the shop's clock, from which a basket is bought in the evening."""
DAYTIME: Final = (9, 17)
"""The hours, on the shop's clock, from and before which a basket is bought in the daytime."""

RECENT: Final = MONTH
"""What a trend compares with `BEFORE`."""
BEFORE: Final = QUARTER
"""What a trend compares `RECENT` with: it ends where that begins."""

NEW: Final = RECENT + BEFORE
"""Since the first purchase: until then there is no trend to tell a stage by."""
DORMANT: Final = QUARTER
"""Without a purchase: a longer pause ends a customer's activity."""
REACTIVATED: Final = MONTH
"""Since the first purchase after such a pause."""
GROWING: Final = (5, 4)
"""Money a day of `RECENT` by that of `BEFORE`, as a fraction: from here up a customer grows."""
FADING: Final = (4, 5)
"""Money a day of `RECENT` by that of `BEFORE`, as a fraction: from here down it fades."""

PRICE_CHANGES: Final = 10
"""Purchases at a changed price that an elasticity needs."""

DEPARTMENTS: Final = 12
"""Those that take the most money have features of their own."""
CAMPAIGN_TYPES: Final = 6
"""The commonest have features of their own."""
CHANNELS: Final = 6
"""The commonest of purchases, contacts and events have features of their own."""

QUANTILES: Final = 5
"""Classes of a score; 5 is best."""

NEGATIVE: Final = -0.05
"""A sentiment below this is negative."""

PRIOR_RESPONSES: Final = 1
PRIOR_CAMPAIGNS: Final = 20
"""What a rate of response is shrunk towards: so many responses to so many campaigns."""
NEWEST_CONTACTS: Final = 5
"""Those of which the share without an answer is taken."""

CATEGORIES: Final = 10
"""The categories that `interests` lists."""
HISTORY: Final = 50
"""The items that `history` lists, the latest and the top ones."""

FEWEST: Final = 3
"""Baskets in a rule's window, for a share of them to say anything."""
SAVED: Final = 30
"""Percent of the list price, taken off by cuts and coupons, from which one hunts for prices."""
WEEKEND: Final = 60
"""Percent of baskets on Saturdays and Sundays from which one shops at the weekend."""
BIG: Final = 20
"""Mean lines a basket from which baskets are big; right for a grocer, whose baskets are large."""
GROWTH: Final = 150
"""Percent of the mean month before, from which spending is up."""
HABIT: Final = 4
"""Baskets from which the mean gap between them is a habit."""
OVERDUE: Final = 2
"""Times the mean gap after which a customer is overdue."""

SIGNATURE: Final = 100
"""Items of a customer's signature at the most."""
BUCKETS: Final = 20
"""Heaviest items of a signature over which a customer meets others."""
MEET: Final = 32
"""Customers that meet over an item: what bounds the pairs by customers × BUCKETS × MEET / 2."""
CANDIDATES: Final = 20
"""Candidates of a customer that are compared in full."""
NEAREST: Final = 10
"""Neighbours at the most: of a customer in `relations`, of an item in `item_neighbours`."""
ROUNDS: Final = 10
"""Of label propagation, which finds the communities."""

BASKETS_AT_MOST: Final = 100_000
"""Newest baskets that count for the neighbours of items; the pairs of their items are what memory holds."""
SAMPLE: Final = 200
"""Newest baskets of an item that are looked into for its neighbours."""
SUPPORT: Final = 3
"""Baskets that two items share at the least to be neighbours."""


def label(window: timedelta) -> str:
    """How a feature's name tells its window: `28d`."""
    return f"{window.days}d"


def trend_label() -> str:
    """How a feature's name tells that it compares `RECENT` with `BEFORE`: `4w_12w`."""
    return f"{RECENT.days // 7}w_{BEFORE.days // 7}w"
