"""The labels of segments: what changes between what stands and what the model says now."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names
from training.tags import SEGMENT, changes

AT = datetime(2025, 3, 1, tzinfo=UTC)
BEFORE = AT - timedelta(days=7)
NONE = pl.DataFrame(schema=SCHEMAS[names.TAGS])


def scores(**segments: str | None) -> pl.DataFrame:
    """Customers by their segments."""
    schema = {"customer_id": pl.String, "segment": pl.String}
    return pl.DataFrame({"customer_id": list(segments), "segment": list(segments.values())}, schema=schema)


def after(standing: pl.DataFrame, given: pl.DataFrame) -> dict[Any, Any]:
    """Customer → its segments that are on, by their versions, once the changes are given."""
    both = pl.concat([standing, given]).unique(
        ["customer_id", "tag", "origin", "event_timestamp"], keep="last", maintain_order=True
    )
    on = both.filter(pl.col("ended_at").is_null()).sort("customer_id", "tag")
    return {row["customer_id"]: (row["tag"], row["version"]) for row in on.to_dicts()}


def test_every_customer_with_a_segment_gets_its_label() -> None:
    given = changes(scores(anna="Loyal", ben="Rare", cleo=None), NONE, "v1", AT)
    assert given.schema == SCHEMAS[names.TAGS]
    assert given.sort("customer_id").rows() == [
        ("anna", f"{SEGMENT}Loyal", "model", 1.0, "v1", AT, None),
        ("ben", f"{SEGMENT}Rare", "model", 1.0, "v1", AT, None),
    ]


def test_what_is_still_so_is_not_given_again() -> None:
    standing = changes(scores(anna="Loyal", ben="Rare"), NONE, "v1", BEFORE)
    assert changes(scores(anna="Loyal", ben="Rare"), standing, "v1", AT).is_empty()


def test_another_segment_a_newer_bundle_or_none_any_more_withdraws_the_label_at_that_moment() -> None:
    standing = changes(scores(anna="Loyal", ben="Rare", cleo="Rare"), NONE, "v1", BEFORE)
    drifted = changes(scores(anna="Rare", ben="Rare", cleo=None), standing, "v1", AT)
    assert after(standing, drifted) == {"anna": (f"{SEGMENT}Rare", "v1"), "ben": (f"{SEGMENT}Rare", "v1")}
    assert set(drifted["ended_at"].drop_nulls()) == {AT}
    retrained = changes(scores(anna="Loyal", ben="Rare", cleo="Rare"), standing, "v2", AT)
    assert {version for _, version in after(standing, retrained).values()} == {"v2"}
    assert retrained.height == 6


def test_labels_of_others_and_withdrawn_ones_are_left_alone() -> None:
    row = {"customer_id": "anna", "tag": "vip", "origin": "model", "confidence": 1.0, "event_timestamp": BEFORE}
    others = [row, row | {"tag": f"{SEGMENT}Loyal", "origin": "person"}, row | {"tag": f"{SEGMENT}Old", "ended_at": AT}]
    standing = pl.DataFrame(others, schema=SCHEMAS[names.TAGS])
    given = changes(scores(anna="Loyal"), standing, "v1", AT)
    assert given.select("tag", "origin", "ended_at").rows() == [(f"{SEGMENT}Loyal", "model", None)]


def test_two_outside_ids_of_one_customer_give_one_label() -> None:
    twice = pl.concat([scores(anna="Loyal"), scores(anna="Loyal")])
    assert changes(twice, NONE, "v1", AT).height == 1
