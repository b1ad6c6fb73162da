"""The view `live`: what a customer did up to this moment, as the stream knows it.

Grain: customer. Source: live events. A row is of the customer's newest event, and its created time is the position of
the last event that was counted: what is read again after a kill counts once. Counters begin with the customer's first
live event, and rows never expire: what a row knows of the past stands nowhere else online.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from feature_repo.features.view import Feature
from motherlode import names

ITEMS: Final = 20
"""Latest items that a row knows."""
SEARCHES: Final = 5
"""Latest searches."""

_TIME: Final = pl.Datetime("us", "UTC")

COUNTED: Final = {"view": "views", "search": "searches", "cart": "carts", "purchase": "purchases", "click": "clicks"}
"""Type of event → its counter."""
FEATURES: Final = {
    "first_seen": Feature(_TIME, "time", "of the customer's earliest live event"),
    "last_seen": Feature(_TIME, "time", "of the customer's newest live event"),
    "last_event_type": Feature(pl.String(), "text", "type of the newest live event"),
    "latest_items": Feature(pl.List(pl.String()), "items", f"the latest {ITEMS} distinct items, the newest first"),
    "latest_item_times": Feature(pl.List(_TIME), "time", "when each of `latest_items` was last met"),
    "latest_searches": Feature(pl.List(pl.String()), "text", f"the latest {SEARCHES} distinct searches, newest first"),
    "latest_search_times": Feature(pl.List(_TIME), "time", "when each of `latest_searches` was last made"),
    "events": Feature(pl.Int64(), "events", "live events of any type, since the first"),
    **{
        counter: Feature(pl.Int64(), "events", f"live events of type {kind}, since the first")
        for kind, counter in COUNTED.items()
    },
}
"""Name → what it holds."""


class LiveView:
    """What `feature_repo.stores.declare` declares the view from."""

    name = names.LIVE
    meanings = FEATURES
    ttl = timedelta(0)
    doc = __doc__
