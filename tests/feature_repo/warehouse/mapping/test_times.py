"""Times are read as they are written, and brought to UTC as the zone's own clock ran."""

import datetime as dt
import re
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.warehouse.mapping import casts, times
from feature_repo.warehouse.mapping.casts import Reading
from motherlode.errors import DataError

ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Shanghai", "America/Sao_Paulo", "Australia/Lord_Howe"]
_DAY = dt.timedelta(days=1)
_MOMENT = dt.timedelta(microseconds=1)
_SECOND = dt.timedelta(seconds=1)

_ISO = re.compile(
    r"(\d{4})[-/](\d{2})[-/](\d{2})"
    r"(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s?(Z|z|[+-]\d{2}(?::?\d{2})?)?)?"
)


def localised(naive: dt.datetime, zone: str) -> dt.datetime | None:
    """The slow, obvious way from a clock to UTC: the first of two, None where the clock skipped it."""
    there = naive.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(dt.UTC)
    return there if there.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == naive else None


def day_start(day: dt.datetime, zone: str) -> dt.datetime:
    """The first moment of a day, by search: the first second that its clock showed."""
    for second in range(86_400):
        found = localised(day + second * _SECOND, zone)
        if found is not None:
            return found
    raise AssertionError(f"{zone} had no {day}")


def expected(text: str, zone: str, day: str) -> dt.datetime | None:
    """What a text means; None where it means no time that exists."""
    match = _ISO.fullmatch(text.strip())
    if match is None:
        return None
    year, month, date, hour, minute, second, fraction, offset = match.groups()
    micros = int((fraction or "")[:6].ljust(6, "0"))
    try:
        naive = dt.datetime(
            int(year), int(month), int(date), int(hour or 0), int(minute or 0), int(second or 0), micros
        )
    except ValueError:
        return None
    if offset is not None:
        sign, digits = (-1 if offset[0] == "-" else 1), offset.strip("+-Zz").replace(":", "").ljust(4, "0")
        if int(digits[2:]) > 59 or int(digits[:2]) > 23:
            return None
        return (naive - sign * dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))).replace(tzinfo=dt.UTC)
    midnight = naive.time() == dt.time(0)
    if day == "end" and midnight:
        return day_start(naive + _DAY, zone) - _MOMENT
    return day_start(naive, zone) if hour is None else localised(naive, zone)


def made(raw: list[Any], dtype: Any = None, **reading: Any) -> list[tuple[dt.datetime | None, bool]]:
    """Instants and failures."""
    series = pl.Series("raw", raw, dtype=dtype)
    cast = casts.cast("timestamp", pl.col("raw"), series.dtype, Reading(**reading))
    failed = pl.lit(False) if cast.failed is None else cast.failed
    frame = series.to_frame().lazy().select("raw", value=cast.value, failed=failed).collect(engine="streaming")
    return list(zip(frame["value"].to_list(), frame["failed"].to_list(), strict=True))


_TIMES = st.datetimes(dt.datetime(1975, 1, 1), dt.datetime(2036, 12, 31))
# Times near the changes of the clocks, which a random year would hardly meet.
_CHANGES = st.sampled_from(
    [
        *(dt.datetime(2024, 3, 10, 2), dt.datetime(2024, 11, 3, 1), dt.datetime(2024, 3, 31, 2)),
        *(dt.datetime(2024, 10, 27, 2), dt.datetime(2018, 11, 4), dt.datetime(2018, 2, 17, 23)),
        *(dt.datetime(2024, 10, 6, 2), dt.datetime(2024, 4, 7, 1, 30)),
    ]
).flatmap(lambda change: st.integers(-7200, 7200).map(lambda second: change + second * _SECOND))
_PATTERNS = [
    *("%Y-%m-%d", "%Y/%m/%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f"),
    *("%Y-%m-%d %H:%M:%S,%f", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dt%H:%M:%S.%fz", "%Y-%m-%d %H:%M:%S+02:00"),
    *("%Y-%m-%dT%H:%M-0330", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d %H:%M:%S +05"),
]
_TEXTS = st.one_of(
    st.builds(lambda moment, pattern: moment.strftime(pattern), _TIMES | _CHANGES, st.sampled_from(_PATTERNS)),
    st.from_regex(r"(19[89]|20[0-3])[0-9][-/][01][0-9][-/][0-3][0-9]", fullmatch=True),
    st.from_regex(r"2024-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-6][0-9](:[0-5][0-9])?", fullmatch=True),
    st.sampled_from(
        [
            "2024-02-30",
            "2024-13-01",
            "2023-02-29",
            "soon",
            "24-01-02",
            "01.02.2024",
            "2024-01-02 25:00",
            "2024",
            "12:30",
        ]
    ),
)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("day", ["start", "end"])
@given(texts=st.lists(_TEXTS, min_size=1, max_size=40))
@settings(max_examples=10, deadline=None)
def test_iso_8601_is_read_on_the_zones_clock(zone: str, day: str, texts: list[str]) -> None:
    meant = [expected(text, zone, day) for text in texts]
    assert made(texts, zone=zone, day=day) == [(moment, moment is None) for moment in meant]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@given(moments=st.lists(_TIMES | _CHANGES, min_size=1, max_size=40))
@settings(max_examples=6, deadline=None)
def test_typed_times_without_a_zone_are_the_zones_clock(zone: str, unit: Any, moments: list[dt.datetime]) -> None:
    whole = [moment.replace(microsecond=moment.microsecond // 1000 * 1000) for moment in moments]
    meant = [localised(moment, zone) for moment in whole]
    assert made(whole, pl.Datetime(unit), zone=zone) == [(moment, moment is None) for moment in meant]


def test_formats_are_tried_in_their_order() -> None:
    formats = ("%d.%m.%Y", "%m/%d/%Y %I:%M %p", "%Y-%m-%d %H:%M:%S%z", "epoch_s")
    texts = ["03.04.2024", "04/03/2024 01:05 PM", "2024-04-03 10:00:00+0200", "1700000000", "31.02.2024", "2024-04-03"]
    assert made(texts, formats=formats) == [
        (dt.datetime(2024, 4, 3, tzinfo=dt.UTC), False),
        (dt.datetime(2024, 4, 3, 13, 5, tzinfo=dt.UTC), False),
        (dt.datetime(2024, 4, 3, 8, tzinfo=dt.UTC), False),
        (dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC), False),
        (None, True),
        (None, True),
    ]
    # The same text means two days, and the mapping says which.
    assert made(["03/04/2024"], formats=("%d/%m/%Y", "%m/%d/%Y"))[0][0] == dt.datetime(2024, 4, 3, tzinfo=dt.UTC)
    assert made(["03/04/2024"], formats=("%m/%d/%Y", "%d/%m/%Y"))[0][0] == dt.datetime(2024, 3, 4, tzinfo=dt.UTC)


def test_a_year_of_two_digits_is_no_year_of_four() -> None:
    assert made(["01.02.24"], formats=("%d.%m.%Y",)) == [(None, True)]
    assert made(["01.02.24"], formats=("%d.%m.%y",)) == [(dt.datetime(2024, 2, 1, tzinfo=dt.UTC), False)]


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_epochs_are_utc_whatever_the_zone(seconds: list[int]) -> None:
    def meant(second: float) -> tuple[dt.datetime | None, bool]:
        try:
            return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=second), False
        except OverflowError:
            return None, True

    assert made(seconds, formats=("epoch_s",), zone="Asia/Shanghai") == [meant(second) for second in seconds]
    assert made([str(it) for it in seconds], formats=("epoch_s",)) == [meant(second) for second in seconds]
    assert made([it * 250 for it in seconds], formats=("epoch_ms",)) == [meant(second / 4) for second in seconds]


def test_an_integer_day_is_read_by_its_format() -> None:
    assert made([20240229, 20230229], formats=("%Y%m%d",)) == [
        (dt.datetime(2024, 2, 29, tzinfo=dt.UTC), False),
        (None, True),
    ]


@pytest.mark.parametrize("zone", ZONES)
def test_a_date_is_its_days_first_or_last_moment(zone: str) -> None:
    days = [dt.date(2018, 11, 3) + number * _DAY for number in range(3)]
    starts = [day_start(dt.datetime.combine(day, dt.time(0)), zone) for day in [*days, days[-1] + _DAY]]
    assert [value for value, _ in made(days, zone=zone)] == starts[:-1]
    assert [value for value, _ in made(days, zone=zone, day="end")] == [start - _MOMENT for start in starts[1:]]


def test_for_ever_stays_in_its_year_on_every_clock() -> None:
    for zone in ZONES:
        for day in ("start", "end"):
            value, failed = made(["9999-12-31"], zone=zone, day=day)[0]
            assert value is not None
            assert value.year == 9999
            assert not failed


def test_a_date_column_takes_the_day_that_the_zone_showed() -> None:
    raw = pl.Series("raw", ["2024-01-02", "2024-01-02T23:30:00Z", "2024-01-02 23:30", "x"])
    cast = casts.cast("date", pl.col("raw"), pl.String(), Reading(zone="Asia/Shanghai"))
    assert raw.to_frame().select(cast.value).to_series().to_list() == [
        *(dt.date(2024, 1, 2), dt.date(2024, 1, 3), dt.date(2024, 1, 2), None)
    ]


@pytest.mark.parametrize("form", ["%d.%m.%Y", "%Y%m%d", "%m/%d/%y %I:%M %p", "%Y-%m-%dT%H:%M:%S%.f%:z", "%d %b %Y"])
def test_formats_that_give_a_day_are_taken(form: str) -> None:
    assert times.checked_format(form) == form


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("DD.MM.YYYY", "none of strptime's"),
        ("%H:%M", "gives no day"),
        ("%d.%m", "gives no day"),
        ("%Q", "cannot be used|gives no day"),
        ("%Y-%m-%d %H:%M %Z", "reads over the zone's name"),
    ],
)
def test_formats_that_give_no_day_are_refused(form: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        times.checked_format(form)
