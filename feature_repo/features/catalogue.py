"""The catalogue: every feature view, in the order it is built."""

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Final

from feature_repo.features import (
    affinity,
    campaign_history,
    channels,
    consent,
    demographics,
    history,
    interests,
    item_neighbours,
    item_statistics,
    lifecycle,
    opinions,
    price_sensitivity,
    purchases,
    relations,
    rfm,
    spending,
    tags,
    web,
)
from feature_repo.features.view import View, Words, view
from motherlode import names

MODULES: Final[Mapping[str, ModuleType]] = MappingProxyType(
    {
        names.RFM: rfm,
        names.LIFECYCLE: lifecycle,
        names.SPENDING: spending,
        names.PRICE_SENSITIVITY: price_sensitivity,
        names.AFFINITY: affinity,
        names.INTERESTS: interests,
        names.CHANNELS: channels,
        names.WEB: web,
        names.CAMPAIGN_HISTORY: campaign_history,
        names.DEMOGRAPHICS: demographics,
        names.CONSENT_VIEW: consent,
        names.OPINIONS: opinions,
        names.TAGS: tags,
        names.HISTORY: history,
        names.PURCHASES: purchases,
        names.RELATIONS: relations,
        names.ITEM_STATISTICS: item_statistics,
        names.ITEM_NEIGHBOURS: item_neighbours,
    }
)
"""View → the module that declares it."""


def views(words: Words) -> tuple[View, ...]:
    """Every view of the catalogue, its columns named after the company's words."""
    return tuple(view(name, module, words) for name, module in MODULES.items())
