"""By how many weeks dates move."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from feature_repo.warehouse.shift import shift_weeks

DAYS = st.dates(date(1990, 1, 1), date(2090, 1, 1))


@given(last=DAYS, today=DAYS)
def test_the_last_day_comes_to_lie_in_the_seven_days_before_today(last: date, today: date) -> None:
    moved = last + timedelta(weeks=shift_weeks(last, today))
    assert today - timedelta(days=7) <= moved <= today - timedelta(days=1)
    assert moved.weekday() == last.weekday()
