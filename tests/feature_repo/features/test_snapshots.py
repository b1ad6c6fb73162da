"""The mart on the demo's own tables, thinned."""

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from feature_repo.features import snapshots
from feature_repo.features.catalogue import VIEWS, View
from feature_repo.warehouse import demo, pipeline, tables
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names
from motherlode.errors import DataError
from motherlode.settings import Settings

DAY = timedelta(days=1)


class Room:
    """A compute room that counts what it runs."""

    def __init__(self) -> None:
        self.plans = 0

    def collect(self, lf: pl.LazyFrame) -> pl.DataFrame:
        self.plans += 1
        return lf.collect(engine="streaming")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("home with spaces"), households=40)
    pipeline.load(settings, demo.project(settings))
    snapshots.build(settings, Room())
    return settings


def transactions(times: list[datetime]) -> dict[str, pl.LazyFrame]:
    schema = SCHEMAS[names.TRANSACTIONS]
    rows = [{names.CUSTOMER_ID: "c", names.EVENT_TIMESTAMP: moment} for moment in times]
    return {names.TRANSACTIONS: pl.LazyFrame(rows, schema=schema)}


def test_snapshots_are_weekly_midnights_after_four_weeks_and_the_last_sees_the_last_day() -> None:
    first, last = datetime(2024, 1, 1, 23, 59, tzinfo=UTC), datetime(2024, 2, 20, 0, 0, 1, tzinfo=UTC)
    times = snapshots.snapshot_times(transactions([first, last]))[names.EVENT_TIMESTAMP].to_list()
    assert times == [datetime(2024, 1, 31, tzinfo=UTC) + week * 7 * DAY for week in range(4)]
    assert times[-1] == datetime(2024, 2, 21, tzinfo=UTC)
    assert times[0] - datetime.combine(first, time(), UTC) >= 28 * DAY
    assert times[0] - 7 * DAY - datetime.combine(first, time(), UTC) < 28 * DAY


def test_little_data_has_one_snapshot_and_none_has_none() -> None:
    moment = datetime(2024, 1, 1, 12, tzinfo=UTC)
    only = snapshots.snapshot_times(transactions([moment]))
    assert only[names.EVENT_TIMESTAMP].to_list() == [datetime(2024, 1, 2, tzinfo=UTC)]
    none = snapshots.snapshot_times(transactions([]))
    assert none.is_empty()
    assert none.schema == only.schema


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_file_holds_every_customer_at_every_snapshot_sorted_and_typed(built: Settings, view: View) -> None:
    table = pl.read_parquet(snapshots.path_of(built, view.name))
    assert dict(table.schema) == {
        names.CUSTOMER_ID: pl.String(),
        names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC"),
        **view.features,
        names.CREATED_TIMESTAMP: pl.Datetime("us", "UTC"),
    }
    assert table.select(names.EVENT_TIMESTAMP, names.CUSTOMER_ID).equals(
        table.select(names.EVENT_TIMESTAMP, names.CUSTOMER_ID).sort(names.EVENT_TIMESTAMP, names.CUSTOMER_ID)
    )
    lines = tables.scan(built, names.TRANSACTIONS).collect()
    times = snapshots.snapshot_times({names.TRANSACTIONS: lines.lazy()})[names.EVENT_TIMESTAMP].to_list()
    expected = {
        (moment, customer)
        for moment in (times[-1:] if view.latest_only else times)
        for customer in lines.filter(pl.col(names.EVENT_TIMESTAMP) < moment)[names.CUSTOMER_ID].unique()
    }
    assert set(table.select(names.EVENT_TIMESTAMP, names.CUSTOMER_ID).rows()) == expected
    assert table.height == len(expected)
    metadata = pq.ParquetFile(snapshots.path_of(built, view.name)).metadata
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_no_value_is_infinite_or_not_a_number_and_shares_lie_between_0_and_1(built: Settings) -> None:
    for view in VIEWS:
        table = pl.read_parquet(snapshots.path_of(built, view.name))
        numbers = table.select(name for name, dtype in view.features.items() if dtype.is_float())
        assert numbers.select((~pl.all().is_finite()).sum()).to_dict(as_series=False) == {
            name: [0] for name in numbers.columns
        }
        shares = numbers.select(pl.col(r"^(share_.*|.*_share|response_rate|discount_depth)$"))
        assert all(column.is_between(0, 1).drop_nulls().all() for column in shares)


def test_the_last_snapshot_is_never_in_the_future_and_created_is_the_wall_clock(built: Settings) -> None:
    table = pl.read_parquet(snapshots.path_of(built, names.RFM))
    now = datetime.now(UTC)
    latest = table[names.EVENT_TIMESTAMP].max()
    assert isinstance(latest, datetime)
    assert now - 8 * DAY < latest <= now
    created = table[names.CREATED_TIMESTAMP].unique().to_list()
    assert len(created) == 1
    assert now - timedelta(minutes=10) < created[0] <= now


def test_a_second_run_computes_nothing_and_a_damaged_file_is_made_again(built: Settings) -> None:
    room = Room()
    before = snapshots.read(built)
    seen: list[str] = []
    snapshots.build(built, room, on_view=seen.append)
    assert room.plans == 0
    assert seen == [view.name for view in VIEWS]
    assert snapshots.read(built) == before

    path = snapshots.path_of(built, names.RFM)
    good = pl.read_parquet(path)
    path.write_bytes(b"cut off")
    snapshots.build(built, room)
    assert room.plans > 0
    again = pl.read_parquet(path)
    assert again.drop(names.CREATED_TIMESTAMP).equals(good.drop(names.CREATED_TIMESTAMP))
    assert again[names.CREATED_TIMESTAMP][0] > good[names.CREATED_TIMESTAMP][0]


def test_a_view_that_fails_leaves_the_last_good_file_and_the_views_before_it(tmp_path: Path, built: Settings) -> None:
    def broken(tables: object, times: object) -> pl.LazyFrame:
        raise DataError("broken")

    good = VIEWS[4]
    bad = View(names.RFM, VIEWS[0].features, VIEWS[0].ttl, broken, "Broken.")
    settings = Settings(home=tmp_path, households=5)
    pipeline.load(settings, demo.project(settings))
    snapshots.build(settings, Room(), views=VIEWS[:1])
    before = snapshots.path_of(settings, names.RFM).read_bytes()
    with pytest.raises(DataError, match="broken"):
        snapshots.build(settings, Room(), views=(good, bad))
    assert snapshots.path_of(settings, names.RFM).read_bytes() == before
    assert set(snapshots.read(settings)) == {names.RFM, good.name}
    assert sorted(path.name for path in settings.mart.iterdir()) == sorted(
        [f"{names.RFM}.parquet", f"{good.name}.parquet", snapshots.LINEAGE]
    )


def test_a_view_that_breaks_its_declaration_is_refused_by_name(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, households=5)
    pipeline.load(settings, demo.project(settings))
    lying = View("lying", {"promised": pl.Float32()}, VIEWS[0].ttl, VIEWS[0].build, "Lying.")
    with pytest.raises(DataError, match=r"lying.*promised"):
        snapshots.build(settings, Room(), views=(lying,))
    assert not snapshots.path_of(settings, "lying").exists()


def test_without_a_warehouse_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="motherlode ingest"):
        snapshots.build(Settings(home=tmp_path), Room())
