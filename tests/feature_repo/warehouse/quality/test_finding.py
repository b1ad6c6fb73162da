"""A verdict says what fails first, and shares are never rounded into none or all."""

import pytest

from feature_repo.warehouse.quality.finding import Finding, percent, share, verdict


def test_a_verdict_refuses_by_one_failure_and_puts_it_first() -> None:
    warn, fail = Finding("warn", "t", "a", "1", "r"), Finding("fail", "t", "b", "2", "r")
    assert not verdict([warn, warn]).refused
    assert verdict([warn, warn]).findings == (warn,)
    assert verdict([warn, warn]).reason == ""
    assert verdict([warn, fail]).refused
    assert verdict([warn, fail]).findings == (fail, warn)
    assert verdict([warn, fail]).reason == "t: b (2)"


def test_a_long_reason_is_counted_out() -> None:
    many = [Finding("fail", "t", f"w{number}", "v", "r") for number in range(5)]
    assert verdict(many).reason == "t: w0 (v); t: w1 (v); t: w2 (v); 2 more"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 %"), (1, "100 %"), (1e-7, "below 0.1 %"), (0.9999999, "over 99 %"), (0.0123, "1.2 %"), (0.617, "62 %")],
)
def test_shares_in_words(value: float, text: str) -> None:
    assert percent(value) == text


def test_a_share_of_nothing() -> None:
    assert share(0, 0) == "0 of 0"
    assert share(12, 1200) == "12 of 1,200 (1.0 %)"
