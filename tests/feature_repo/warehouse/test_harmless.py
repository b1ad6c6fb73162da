"""What a rejected value may show of a cell that nobody knows."""

import polars as pl
import pytest

from feature_repo.warehouse.harmless import harmless


def shown(text: str | None, dtype: pl.DataType) -> bool:
    [answer] = harmless(pl.Series([text], dtype=pl.String), dtype).to_list()
    return bool(answer)


@pytest.mark.parametrize(
    "text",
    [
        "12,50",
        "-3",
        "1.234.567,89",
        "1,234,567.5",
        "12345678",
        "5 EUR",
        "31.02.1980",
        "31/02/2025 10:00",
        "n/a",
        "abc",
        "",
        "2025-02-30 25:61:00",
        "2025-02-30T25:61:00Z",
        "31 February 2025",
        "30 février 2025 10:00 PM",
        "2025年2月30日",
        None,
    ],
)
def test_broken_numbers_and_times_are_shown(text: str | None) -> None:
    assert shown(text, pl.Float64())


@pytest.mark.parametrize(
    "text", ["Max Doe", "Anna", "gestern", "Müller", "Marianne", "王小明", "Иванов", "김철수", "5 Anna"]
)
def test_words_are_not_shown_where_a_number_was_wanted(text: str) -> None:
    assert not shown(text, pl.Float64())
    assert shown(text, pl.String())


@pytest.mark.parametrize("dtype", [pl.String(), pl.Float64(), pl.Datetime("us", "UTC"), pl.Boolean()])
@pytest.mark.parametrize(
    "text",
    [
        "anna@example.org",
        "a＠b",
        "+49 171 1234567",
        "0171/1234567",
        "(030) 123-4567",
        "01711234567",
        "tel. 0171 1234567",
    ],
)
def test_addresses_and_telephones_are_shown_nowhere(text: str, dtype: pl.DataType) -> None:
    assert not shown(text, dtype)


@pytest.mark.parametrize("text", ["ORD-2025-0001234", "online shop", "2025-02-30", "4006381333931"])
def test_numbers_of_receipts_and_items_are_no_telephones(text: str) -> None:
    assert shown(text, pl.String())
