"""By how many weeks the dates of made-up or old data move, so that the last day lies within the last seven."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import polars as pl

from feature_repo.warehouse import contract
from feature_repo.warehouse.task import Place, Task, batches, compiled


def weeks(place: Place, tasks: Iterable[Task]) -> int:
    """Whole weeks that bring the last event of all tables into the seven days before today; 0 without events.

    An event later than its own landing is a mistake, and does not count.
    """
    last = [moment for task in tasks if (moment := _last(place, task)) is not None]
    return shift_weeks(max(last).date(), datetime.now(UTC).date()) if last else 0


def shift_weeks(last_day: date, today: date) -> int:
    """Whole weeks that bring a last day into the seven days before `today`."""
    return (today - timedelta(days=1) - last_day).days // 7


def _last(place: Place, task: Task) -> datetime | None:
    time = contract.TABLES[task.table].time
    made = compiled(place, task)
    found = [column for column in made.columns if column.name == time]
    if not found:
        return None
    value = found[0].value.cast(contract.UTC)
    last: datetime | None = None
    for rows in batches(place, task, made):
        meant = rows if made.where is None else rows.filter(made.where)
        moments = meant.lazy().select(value.alias("at")).filter(pl.col("at") <= task.landed.landed_at).collect()
        moment = moments["at"].max()
        if isinstance(moment, datetime) and (last is None or moment > last):
            last = moment
    return last
