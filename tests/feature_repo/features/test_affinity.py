"""The view `affinity` against a reference in plain Python."""

import math
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from feature_repo.features import affinity
from feature_repo.features.view import Words
from feature_repo.warehouse.contract import SCHEMAS

DEPARTMENTS = {"grocery": "GROCERY", "drug_gm": "DRUG GM", "produce": "PRODUCE", "floral": "FLORAL"}


def reference(rows: dict[str, list[dict[str, Any]]], at: datetime) -> dict[str, dict[str, Any]]:
    slugs = {department: slug for slug, department in DEPARTMENTS.items()}
    department_of = {item["item_id"]: item["department"] for item in rows.get("items", [])}
    money: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for line in rows.get("transactions", []):
        if line["event_timestamp"] < at:
            spent = money[line["customer_id"]]
            if line["quantity"] > 0 and line["event_timestamp"] >= at - timedelta(days=182):
                spent[slugs.get(str(department_of.get(line["item_id"])), "other")] += line["amount"]
    return {customer: of_customer(spent) for customer, spent in money.items()}


def of_customer(spent: dict[str, float]) -> dict[str, Any]:
    total = sum(spent.values())
    if total <= 0:
        return dict.fromkeys((*(f"share_{slug}" for slug in (*DEPARTMENTS, "other")), "department_entropy"))
    shares = {slug: spent.get(slug, 0.0) / total for slug in (*DEPARTMENTS, "other")}
    entropy = -sum(share * math.log(share) for share in shares.values() if share > 0)
    return {**{f"share_{slug}": share for slug, share in shares.items()}, "department_entropy": entropy}


def test_affinity_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("affinity", reference)


def test_affinity_is_the_same_bits_in_any_batch(batches: Callable[[str], None]) -> None:
    batches("affinity")


def test_a_company_without_departments_has_one_share(rows: dict[str, list[dict[str, Any]]]) -> None:
    tables = {name: pl.LazyFrame(rows.get(name, []), schema=SCHEMAS[name]) for name in ("transactions", "items")}
    last = max(line["event_timestamp"] for line in rows["transactions"])
    at = pl.LazyFrame({"event_timestamp": [last]}, schema={"event_timestamp": pl.Datetime("us", "UTC")})
    made = affinity.build(tables, at, Words()).collect()
    assert list(affinity.features(Words())) == ["share_other", "department_entropy"]
    assert made["share_other"].drop_nulls().unique().to_list() == [1.0]
    assert made["department_entropy"].drop_nulls().unique().to_list() == [0.0]
