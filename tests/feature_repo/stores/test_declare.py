"""A catalogue entry becomes a feature view, and one that cannot be stored is refused by name."""

from dataclasses import dataclass, field
from datetime import timedelta

import polars as pl
import pytest
from feast import Entity, FileSource, ValueType
from feast.types import Array, Float32, Int32, String

from feature_repo.features.view import Feature
from feature_repo.stores.declare import feature_view
from motherlode.errors import StoreError


@dataclass(frozen=True)
class Entry:
    name: str = "visits"
    meanings: dict[str, Feature] = field(
        default_factory=lambda: {
            "b": Feature(pl.Float32(), "days", "since the last visit"),
            "a": Feature(pl.Int32(), "", "a score"),
            "l": Feature(pl.List(pl.String()), "shops", "visited"),
        }
    )
    ttl: timedelta = timedelta(days=3)
    doc: str = "Visits to the shop."


CUSTOMER = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)


def test_it_has_the_entrys_features_in_their_order_its_ttl_and_its_file_in_the_mart() -> None:
    view = feature_view(Entry(), CUSTOMER)
    declared = [(column.name, column.dtype, column.description, column.tags) for column in view.features]
    assert declared == [
        ("b", Float32, "since the last visit", {"unit": "days"}),
        ("a", Int32, "a score", {}),
        ("l", Array(String), "visited", {"unit": "shops"}),
    ]
    assert (view.name, view.ttl, view.description) == ("visits", timedelta(days=3), "Visits to the shop.")
    assert isinstance(view.batch_source, FileSource)
    assert view.batch_source.path == "visits.parquet"
    assert view.batch_source.timestamp_field == "event_timestamp"
    assert view.batch_source.created_timestamp_column == "created_timestamp"


def test_a_type_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(StoreError, match="type Duration"):
        feature_view(Entry(meanings={"gap": Feature(pl.Duration("us"), "", "between visits")}), CUSTOMER)
