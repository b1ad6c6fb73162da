"""The demo's company: its mapping, its dates, and its thin subsets."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse import demo, examples, lineage, pipeline, state, tables
from feature_repo.warehouse.mapping.read import read
from motherlode import names
from motherlode.errors import DataError
from motherlode.settings import Settings

WHOLE = Path(demo.__file__).parents[2] / "examples" / "demo"


def raw(settings: Settings, source: str) -> pl.LazyFrame:
    """A landed table of the demo."""
    (landed,) = (each for each in state.read(settings).raw if each.source == source and each.status == "active")
    return pl.scan_parquet(settings.home / landed.path)


def households(settings: Settings) -> set[int]:
    return set(raw(settings, "transactions").select(demo.HOUSEHOLD).unique().collect().to_series())


def test_all_households_are_the_packages_own_files() -> None:
    project = demo.project(Settings(home=Path("nowhere")))
    assert project.packages == {}
    assert project.mapping == read(WHOLE).mapping
    assert {source.files for source in project.mapping.sources.values()} == {
        f"package:{demo.PACKAGE}/data/{name}.parquet" for name in demo.TABLES
    }


def test_every_landed_row_of_a_thin_demo_is_found_again(thin: Settings) -> None:
    for row in lineage.current(thin).tables:
        assert row.balanced, row
        assert row.landed > 0


def test_the_thinnest_demo_has_recent_events_too(thin: Settings) -> None:
    last = tables.scan(thin, names.TRANSACTIONS).select(pl.col(names.EVENT_TIMESTAMP).max()).collect().item()
    today = datetime.now(UTC).date()
    assert today - timedelta(days=7) <= last.date() <= today - timedelta(days=1)


def test_money_pieces_and_clocks_are_what_the_mapping_says(thin: Settings) -> None:
    lines = tables.scan(thin, names.TRANSACTIONS).collect()
    cents = lines[names.AMOUNT] * 100
    assert ((cents - cents.round(0)).abs() < 1e-6).all(), "whole cents"
    petrol = raw(thin, "products").filter(pl.col("product_type").str.contains("GASOLINE")).collect()
    fillings = lines.filter(pl.col(names.ITEM_ID).is_in(petrol["product_id"].cast(pl.String).implode()))
    assert fillings.height > 100
    assert (fillings[names.QUANTITY] <= 1).all(), "a filling is one piece"
    assert (lines[names.QUANTITY] > 1).any()
    zone = lines.select(
        (pl.col(names.EVENT_TIMESTAMP).dt.replace_time_zone(None) - pl.col(names.LOCAL_TIMESTAMP)).dt.total_hours()
    ).to_series()
    assert set(zone) == {4, 5}, "New York, in summer and in winter"


def test_campaigns_begin_and_end_with_the_shops_days(thin: Settings) -> None:
    campaigns = tables.scan(thin, names.CAMPAIGNS).collect()
    shift = timedelta(weeks=state.read(thin).shift_weeks or 0)
    start = campaigns.select(
        (pl.col(names.STARTED_AT) - shift).dt.convert_time_zone("America/New_York").dt.time().unique()
    )
    end = campaigns.select((pl.col(names.ENDED_AT) - shift).dt.convert_time_zone("America/New_York").dt.time().unique())
    assert [str(each) for each in start.to_series()] == ["00:00:00"]
    assert [str(each) for each in end.to_series()] == ["23:59:59.999999"]


def test_a_thin_subset_is_the_same_households_every_time_and_nested(tmp_path: Path) -> None:
    def landed(count: int, folder: str) -> set[int]:
        settings = Settings(home=tmp_path / folder, households=count)
        pipeline.load(settings, demo.project(settings))
        everybody = households(settings)
        for other in ("demographics", "campaigns", "coupon_redemptions"):
            assert set(raw(settings, other).select(demo.HOUSEHOLD).collect().to_series()) <= everybody
        return everybody

    ten = landed(10, "a")
    assert len(ten) == 10
    assert 1 in ten, "the household of the documents' examples"
    assert landed(10, "b") == ten
    assert landed(20, "c") > ten


def test_another_subset_takes_the_place_of_the_first_and_the_dates_stay_moved(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, households=5)
    pipeline.load(settings, demo.project(settings))
    shift = state.read(settings).shift_weeks
    more = replace(settings, households=6)
    pipeline.load(more, demo.project(more))
    assert len(households(more)) == 6
    assert tables.scan(more, names.TRANSACTIONS).select(pl.col(names.CUSTOMER_ID).n_unique()).collect().item() == 6
    assert state.read(more).shift_weeks == shift


def test_a_mapping_of_another_company_is_not_thinned(tmp_path: Path) -> None:
    path = tmp_path / "motherlode.yaml"
    path.write_text(
        "company: A shop\nsources: {items: {files: items.csv}}\n"
        "tables: {items: {from: items, columns: {item_id: sku}}}\nprivacy: {pseudonym: none}\n"
    )
    project = read(path)
    assert demo.thinned(Settings(home=tmp_path, households=5), project) is project


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(DataError, match=r"a_package_that_nobody_has.*motherlode\[demo\]"):
        demo.project(Settings(home=tmp_path))


def test_a_subset_of_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 households"):
        demo.project(Settings(home=tmp_path, households=0))


def test_an_example_that_is_not_there_is_named_beside_those_that_are() -> None:
    assert "demo" in examples.examples()
    with pytest.raises(DataError, match=r"'shop'.*demo"):
        examples.example("shop")
