"""Times of a schedule, daylight saving included."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from motherlode.cli import schedule
from motherlode.errors import SettingsError

BERLIN = ZoneInfo("Europe/Berlin")


class FakeClock:
    """A clock that passes when it is slept on, and jumps ahead once where it is told to."""

    def __init__(self, moment: datetime, jump: timedelta = timedelta(0)) -> None:
        self.moment, self.jump, self.slept = moment, jump, 0.0

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds) + self.jump
        self.jump, self.slept = timedelta(0), self.slept + seconds


def times(text: str, after: datetime, count: int, zone: str = "Europe/Berlin") -> list[str]:
    found, moment = [], after
    plan = schedule.parse(text, zone)
    for _ in range(count):
        moment = plan.after(moment)
        assert moment.tzinfo == UTC
        found.append(f"{moment.astimezone(plan.zone):%m-%d %H:%M %Z}")
    return found


def test_three_at_night_stays_three_at_night_over_both_changes_of_the_clock() -> None:
    spring = times("0 3 * * *", datetime(2024, 3, 30, 12, tzinfo=BERLIN), 2)
    autumn = times("0 3 * * *", datetime(2024, 10, 26, 12, tzinfo=BERLIN), 2)
    assert spring == ["03-31 03:00 CEST", "04-01 03:00 CEST"]
    assert autumn == ["10-27 03:00 CET", "10-28 03:00 CET"]


def test_a_time_that_the_clock_skips_comes_right_after_the_jump_and_once() -> None:
    found = times("30 2 * * *", datetime(2024, 3, 30, 12, tzinfo=BERLIN), 2)
    assert found == ["03-31 03:00 CEST", "04-01 02:30 CEST"]


def test_a_time_that_the_clock_shows_twice_comes_once() -> None:
    found = times("30 2 * * *", datetime(2024, 10, 26, 12, tzinfo=BERLIN), 2)
    assert found == ["10-27 02:30 CEST", "10-28 02:30 CET"]


def test_every_hour_comes_in_both_of_the_doubled_hours() -> None:
    found = times("0 * * * *", datetime(2024, 10, 27, 1, 30, tzinfo=BERLIN), 3)
    assert found == ["10-27 02:00 CEST", "10-27 02:00 CET", "10-27 03:00 CET"]


def test_a_time_is_later_than_the_moment_asked_from() -> None:
    plan = schedule.parse("0 3 * * *", "UTC")
    at = datetime(2024, 5, 1, 3, tzinfo=UTC)
    assert plan.after(at) == at + timedelta(days=1)
    assert plan.after(at - timedelta(microseconds=1)) == at


def test_names_stand_for_their_fields() -> None:
    assert times("@weekly", datetime(2024, 5, 1, tzinfo=UTC), 1, "UTC") == ["05-05 00:00 UTC"]


@pytest.mark.parametrize("text", ["", "x", "0 25 * * *", "60 * * * *", "* * * *", "0 0 30 2 *", "0 0 * * 9", "@never"])
def test_what_is_no_cron_time_is_refused_by_its_text(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        schedule.parse(text, "UTC")
    assert repr(text) in refused.value.problem
    assert "0 3 * * *" in refused.value.remedy


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_an_unknown_time_zone_is_refused_by_its_name(zone: str) -> None:
    with pytest.raises(SettingsError, match="time zone"):
        schedule.parse("0 3 * * *", zone)


def test_waiting_ends_at_its_time() -> None:
    clock = FakeClock(datetime(2024, 5, 1, tzinfo=UTC))
    schedule.wait(datetime(2024, 5, 1, 0, 5, tzinfo=UTC), clock)
    assert clock.slept == 300


def test_waiting_notices_that_the_machine_was_asleep() -> None:
    clock = FakeClock(datetime(2024, 5, 1, tzinfo=UTC), jump=timedelta(hours=9))
    schedule.wait(datetime(2024, 5, 1, 3, tzinfo=UTC), clock)
    assert clock.slept < 60


def test_a_time_that_has_passed_is_not_waited_for() -> None:
    clock = FakeClock(datetime(2024, 5, 1, tzinfo=UTC))
    schedule.wait(datetime(2024, 4, 30, tzinfo=UTC), clock)
    assert clock.slept == 0
