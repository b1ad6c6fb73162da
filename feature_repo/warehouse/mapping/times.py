"""Times: parsed from text or epochs, and brought from a zone's clock to UTC."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl
from polars.exceptions import PolarsError

from feature_repo.warehouse.mapping.steps import Steps, let
from motherlode.errors import DataError

UTC: Final = pl.Datetime("us", "UTC")
DATETIME: Final = pl.Datetime("us")
UNITS: Final[Mapping[str, int]] = {"epoch_s": 1_000_000, "epoch_ms": 1_000}
"""Epoch formats → microseconds of one unit."""

_SECOND: Final = pl.duration(seconds=1)
_MOMENT: Final = pl.duration(microseconds=1)
_DAY: Final = pl.duration(days=1)
_DAY_US: Final = 86_400_000_000
_FIRST: Final = -62_135_596_800_000_000
"""The beginning of the year 1, in microseconds. Beyond the ends Python has no times, and Polars panics far out."""
_LAST: Final = 253_402_300_799_999_999
"""The end of 9999."""
_FIRST_WRITTEN: Final = -30_610_224_000_000_000
"""The year 1000: in text, a year of two digits read as four is no year."""
_PER_DAY: Final[Mapping[str, int]] = {"ms": 86_400_000, "us": _DAY_US, "ns": 86_400_000_000_000}
_UTC_NAMES: Final = frozenset({"UTC", "Etc/UTC", "GMT", "Etc/GMT", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu", "Universal"})
_OFFSETS: Final = ("%z", "%:z", "%#z", "%::z", "%+")
_HOURS: Final = ("%H", "%I", "%k", "%l", "%T", "%R", "%r", "%X", "%c", "%+", "%s")

# ISO 8601 after T and / are made blank and dash. Texts of a usual length are parsed by Polars' own fast parser, by the
# one format of that length; what is left, an offset or a month of one digit, by the slow one, by each.
_ISO_FAST: Final = (
    (10, "%Y-%m-%d"),
    (16, "%Y-%m-%d %H:%M"),
    (19, "%Y-%m-%d %H:%M:%S"),
    (23, "%Y-%m-%d %H:%M:%S.%3f"),
    (26, "%Y-%m-%d %H:%M:%S.%6f"),
    (20, "%Y-%m-%d %H:%M:%SZ"),
    (24, "%Y-%m-%d %H:%M:%S.%3fZ"),
    (27, "%Y-%m-%d %H:%M:%S.%6fZ"),
)
_ISO_SLOW: Final = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M%#z",
)


def is_utc(zone: str) -> bool:
    """Whether a zone's clock shows UTC, always."""
    return zone in _UTC_NAMES


def has_offset(form: str) -> bool:
    """Whether times of a strptime format state their offset."""
    return any(part in form for part in _OFFSETS)


def has_hour(form: str) -> bool:
    """Whether a strptime format gives a time of the day."""
    return any(part in form for part in _HOURS)


@dataclass(frozen=True)
class Parsed:
    """What was read of a column of times.

    Attributes:
        steps: the values below, by name; in a row at most one of them is not null.
        parts: which there are: `naive`, what a clock showed, Datetime without a zone; `days`, midnights of dates that
            state no time, Datetime without a zone; `aware`, Datetime UTC.
    """

    steps: Steps
    parts: tuple[str, ...]

    @property
    def naive(self) -> pl.Expr | None:
        """What clocks showed, where that is all there is."""
        return self.steps.get("naive") if self.parts == ("naive",) else None

    def instant(self, zone: str, day: Literal["start", "end"]) -> pl.Expr:
        """UTC. A time that a zone's clock showed twice is its first; one that it skipped is null.

        Args:
            zone: whose clock it was.
            day: which moment of its day a date stands for; `end` takes a clock's midnight for a date.
        """
        naive, days, aware = (pl.field(name) for name in ("naive", "days", "aware"))
        found = {
            "naive": _midnight_ends(naive, zone) if day == "end" else localise(naive, zone),
            "days": _day_end(days, zone) if day == "end" else _day_start(days, zone),
            "aware": aware,
        }
        return self._made([found[part] for part in self.parts])

    def day(self, zone: str) -> pl.Expr:
        """The date that the zone's calendar showed."""
        found = {"naive": pl.field("naive"), "days": pl.field("days"), "aware": clock(pl.field("aware"), zone)}
        return self._made([found[part].dt.date() for part in self.parts])

    def _made(self, found: list[pl.Expr]) -> pl.Expr:
        return self.steps.then(made=found[0] if len(found) == 1 else pl.coalesce(found)).get("made")


def bounded(raw: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A typed column of dates or times; null beyond the years 1 to 9999, where a file is damaged."""
    if isinstance(dtype, pl.Datetime):
        first, last = (_scaled(end, _PER_DAY[dtype.time_unit]) for end in (_FIRST, _LAST))
    elif dtype == pl.Date:
        first, last = _FIRST // _DAY_US, _LAST // _DAY_US
    else:
        first, last = 0, _PER_DAY["ns"] - 1
    return let(raw, lambda it: pl.when(it.to_physical().is_between(first, last)).then(it))


def _scaled(micros: int, per_day: int) -> int:
    """Microseconds in another unit, as far as 64 bits hold it."""
    return max(-(2**63), min(2**63 - 1, micros * per_day // _DAY_US))


def localise(naive: pl.Expr, zone: str) -> pl.Expr:
    """A zone's clock → UTC; the first of two, null where the clock skipped it."""
    if is_utc(zone):
        return naive.dt.replace_time_zone("UTC")
    instant = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")
    # A company's "for ever", 9999-12-31, stays a time of that year west of Greenwich too.
    return instant.to_physical().clip(_FIRST, _LAST).cast(UTC)


def clock(instant: pl.Expr, zone: str) -> pl.Expr:
    """UTC → what the zone's clock showed."""
    if is_utc(zone):
        return instant.dt.replace_time_zone(None)
    return instant.dt.convert_time_zone(zone).dt.replace_time_zone(None)


def epoch(number: pl.Expr, unit: str) -> Parsed:
    """Seconds or milliseconds since 1970 UTC; fractions to the microsecond; null beyond the years 1 to 9999."""
    whole = Steps(float=number.cast(pl.Float64, strict=False), whole=number.cast(pl.Int64, strict=False))
    return Parsed(whole.then(aware=_since_1970(pl.field("float"), pl.field("whole"), unit)), ("aware",))


def parse(text: pl.Expr, formats: tuple[str, ...]) -> Parsed:
    """Text → times, by the first format that fits; ISO 8601 where there is none."""
    if not formats:
        return _parse_iso(text)
    steps = Steps(left=text)
    parts: dict[str, list[pl.Expr]] = {}
    for number, form in enumerate(formats):
        name = f"format{number}"
        if form in UNITS:
            left = pl.field("left")
            whole = {
                f"{name} float": left.cast(pl.Float64, strict=False),
                f"{name} whole": left.cast(pl.Int64, strict=False),
            }
            read, rounded = (pl.field(it) for it in whole)
            steps = steps.then(**whole).then(**{name: _since_1970(read, rounded, form)})
        else:
            steps = steps.then(**{name: _strptime(pl.field("left"), form)}).then(**{name: _years(pl.field(name))})
        steps = steps.then(left=pl.when(pl.field(name).is_null()).then(pl.field("left")))
        part = "aware" if form in UNITS or has_offset(form) else "naive" if has_hour(form) else "days"
        parts.setdefault(part, []).append(pl.field(name))
    return Parsed(steps.then(**{part: pl.coalesce(found) for part, found in parts.items()}), tuple(parts))


def checked_format(form: str) -> str:
    """A strptime format that gives a day.

    Raises:
        DataError: it gives none.
    """
    if "%" not in form:
        raise DataError(
            f"format {form!r} is none of strptime's.", "Write it like %d.%m.%Y %H:%M, or epoch_s, epoch_ms."
        )
    if "%Z" in form:
        raise DataError(
            f"format {form!r} reads over the zone's name.", "Use %z for offsets, and state the `time_zone`."
        )
    try:
        sample = pl.select(pl.datetime(2021, 11, 23, 14, 5, 6, time_zone="UTC"))
        text = sample.to_series().dt.to_string(form)
        back = pl.select(parse(pl.lit(text), (form,)).day("UTC")).to_series()
    except PolarsError as error:
        told = str(error).splitlines()[0]
        raise DataError(f"format {form!r} cannot be used: {told}.", "See strptime's directives.") from error
    if back[0] is None or back[0].isoformat() != "2021-11-23":
        raise DataError(f"format {form!r} gives no day.", "It needs the year, the month and the day: %Y-%m-%d.")
    return form


def _parse_iso(text: pl.Expr) -> Parsed:
    plain, left = pl.field("plain"), pl.field("left")
    fast = {
        form: pl.when(plain.str.len_bytes() == length).then(plain).pipe(_strptime, form) for length, form in _ISO_FAST
    }
    steps = Steps(plain=text.str.replace_many(["T", "t", "/"], [" ", " ", "-"])).then(**fast)
    nothing = pl.all_horizontal(pl.field(form).is_null() for form in fast)
    steps = steps.then(left=pl.when(nothing).then(plain).str.to_uppercase().str.replace(",", ".", literal=True))
    slow = {f"slow {form}": _strptime(left, form) for form in _ISO_SLOW}
    parts: dict[str, list[pl.Expr]] = {}
    for name in (*fast, *slow):
        part = "aware" if has_offset(name) or name.endswith("Z") else "naive" if has_hour(name) else "days"
        parts.setdefault(part, []).append(pl.field(name).pipe(_zulu) if name.endswith("Z") else pl.field(name))
    steps = steps.then(**slow).then(**{part: pl.coalesce(found) for part, found in parts.items()})
    return Parsed(steps.then(**{part: _years(pl.field(part)) for part in parts}), tuple(parts))


def _zulu(naive: pl.Expr) -> pl.Expr:
    return naive.dt.replace_time_zone("UTC")


def _since_1970(number: pl.Expr, whole: pl.Expr, unit: str) -> pl.Expr:
    micros = number * UNITS[unit]
    exact = pl.when(number == whole).then(whole * UNITS[unit]).otherwise(micros.round().cast(pl.Int64, strict=False))
    return pl.when(micros.is_between(_FIRST, _LAST)).then(exact).cast(UTC)


def _strptime(text: pl.Expr, form: str) -> pl.Expr:
    return text.str.strptime(UTC if has_offset(form) else DATETIME, form, strict=False, cache=False)


def _years(found: pl.Expr) -> pl.Expr:
    """Times of years that may stand in text."""
    return pl.when(found.to_physical().is_between(_FIRST_WRITTEN, _LAST)).then(found)


def _midnight_ends(naive: pl.Expr, zone: str) -> pl.Expr:
    midnight = naive.to_physical() % _DAY_US == 0
    return pl.when(midnight).then(_day_end(naive, zone)).otherwise(localise(naive, zone))


def _day_start(midnight: pl.Expr, zone: str) -> pl.Expr:
    """A day's first moment: where the clock skips midnight, the moment after 23:59:59."""
    if is_utc(zone):
        return localise(midnight, zone)
    return pl.coalesce(localise(midnight, zone), localise(midnight - _SECOND, zone) + _SECOND)


def _day_end(midnight: pl.Expr, zone: str) -> pl.Expr:
    """A day's last moment."""
    return _day_start(midnight + _DAY, zone) - _MOMENT
