"""Which rejected values may be shown: cells shift, and then a name stands where a sum belongs."""

from typing import Final

import polars as pl

_MONTHS: Final = (
    "january|february|march|april|may|june|july|august|september|october|november|december|sept|"
    "januar|jänner|februar|märz|mai|juni|juli|oktober|dezember|"
    "janvier|février|mars|avril|juin|juillet|août|septembre|octobre|novembre|décembre|"
    "enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre|"
    "jan|feb|mar|apr|jun|jul|aug|sep|oct|okt|nov|dec|dez|am|pm"
)
_OF_DATES: Final = rf"\b(?:{_MONTHS})\b"
"""Words of dates in the languages of `inspect`'s Latin vocabulary, in small letters."""
_LETTERS: Final = 3
"""As many as a currency's code has: fewer than most names."""
_EAST_ASIAN: Final = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}&&[^年月日号號時时点點分秒上下午元円년월일시분초]]"
"""Whole names are two or three of them. Signs of dates and money are left out."""
_DATE: Final = r"\b(?:\d{4}([-/.])\d{1,2}([-/.])\d{1,2}|\d{1,2}([-/.])\d{1,2}([-/.])\d{2,4})\b"
_NUMBER: Final = r"^\s*-?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:[.,']\d{3})+)?(?:[.,]\d+)?\s*$"
"""Without a plus, and without a zero in front: those are telephones'."""
_PHONE: Final = r"(?:^|[^\w-])\(?\+?\(?\d(?:[\s()/.-]{0,3}\d){6,}(?:$|\W)"
"""Seven digits or more. `ORD-2025-0001234` is none."""


def harmless(texts: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Whether values may be shown, true or false for each; true for nulls.

    Not shown are what holds an `@`, seven digits or more that are written like a telephone's (dates and plain numbers
    are none), and, where a number, a time or a truth was wanted, more than three letters that are no month's name, or
    an East Asian character that no date has.

    Args:
        texts: of cells.
        dtype: of the column that they stand for.
    """
    value = pl.col("value")
    number = value.str.contains(_NUMBER)
    mail = value.str.contains("[@＠]")
    phone = ~number & value.str.replace_all(_DATE, "_").str.contains(_PHONE)
    told = [mail, phone]
    if dtype != pl.String:
        letters = value.str.to_lowercase().str.replace_all(_OF_DATES, "").str.count_matches(r"\p{L}")
        told += [letters > _LETTERS, value.str.contains(_EAST_ASIAN)]
    found = texts.cast(pl.String).to_frame("value").select(~pl.any_horizontal(told).fill_null(False))
    return found.to_series()
