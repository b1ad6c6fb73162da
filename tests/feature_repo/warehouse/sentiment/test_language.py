"""A text's language, from the code that a company states or from the text."""

import polars as pl
import pytest

from feature_repo.warehouse.sentiment import language


def found(text: str | None) -> str | None:
    answer: list[str | None] = language.find(pl.Series([text], dtype=pl.String)).to_list()
    assert len(answer) == 1
    return answer[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Great product, works well!", "en"),
        ("OK", "en"),
        ("what a great camera, no regrets", "en"),
        ("这个手机很好用", "zh"),
        ("這個手機很差", "zh"),
        ("iPhone 很好用", "zh"),
        ("太差了 very bad", "zh"),
        ("质量の问题", "zh"),
        ("とても良い商品です", "ja"),
        ("品質が悪い", "ja"),
        ("배송이 빨라요", "ko"),
        ("Das ist nicht gut", "de"),
        ("Très bon produit", "fr"),
        ("es muy bueno", "es"),
        ("il prodotto è ottimo", "it"),
        ("não é muito bom", "pt"),
        ("niet goed, het is slecht", "nl"),
        ("Отлично, спасибо", None),
        ("ممتاز", None),
        ("", None),
        ("   ", None),
        (None, None),
        ("12345 !!", None),
        ("👍🎉", None),
    ],
)
def test_the_language_is_told_by_script_and_common_words(text: str | None, expected: str | None) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("en", "en"),
        ("EN", "en"),
        ("en-GB", "en"),
        ("zh_Hant_TW", "zh"),
        (" zh ", "zh"),
        ("cmn", "zh"),
        ("eng", "en"),
        ("fr", "fr"),
        ("English", None),
        ("xyz", None),
        ("", None),
        (None, None),
    ],
)
def test_codes_of_any_form_become_two_letters(stated: str | None, expected: str | None) -> None:
    assert language.code(pl.Series([stated], dtype=pl.String)).to_list() == [expected]


def test_no_text_no_language() -> None:
    assert language.find(pl.Series([], dtype=pl.String)).to_list() == []
