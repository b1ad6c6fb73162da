"""What texts look like: dates, numbers, yes and no; and how much may be wrong among them."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.warehouse.inspect import values


def counted(*texts: str) -> dict[str, int]:
    return dict.fromkeys(texts, 1)


DAYS = [date(2024, 1, 9) + timedelta(days=9 * step) for step in range(40)]


@pytest.mark.parametrize(
    "written",
    ["%d.%m.%Y", "%d/%m/%Y %H:%M", "%m/%d/%Y", "%m-%d-%y", "%Y%m%d", "%d-%b-%Y", "%Y年%m月%d日", "%m/%d/%Y %I:%M %p"],
)
def test_the_format_of_days_is_found_and_what_decides_it(written: str) -> None:
    found = values.times(counted(*(day.strftime(written) for day in DAYS)))
    assert found is not None
    assert found.formats == (written,)
    assert (found.order == "month first") == written.startswith("%m")


@pytest.mark.parametrize("written", ["%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])
def test_iso_times_need_no_format(written: str) -> None:
    found = values.times(counted(*(day.strftime(written) for day in DAYS)))
    assert found is not None
    assert found.formats == ()
    assert found.dates == ("%H" not in written)


def test_days_up_to_the_twelfth_alone_leave_open_which_number_is_the_month() -> None:
    found = values.times(counted("01/02/2024", "03/04/2024", "12/11/2024"))
    assert found is not None
    assert found.order == "either"
    decided = values.decided(found, "month first")
    assert decided.formats == ("%m/%d/%Y",)


def test_one_impossible_day_among_many_does_not_hide_the_format() -> None:
    found = values.times({**counted(*(day.strftime("%d.%m.%Y") for day in DAYS)), "31.02.2024": 1, "soon": 1})
    assert found is not None
    assert found.formats == ("%d.%m.%Y",)


@pytest.mark.parametrize(
    ("texts", "decimal", "thousands"),
    [
        (("1.234,56", "12,50", "7"), ",", "."),
        (("1,234.56", "12.50", "7"), ".", ","),
        (("1 234,56", "12,50"), ",", " "),
        (("€ 12.50", "€ 3.00"), ".", None),
        (("1'234.50", "3.00"), ".", "'"),
    ],
)
def test_signs_of_numbers_are_found(texts: tuple[str, ...], decimal: str, thousands: str | None) -> None:
    found = values.numbers(counted(*texts))
    assert found is not None
    assert (found.decimal, found.thousands) == (decimal, thousands)


def test_a_comma_before_three_digits_alone_is_unsure() -> None:
    found = values.numbers(counted("1,234", "7,500"))
    assert found is not None
    assert found.unsure


@given(st.lists(st.decimals(-9999, 9999, places=2), min_size=3, max_size=20, unique=True))
def test_numbers_with_either_sign_have_the_same_range(numbers: list[object]) -> None:
    plain = values.numbers(counted(*map(str, numbers)))
    comma = values.numbers(counted(*(str(number).replace(".", ",") for number in numbers)))
    assert plain is not None
    assert comma is not None
    assert (plain.low, plain.high) == (comma.low, comma.high)


def test_a_slip_is_forgiven_and_a_text_that_comes_again_is_not() -> None:
    assert values.numbers({"1": 80, "2": 60, "3": 20, "zwei": 1}) is not None
    assert values.numbers({"0": 80, "1": 60, "2": 20, "3+": 14}) is None


def test_yes_and_no_are_known_in_five_languages() -> None:
    assert values.truths({"ja": 70, "nein": 29, "vielleicht": 1}) == {"ja": True, "nein": False}
    assert values.truths(counted("oui", "non")) == {"non": False, "oui": True}
    assert values.truths({"Yes": 50, "No": 40, "No phone service": 10}) is None


def test_one_number_alone_is_neither_yes_nor_no() -> None:
    assert values.truths({"0": 500}) is None
    assert values.truths({"1": 500}) is None
    assert values.truths({"no": 500}) == {"no": False}


@pytest.mark.parametrize(
    ("texts", "formats"),
    [
        (("18:52", "9:05", "23:59"), ("%H:%M",)),
        (("18:52:08", "09:05:00"), ("%H:%M:%S",)),
        (("6:52 PM", "09:05 AM"), ("%I:%M %p",)),
        (("18:52", "25:10", "40:00"), ()),
        (("1.5", "2"), ()),
    ],
)
def test_times_of_day_without_a_day_are_known(texts: tuple[str, ...], formats: tuple[str, ...]) -> None:
    assert values.clocks(counted(*texts)) == formats


def test_times_since_1970_among_written_ones_are_a_second_format() -> None:
    texts = [f"2026-05-{day:02}T13:13:08+02:00" for day in range(1, 25)]
    found = values.times(counted(*texts, "1792227502000", "1784943914000"))
    assert found is not None
    assert found.formats == ("%Y-%m-%dT%H:%M:%S%z", "epoch_ms")
    assert values.times(counted("1792227502000", "1784943914000")) is None, "numbers, where there are no others"
