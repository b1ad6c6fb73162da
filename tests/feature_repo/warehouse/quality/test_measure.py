"""What is measured equals what the files say; what changed is measured against the load before."""

from typing import Any

import msgspec
import polars as pl
import pytest

from feature_repo.warehouse.contract import MERGED
from feature_repo.warehouse.quality import measurement
from feature_repo.warehouse.quality.measure import measure
from feature_repo.warehouse.state import State
from motherlode.errors import DataError

from .conftest import MAPPING, NOW, OWN, Shop, rows_of, sale, sound


def quarantined(count: int, **more: Any) -> list[dict[str, Any]]:
    row = {"table": "transactions", "rule": "no number", "column": "amount", "value": "a lot", **more}
    return [{**row, "line": it + 2, "row": it + 1} for it in range(count)]


def test_every_row_of_every_table_is_accounted_for(shop: Shop) -> None:
    shop.keep(sound(), quarantined(3) + quarantined(2, rule="excluded"))
    found = measure(shop.settings)
    assert (found.company, found.load, found.at, found.full) == ("Ada & Sons", 1, NOW, False)
    table = next(it for it in found.tables if it.name == "transactions")
    assert (table.landed, table.rejected, table.excluded, table.rows, table.files) == (25, 3, 2, 20, 1)
    assert table.landed == table.rejected + table.excluded + sum(table.merged.values()) + table.rows
    assert table.newest == sound()["transactions"]["event_timestamp"].max()
    assert table.landed_at == NOW
    assert table.figures is not None
    amount = table.figures.column("amount")
    assert amount is not None
    assert (amount.low, amount.high, amount.mean) == (5.0, 24.0, 14.5)


def test_rejections_come_by_rule_with_examples_that_hide_what_may_name_a_person(shop: Shop) -> None:
    rows = quarantined(5)
    for column in ("customer_id", "email", "illness", "postcode", "nobody knows it", None):
        rows += quarantined(1, table="customers", column=column, value="canary", rule=f"rule of {column}")
    shop.keep(sound(), rows)
    found = measure(shop.settings)
    first = found.rejections[0]
    assert (first.table, first.rule, first.column, first.rows, first.remedy) == (
        "transactions", "no number", "amount", 5, "Mend it."
    )  # fmt: skip
    assert [(it.file, it.line, it.value) for it in first.examples] == [
        ("transactions-1.csv", line, "a lot") for line in (2, 3, 4)
    ]
    assert {it.value for rejection in found.rejections[1:] for it in rejection.examples} == {"(hidden)"}
    assert ("transactions", "transactions-1.csv", "no number", 5) in [
        (it.table, it.file, it.rule, it.rows) for it in found.files
    ]


def test_merged_rows_are_counted_by_rule(shop: Shop) -> None:
    state = shop.candidate(sound())
    rule = {**dict.fromkeys(MERGED), "table": "items", "rule": "landed twice"}
    ledger = shop.part("integrated/ledger", pl.DataFrame([rule] * 4, schema=MERGED))
    entry = state.integrated["items"]
    entry = msgspec.structs.replace(entry, merged=4, clean=6, ledger=ledger)
    shop.flip(msgspec.structs.replace(state, integrated={**state.integrated, "items": entry}))
    table = next(it for it in measure(shop.settings).tables if it.name == "items")
    assert table.merged == {"landed twice": 4}


def test_the_second_load_is_measured_against_the_first(shop: Shop) -> None:
    first = rows_of("transactions", [sale(str(1 + it % 3), amount=1.0 + it % 7) for it in range(600)])
    shop.load({**sound(), "transactions": first})
    shop.load({"transactions": first.with_columns(pl.col("amount") * 100, store_id=pl.lit(None, pl.String))})
    found = {it.column: it for it in measure(shop.settings).changes}
    assert (found["amount"].mean_before, found["amount"].mean_new) == pytest.approx((3.98, 398), rel=0.01)
    assert (found["amount"].psi or 0) > 1
    assert (found["store_id"].null_before, found["store_id"].null_new) == (0.0, 1.0)
    whats = {it.what for it in measure(shop.settings).findings}
    assert "amount: new rows are distributed otherwise" in whats
    assert "store_id: the share without a value has changed" in whats
    assert [load.number for load in measure(shop.settings).loads] == [2, 1]


def test_a_table_that_a_load_leaves_alone_keeps_its_figures_and_has_no_change(shop: Shop) -> None:
    shop.load(sound())
    shop.load({"transactions": rows_of("transactions", [sale("1")])})
    one, two = (measurement.read(shop.settings, number) for number in (1, 2))
    assert one is not None
    assert two is not None
    assert [it for it in one.tables if it.name == "customers"] == [it for it in two.tables if it.name == "customers"]
    assert {it.table for it in two.changes} == {"transactions"}


def test_full_looks_at_every_row_where_a_load_samples(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pl.concat([sound()["transactions"]] * 20)
    shop.keep({**sound(), "transactions": rows})
    kept = measurement.take(shop.settings, shop.mapping, shop.before, State(), most=50)
    measurement.write(shop.settings, kept)
    sampled, full = (
        next(it.figures for it in measure(shop.settings, full=full).tables if it.name == "transactions")
        for full in (False, True)
    )
    assert sampled is not None
    assert full is not None
    for name in ("amount", "store_id", "event_timestamp"):
        part, whole = sampled.column(name), full.column(name)
        assert part is not None
        assert whole is not None
        assert (part.looked_at, whole.looked_at, part.exact, whole.exact) == (50, 400, False, True)
        assert (part.rows, part.nulls, part.low, part.high) == (whole.rows, whole.nulls, whole.low, whole.high)
    assert full.column("customer_id").distinct == 3  # type: ignore[union-attr]


def test_figures_that_cannot_be_read_are_taken_again(shop: Shop) -> None:
    shop.load(sound())
    want = measure(shop.settings).tables
    measurement.path(shop.settings, 1).write_text("{")
    assert measure(shop.settings).tables == want


def test_nothing_loaded_and_a_lost_mapping_are_errors_with_a_remedy(shop: Shop) -> None:
    with pytest.raises(DataError, match="Nothing was loaded"):
        measure(shop.settings)
    shop.keep(sound())
    next((shop.settings.home / "lineage").iterdir()).unlink()
    with pytest.raises(DataError, match="mapping of the newest load is not at"):
        measure(shop.settings)


def test_it_fails_where_a_failure_stands_or_the_newest_load_was_refused(shop: Shop) -> None:
    shop.load(sound())
    assert not measure(shop.settings).failed
    shop.load({"customers": rows_of("customers", [{"customer_id": None}], OWN)})
    found = measure(shop.settings)
    assert found.failed
    assert found.refused_load
    assert found.load == 1


def test_figures_of_loads_long_past_are_forgotten(shop: Shop) -> None:
    shop.load(sound())
    kept = measurement.read(shop.settings, 1)
    assert kept is not None
    for number in range(2, 2 + measurement.KEPT):
        measurement.write(shop.settings, msgspec.structs.replace(kept, load=number))
    assert measurement.read(shop.settings, 1) is None
    assert measurement.read(shop.settings, 2) is not None


def test_a_column_that_becomes_sensitive_is_measured_anew_though_its_rows_are_the_same(shop: Shop) -> None:
    shop.load({**sound(), "items": rows_of("items", [{"item_id": it, "category": "canary"} for it in "aabb"])})
    items = {"from": "items", "columns": {"item_id": "i", "category": {"from": "c", "class": "sensitive"}}}
    shop.map(tables={**MAPPING["tables"], "items": items})
    shop.flip(shop.before)
    assert b"canary" in measurement.path(shop.settings, 1).read_bytes()
    assert b"canary" not in msgspec.json.encode(measure(shop.settings))
    shop.load({"transactions": rows_of("transactions", [sale("1")])})
    assert b"canary" not in measurement.path(shop.settings, 2).read_bytes()


def test_a_refused_first_load_says_why_and_where_its_rows_are(shop: Shop) -> None:
    shop.load({"items": sound()["items"]})
    with pytest.raises(DataError, match=r"The first load was refused: .* no usable file") as told:
        measure(shop.settings)
    assert "motherlode quarantine list" in told.value.remedy
