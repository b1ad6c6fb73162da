"""When a job repeats: a cron text on a clock of a time zone."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from motherlode.errors import SettingsError

_NAMED: Final[Mapping[str, str]] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_FIELDS: Final = "minute hour day-of-month month day-of-week"
_LOOK_S: Final = 20.0
"""Seconds slept at the most: a clock that was set, or a machine that was asleep, is noticed then."""


@dataclass(frozen=True)
class Schedule:
    """Times, by cron's five fields (six: seconds first), on the clock of a time zone.

    Where that clock jumps ahead, a time that it skips is the first moment after the jump; where it goes back, a time
    that it shows twice is the first of them, but times of every hour or minute are both. So Debian's cron does.

    Attributes:
        text: the five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
        zone: the clock's.
    """

    text: str
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime:
        """The first time later than a moment, UTC."""
        # The year 9999 is no day on any clock: what asks for the 30th of February was refused by `parse`.
        found: datetime = next(CronSim(_NAMED.get(self.text, self.text), moment.astimezone(self.zone)))
        return found.astimezone(UTC)


def parse(text: str, time_zone: str) -> Schedule:
    """A schedule that has a next time.

    Args:
        text: cron's five fields.
        time_zone: by IANA name.

    Raises:
        SettingsError: the text is no cron time, names a day that never comes, or the zone is not known.
    """
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(
            f"The time zone {time_zone!r} is not known.", "Give an IANA name, such as Europe/Berlin or UTC."
        ) from None
    schedule = Schedule(" ".join(text.split()), zone)
    remedy = f'Give {_FIELDS}, such as "0 3 * * *" for three at night, or one of {", ".join(_NAMED)}.'
    try:
        schedule.after(datetime.now(UTC))
    except CronSimError as error:
        raise SettingsError(f"The schedule {text!r} is no cron time: {error}.", remedy) from None
    except StopIteration:
        raise SettingsError(f"The schedule {text!r} names a day that never comes.", remedy) from None
    return schedule


class Clock(Protocol):
    """What time it is, and the passing of it."""

    def now(self) -> datetime:
        """This moment, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""
        ...


class WallClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """This moment, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""
        time.sleep(seconds)


def wait(until: datetime, clock: Clock) -> None:
    """Return at a time, or at once where it has passed."""
    while (left := (until - clock.now()).total_seconds()) > 0:
        clock.sleep(min(left, _LOOK_S))
