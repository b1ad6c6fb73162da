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
BEFORE: Final = QUARTER
"""What a trend compares: the last four weeks with the twelve before them, which end where `RECENT` begins."""

NEW: Final = RECENT + BEFORE
"""Since the first purchase: until then there is no trend to tell a stage by."""
DORMANT: Final = QUARTER
"""Without a purchase: a longer pause ends a customer's activity."""
REACTIVATED: Final = MONTH
"""Since the first purchase after such a pause."""
GROWING: Final = (5, 4)
FADING: Final = (4, 5)
"""Money a day of `RECENT` by that of `BEFORE`, as a fraction: from here up, and from here down."""

PRICE_CHANGES: Final = 10
"""Purchases at a changed price that an elasticity needs."""

QUANTILES: Final = 5
"""Classes of a score; 5 is best."""


def label(window: timedelta) -> str:
    """How a feature's name tells its window: `28d`."""
    return f"{window.days}d"
