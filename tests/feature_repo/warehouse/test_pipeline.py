"""The warehouse end to end, on the demo's own tables."""

import re
from pathlib import Path

import polars as pl
import pytest

from feature_repo import warehouse
from feature_repo.warehouse import contract, lineage, pipeline
from feature_repo.warehouse.contract import KEYS
from feature_repo.warehouse.demo import HOUSEHOLD, SOURCES, land
from motherlode import names
from motherlode.identity import Identity
from motherlode.settings import Settings


def total(frame: pl.DataFrame, *columns: str) -> float:
    return float(frame.select(pl.sum_horizontal(pl.col(columns).sum())).item())


def rows_of(path: Path) -> int:
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())


def test_every_landed_row_is_integrated_merged_or_in_quarantine(thin: Settings) -> None:
    built = lineage.read(thin)
    assert built is not None
    assert [table.table for table in built.tables] == list(SOURCES)
    for table in built.tables:
        # What the record says lies on disk, and adds up.
        merged = pl.read_parquet(thin.clean / pipeline.MERGED).filter(pl.col("file") == table.file)
        assert table.landed == rows_of(thin.raw / table.file)
        assert table.clean == rows_of(thin.clean / f"{table.table}.parquet")
        assert table.quarantined == rows_of(thin.quarantine / f"{table.table}.parquet")
        assert table.merged == merged.height
        assert table.integrated == rows_of(thin.integrated / f"{table.table}.parquet")
        assert table.landed + table.derived == table.integrated + table.merged + table.quarantined
        assert table.balanced


def test_no_line_is_counted_twice_and_money_is_kept_to_the_cent(thin: Settings) -> None:
    raw = pl.read_parquet(thin.raw / "transactions.parquet")
    quarantine = pl.read_parquet(thin.quarantine / "transactions.parquet")
    merged = pl.read_parquet(thin.clean / pipeline.MERGED)
    gone = [*quarantine["line"], *merged["line"]]
    assert len(set(gone)) == len(gone)
    assert merged.height > 0
    assert quarantine.height > 0
    lines = warehouse.scan(thin, names.TRANSACTIONS).collect()
    rejected = raw[[line - 1 for line in quarantine["line"]]]
    kept, lost = total(lines, names.AMOUNT), total(rejected, "sales_value")
    assert kept + lost == pytest.approx(total(raw, "sales_value"))
    coupons = ("coupon_disc", "coupon_match_disc")
    kept, lost = total(lines, names.COUPON_DISCOUNT), total(rejected, *coupons)
    assert kept + lost == pytest.approx(total(raw, *coupons))


@pytest.mark.parametrize("table", list(SOURCES))
def test_keys_are_unique(thin: Settings, table: str) -> None:
    frame = warehouse.scan(thin, table).collect()
    assert not frame.select(KEYS[table]).is_duplicated().any()


def test_references_between_tables_hold(thin: Settings) -> None:
    tables = {name: table.collect() for name, table in warehouse.scan_all(thin).items()}
    lines = tables[names.TRANSACTIONS]
    assert set(lines[names.ITEM_ID]) <= set(tables[names.ITEMS][names.ITEM_ID])
    for events in (lines, tables[names.CONTACTS], tables[names.RESPONSES]):
        assert set(events[names.CUSTOMER_ID]) <= set(tables[names.CUSTOMERS][names.CUSTOMER_ID])
    answered = tables[names.RESPONSES].select(names.CUSTOMER_ID, names.CAMPAIGN_ID).unique()
    assert answered.join(tables[names.CONTACTS], on=answered.columns, how="semi").height == answered.height
    assert (lines[names.QUANTITY] != 0).all()


def test_a_second_build_does_nothing_and_each_step_is_told(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    steps: list[str] = []
    first = warehouse.build(settings, households=5, on_step=steps.append)
    assert len(steps) == warehouse.STEPS
    assert (steps[0], steps[-1]) == ("landed", "integrated")
    stamps = {path: path.stat().st_mtime_ns for path in settings.home.rglob("*.parquet")}
    assert warehouse.build(settings, households=5) == first
    assert {path: path.stat().st_mtime_ns for path in settings.home.rglob("*.parquet")} == stamps


def test_a_damaged_table_is_built_again_to_the_same_bytes(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    warehouse.build(settings, households=5)
    before = warehouse.fingerprint(settings)
    for path in (settings.integrated / "items.parquet", settings.quarantine / "transactions.parquet"):
        path.write_bytes(b"cut off")
        warehouse.build(settings, households=5)
        assert warehouse.fingerprint(settings) == before
        assert rows_of(path) >= 0


def test_another_subset_another_contract_and_another_key_rebuild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path)
    inputs = [warehouse.build(settings, households=5).inputs, warehouse.build(settings, households=6).inputs]
    inputs.append(warehouse.build(Settings(home=tmp_path, pseudonym_key="k" * 16), households=6).inputs)
    monkeypatch.setattr(contract, "VERSION", 10_000)
    inputs.append(warehouse.build(settings, households=6).inputs)
    assert len(set(inputs)) == 4


def test_with_a_key_only_raw_knows_the_outside_ids(tmp_path: Path) -> None:
    secret = "a secret of enough bytes"
    settings = Settings(home=tmp_path, pseudonym_key=secret)
    warehouse.build(settings, households=8)
    identity = Identity(secret)
    households = pl.read_parquet(settings.raw / "transactions.parquet")[HOUSEHOLD].unique().to_list()
    keys = {identity.join_key(household) for household in households}
    assert set(warehouse.outside_ids(settings)[names.CUSTOMER_ID]) == keys
    for layer in (settings.clean, settings.integrated):
        for path in layer.glob("*.parquet"):
            frame = pl.read_parquet(path)
            if names.CUSTOMER_ID in frame.columns:
                assert set(frame[names.CUSTOMER_ID]) <= keys, path
    assert set(warehouse.scan(settings, names.CUSTOMERS).collect()[names.CUSTOMER_ID]) == keys
    record = (settings.integrated / lineage.LINEAGE).read_text()
    assert secret not in record
    assert not re.search(r"household", record)


def test_a_build_that_fails_leaves_the_last_good_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path)
    warehouse.build(settings, households=5)
    before = warehouse.fingerprint(settings)

    def full_disk(*_: object) -> None:
        raise OSError("No space left on device")

    land(settings, 6)
    monkeypatch.setattr(pipeline, "_write", full_disk)
    with pytest.raises(OSError, match="No space"):
        warehouse.build(settings, households=6)
    assert warehouse.fingerprint(settings) == before
    assert not list(tmp_path.glob(".staging-*"))
