"""Figures as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.report import words


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.4, "1,234"), (12.34, "12.3"), (1.5, "1.50"), (0.1234, "0.123"), (-0.2, "−0.200"), (-0.0, "0.000")],
)
def test_a_figure_has_about_three_digits(value: float, text: str) -> None:
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (1.0, "100 %"), (0.615, "62 %"), (0.041, "4.1 %"), (0.0001, "below 0.1 %")],
)
def test_a_share_reads_as_per_cent_and_is_never_torn_from_its_sign(share: float, text: str) -> None:
    assert words.percent(share) == text.replace(" %", "\N{NO-BREAK SPACE}%")


def test_where_there_is_little_room_no_zero_idles() -> None:
    assert [words.short(value) for value in (0.0, 0.1331, 5.0, 84.41, 2970.4, -2.0)] == [
        "0",
        "0.133",
        "5",
        "84.4",
        "2,970",
        "−2",
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_a_dash(value: float) -> None:
    assert words.number(value) == words.percent(value) == "–"


def test_a_difference_carries_its_sign() -> None:
    assert (words.signed(0.041), words.signed(-0.041), words.signed(0.0)) == ("+0.041", "−0.041", "0.000")
    assert (words.deviations(1.23), words.deviations(-0.04), words.deviations(0.04)) == ("+1.2", "0.0", "0.0")
    assert words.points(0.0123) == "1.2 percentage points"


def test_one_customer_is_not_several() -> None:
    assert (words.plural(1, "customer"), words.plural(2469, "customer")) == ("1 customer", "2,469 customers")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("frequency_84d", "frequency, 84 days"),
        ("trend_4w_12w", "trend, 4 against 12 weeks"),
        ("share_drug_gm", "share of drug gm"),
        ("rfm.recency_days", "recency days"),
    ],
)
def test_a_feature_reads_as_words(name: str, text: str) -> None:
    assert words.feature(name) == text


def test_a_column_name_breaks_after_underscores_and_is_escaped() -> None:
    assert words.breakable("view.a_<b>") == "view.<wbr>a_<wbr>&lt;b&gt;"


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_no_hyphen_stands_for_a_minus(value: float) -> None:
    assert "-" not in words.number(value) + words.percent(value) + words.tick(value).replace("e-", "")
