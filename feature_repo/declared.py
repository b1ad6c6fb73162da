"""What Feast is told: the entities, one feature view each view of the mart, and the services.

`feature_repo.definitions` declares it for Feast's own command line, `feature_repo.store.apply` for ours.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from feast import Entity, FeatureService, FeatureView, ValueType
from feast.types import String

from feature_repo.features.view import View
from feature_repo.live.view import LiveView
from feature_repo.stores.declare import feature_view
from motherlode import names

_ENTITIES: Final = {
    names.CUSTOMER_ID: ("customer", "A customer by its join key (motherlode.identity)."),
    names.ITEM_ID: ("item", "An item by its key."),
}
_SERVICES: Final = {
    names.SCORING: (
        (names.RFM, names.SPENDING, names.PRICE_SENSITIVITY, names.AFFINITY, names.CAMPAIGN_HISTORY),
        "What segments and scores are made of.",
    ),
    names.RECOMMENDATION: (
        (names.HISTORY, names.PURCHASES, names.RFM, names.AFFINITY),
        "What the recommender asks with.",
    ),
}


@dataclass(frozen=True)
class Declared:
    """Feast's objects. They are the caller's own: Feast writes a registry's state, watermarks included, into them.

    Attributes:
        entities: by name.
        views: by name, in the order of the catalogue; then `live`, which the stream alone writes.
        services: by name.
    """

    entities: dict[str, Entity]
    views: dict[str, FeatureView]
    services: dict[str, FeatureService]

    @property
    def objects(self) -> Sequence[Entity | FeatureView | FeatureService]:
        """All of them, as `FeatureStore.apply` takes them."""
        return [*self.entities.values(), *self.views.values(), *self.services.values()]


def declare(views: Iterable[View]) -> Declared:
    """Feast's objects for these views, and `live`: every one online, each under the entity of its key.

    Args:
        views: the catalogue's and the company's own (`feature_repo.mart.views.load`).

    Raises:
        StoreError: a feature has a type that cannot be stored.
    """
    # Without the words that its columns follow, such as purposes of consent, a view may have none: Feast would guess.
    known = [view for view in views if view.meanings]
    keys = dict.fromkeys([names.CUSTOMER_ID, *(view.key for view in known)])
    entities = {key: _entity(key) for key in keys}
    declared = {view.name: feature_view(view, entities[view.key]) for view in known}
    declared[names.LIVE] = feature_view(LiveView(), entities[names.CUSTOMER_ID])
    portrait = tuple(view.name for view in known if view.key == names.CUSTOMER_ID)
    services = {
        **{name: (wanted, doc, _modelled) for name, (wanted, doc) in _SERVICES.items()},
        names.PORTRAIT: (portrait, "All that is known of a customer.", _all),
    }
    return Declared(
        entities={entity.name: entity for entity in entities.values()},
        views=declared,
        services={
            name: FeatureService(name=name, features=[shown(declared[view]) for view in wanted], description=doc)
            for name, (wanted, doc, shown) in services.items()
        },
    )


def _modelled(view: FeatureView) -> FeatureView:
    """What models are made of: all of a view but its words for people, such as a class's name."""
    projected: FeatureView = view[[field.name for field in view.features if field.dtype != String]]
    return projected


def _all(view: FeatureView) -> FeatureView:
    return view


def _entity(key: str) -> Entity:
    name, doc = _ENTITIES[key]
    return Entity(name=name, join_keys=[key], value_type=ValueType.STRING, description=doc)
