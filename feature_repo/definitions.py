"""What Feast sees: the customer, one view a module of `feature_repo.features`, and the two services.

Declarations only. Adding a view to `feature_repo.features.catalogue` adds it here.
"""

from typing import Final

from feast import Entity, FeatureService, FeatureView, ValueType

from feature_repo.features.catalogue import VIEWS
from feature_repo.stores.declare import feature_view
from motherlode import names

CUSTOMER: Final = Entity(
    name="customer",
    join_keys=[names.CUSTOMER_ID],
    value_type=ValueType.STRING,
    description="A customer by its join key (motherlode.identity).",
)

FEATURE_VIEWS: Final[dict[str, FeatureView]] = {view.name: feature_view(view, CUSTOMER) for view in VIEWS}
# Feast looks for its objects among a module's attributes, and not inside containers.
globals().update(FEATURE_VIEWS)

SCORING: Final = FeatureService(
    name=names.SCORING,
    features=[
        FEATURE_VIEWS[name]
        for name in (names.RFM, names.SPENDING, names.PRICE_SENSITIVITY, names.AFFINITY, names.CAMPAIGN_HISTORY)
    ],
    description="What segments and scores are made of.",
)

RECOMMENDATION: Final = FeatureService(
    name=names.RECOMMENDATION,
    features=[FEATURE_VIEWS[name] for name in (names.HISTORY, names.PURCHASES, names.RFM, names.AFFINITY)],
    description="What the recommender asks with.",
)
