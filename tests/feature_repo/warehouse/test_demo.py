"""Landing the demo's tables."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from feature_repo import warehouse
from feature_repo.warehouse import demo
from motherlode import names
from motherlode.errors import DataError
from motherlode.settings import Settings


@pytest.mark.parametrize("ahead", range(15))
def test_the_last_day_moves_by_whole_weeks_into_the_seven_days_before_today(ahead: int) -> None:
    last, today = date(2018, 1, 1), date(2026, 5, 4) + timedelta(days=ahead)
    moved = last + timedelta(weeks=demo.shift_weeks(last, today))
    assert today - timedelta(days=7) <= moved <= today - timedelta(days=1)
    assert moved.weekday() == last.weekday()


def test_raw_tables_are_the_companys_own_and_the_shift_stands_beside_them(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    landing = demo.land(settings, None)
    raw = settings.raw / "transactions.parquet"
    assert pl.scan_parquet(raw).select(pl.len()).collect().item() == 1_469_307
    assert pl.scan_parquet(raw).select(pl.col("transaction_timestamp").max()).collect().item().year == 2018
    assert landing.raw_sha256 == landing.source_sha256, "all households: the very bytes"
    recorded = json.loads((settings.raw / demo.LANDING).read_bytes())
    assert recorded["shift_weeks"] == landing.shift_weeks
    assert recorded["last_day"] == (date(2018, 1, 1) + landing.shift).isoformat()
    assert sorted(path.stem for path in settings.raw.glob("*.parquet")) == sorted(demo.SOURCES.values())


def test_a_second_landing_keeps_the_shift_and_the_files_whatever_day_it_is(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    demo.land(settings, 5)
    # As if the first landing had been ten weeks ago.
    path = settings.raw / demo.LANDING
    record = json.loads(path.read_bytes())
    record["shift_weeks"] -= 10
    path.write_text(json.dumps(record))
    stamps = {file: file.stat().st_mtime_ns for file in settings.raw.glob("*.parquet")}
    assert demo.land(settings, 5).shift_weeks == record["shift_weeks"]
    assert {file: file.stat().st_mtime_ns for file in settings.raw.glob("*.parquet")} == stamps
    assert demo.land(settings, 6).shift_weeks == record["shift_weeks"], "another subset keeps the shift too"


def test_a_changed_raw_file_is_landed_again(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    landing = demo.land(settings, 5)
    file = settings.raw / "products.parquet"
    file.write_bytes(file.read_bytes()[:1000])
    assert demo.land(settings, 5).raw_sha256 == landing.raw_sha256
    assert pl.scan_parquet(file).select(pl.len()).collect().item() == 92_331


def test_a_thin_subset_is_the_same_households_every_time_and_nested(tmp_path: Path) -> None:
    def households(count: int, folder: str) -> set[int]:
        settings = Settings(home=tmp_path / folder)
        demo.land(settings, count)
        table = pl.read_parquet(settings.raw / "transactions.parquet")
        for other in ("demographics", "campaigns", "coupon_redemptions"):
            ids = pl.read_parquet(settings.raw / f"{other}.parquet")[demo.HOUSEHOLD]
            assert set(ids) <= set(table[demo.HOUSEHOLD])
        return set(table[demo.HOUSEHOLD])

    ten = households(10, "a")
    assert len(ten) == 10
    assert households(10, "b") == ten
    assert households(20, "c") > ten


def test_the_thinnest_demo_has_recent_events_too(thin: Settings) -> None:
    last = warehouse.scan(thin, names.TRANSACTIONS).select(pl.col(names.EVENT_TIMESTAMP).max()).collect().item()
    today = datetime.now(UTC).date()
    assert today - timedelta(days=7) <= last.date() <= today - timedelta(days=1)


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path)
    monkeypatch.setattr(demo, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(DataError, match=r"a_package_that_nobody_has.*motherlode\[demo\]"):
        demo.land(settings, None)
    assert not settings.raw.exists()


def test_what_is_landed_serves_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path)
    landing = demo.land(settings, 5)
    monkeypatch.setattr(demo, "PACKAGE", "a_package_that_nobody_has")
    assert demo.land(settings, 5) == landing


def test_a_subset_of_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 households"):
        demo.land(Settings(home=tmp_path), 0)


def test_a_landing_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.raw.mkdir()
    (settings.raw / demo.LANDING).write_text('{"shift_weeks": "many"}')
    with pytest.raises(DataError, match=r"landing\.json.*shift_weeks"):
        demo.land(settings, 5)
