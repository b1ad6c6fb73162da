"""What a module declares, as a view."""

from collections.abc import Mapping
from datetime import timedelta
from types import ModuleType

import polars as pl

from feature_repo.features.view import TTL, Feature, Words, view
from motherlode import names

COUNT = Feature(pl.Int64(), "lines", "all of them")


def build(tables: Mapping[str, pl.LazyFrame], snapshots: pl.LazyFrame) -> pl.LazyFrame:
    counted = tables["lines"].group_by(names.CUSTOMER_ID).agg(pl.len().cast(pl.Int64).alias("lines"))
    return counted.join(snapshots, how="cross").with_columns(pl.lit("left out").alias("more"))


def build_by_words(tables: Mapping[str, pl.LazyFrame], snapshots: pl.LazyFrame, words: Words) -> pl.LazyFrame:
    return build(tables, snapshots).with_columns(pl.lit(0, pl.Int64).alias(f"lines_{slug}") for slug in words.channels)


def module(**declared: object) -> ModuleType:
    made = ModuleType("made", "Lines: what there is.\n\nAnd more.")
    vars(made).update(declared)
    return made


def test_what_is_left_out_has_its_default() -> None:
    made = view("lines", module(READS=["lines"], FEATURES={"lines": COUNT}, build=build), Words())
    assert (made.key, made.ttl, made.reads) == (names.CUSTOMER_ID, TTL, ("lines",))
    assert (made.compared, made.across, made.whole, made.latest_only) == ((), None, False, False)
    assert (made.summary, made.features) == ("Lines: what there is.", {"lines": pl.Int64()})


def test_what_is_declared_is_taken() -> None:
    declared = {"KEY": names.ITEM_ID, "TTL": timedelta(days=1), "WHOLE": True, "LATEST_ONLY": True}
    made = view("lines", module(READS=(), FEATURES={"lines": COUNT}, build=build, **declared), Words())
    assert (made.key, made.ttl, made.whole, made.latest_only) == (names.ITEM_ID, timedelta(days=1), True, True)


def test_a_plan_has_the_key_the_time_and_the_features_in_their_order() -> None:
    features = {"twice": Feature(pl.Int64(), "lines", "doubled"), "lines": COUNT}

    def across(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.with_columns((2 * pl.col("lines")).alias("twice"))

    it = module(READS=("lines",), FEATURES=features, build=build, across=across, ACROSS=("twice",))
    made = view("lines", it, Words())
    tables = {"lines": pl.LazyFrame({names.CUSTOMER_ID: ["a", "a"]})}
    found = made.plan(tables, pl.LazyFrame({names.EVENT_TIMESTAMP: [7]})).collect()
    assert found.to_dicts() == [{names.CUSTOMER_ID: "a", names.EVENT_TIMESTAMP: 7, "twice": 4, "lines": 2}]
    assert made.compared == ("twice",)


def test_columns_that_follow_words_are_built_from_the_same_words() -> None:
    def features(words: Words) -> dict[str, Feature]:
        return {f"lines_{slug}": COUNT for slug in words.channels}

    it = module(READS=("lines",), features=features, build=build_by_words)
    made = view("lines", it, Words(channels={"web": "WEB", "shop": "Shop"}))
    tables = {"lines": pl.LazyFrame({names.CUSTOMER_ID: ["a"]})}
    plan = made.plan(tables, pl.LazyFrame({names.EVENT_TIMESTAMP: [7]}))
    assert plan.collect_schema().names() == [names.CUSTOMER_ID, names.EVENT_TIMESTAMP, "lines_web", "lines_shop"]
