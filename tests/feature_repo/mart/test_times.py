"""Claims: regular snapshots stand on the grid, four weeks behind the first; the last sees the last day with data."""

import itertools
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from feature_repo.mart import times
from feature_repo.mart.changes import Grid
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names

DAY = timedelta(days=1)
WEEK = 7 * DAY


def tables(**moments: list[datetime | None]) -> dict[str, pl.LazyFrame]:
    found = {name: pl.LazyFrame(schema=schema) for name, schema in SCHEMAS.items()}
    for name, each in moments.items():
        rows = [{names.CUSTOMER_ID: "c", names.EVENT_TIMESTAMP: moment} for moment in each]
        found[name] = pl.LazyFrame(rows, schema=SCHEMAS[name])
    return found


def test_the_first_build_has_weekly_midnights_after_four_weeks() -> None:
    first, last = datetime(2024, 1, 1, 23, 59, tzinfo=UTC), datetime(2024, 2, 20, 0, 0, 1, tzinfo=UTC)
    end = times.latest((first, last))
    found = times.snapshots((first, last), Grid(end, WEEK))
    assert found == tuple(datetime(2024, 1, 31, tzinfo=UTC) + week * WEEK for week in range(4))
    assert found[-1] == end == datetime(2024, 2, 21, tzinfo=UTC)
    assert found[0] - datetime(2024, 1, 1, tzinfo=UTC) >= 28 * DAY > found[0] - WEEK - datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("cadence", [1, 7, 28])
@pytest.mark.parametrize("later", range(-9, 30))
def test_the_grid_stays_where_it_is_whatever_days_come_or_go(cadence: int, later: int) -> None:
    first, anchor = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)
    end = anchor + later * DAY
    found = times.snapshots((first, end - DAY / 2), Grid(anchor, cadence * DAY))
    assert found[-1] == end
    assert all((each - anchor) % (cadence * DAY) == timedelta(0) for each in found[:-1])
    assert all(after - before <= cadence * DAY for before, after in itertools.pairwise(found))
    assert first + 28 * DAY <= found[0] < first + (28 + cadence) * DAY


def test_little_data_has_one_snapshot_and_none_has_no_span() -> None:
    moment = datetime(2024, 1, 1, 12, tzinfo=UTC)
    end = datetime(2024, 1, 2, tzinfo=UTC)
    assert times.snapshots((moment, moment), Grid(end, WEEK)) == (end,)
    assert times.span(tables()) is None
    assert times.span(tables(feedback=[None])) is None


def test_the_span_begins_with_purchases_where_there_are_any_and_ends_with_any_event() -> None:
    day = [datetime(2024, 1, number, tzinfo=UTC) for number in range(1, 9)]
    assert times.span(tables(transactions=[day[3], day[2]], contacts=[day[0]], feedback=[day[6]])) == (day[2], day[6])
    assert times.span(tables(interactions=[day[4]], contacts=[day[1], None])) == (day[1], day[4])


def test_a_label_that_is_given_today_moves_no_snapshot() -> None:
    bought, given = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
    assert times.span(tables(transactions=[bought], tags=[given])) == (bought, bought)
    assert times.span(tables(tags=[given])) is None
