"""The encoding of a text: found, or given; what is not text is named row by row."""

from typing import Any

import pytest

from feature_repo.warehouse.sources.text import decimal

_CHINESE = "姓名,城市,备注\n王小明,北京,会员\n李雷,上海市浦东新区,牛奶、面包\n"
_TRADITIONAL = "姓名,城市,備註\n王小明,臺北市,會員\n李雷,高雄市新興區,牛奶、麵包\n"
_GERMAN = "Name,Stadt,Notiz\nJörg Müller,Köln,größer\nZoë,Saint-Étienne,5 €\n"
_FRENCH = "Prénom,Ville,Note\nHélène,Orléans,déjà vu à l’école\nFrançois,Nîmes,ça va\n"
_POLISH = "Imię,Miasto,Uwagi\nŁukasz,Łódź,zażółć gęślą jaźń\nGrażyna,Kraków,kończę\n"
_JAPANESE = "日付,名前,備考\n2024,さくら,ありがとう\n2025,タナカ商店,東京都\n"
_KOREAN = "이름,도시,비고\n김철수,서울,감사합니다\n이영희,부산광역시,고객\n"
_RUSSIAN = "имя,город,заметка\nИван,Москва,спасибо\nПётр,Санкт-Петербург,хорошо\n"


@pytest.mark.parametrize(
    ("text", "written", "found"),
    [
        (_GERMAN, "utf-8", "utf-8"),
        (_CHINESE, "utf-8-sig", "utf-8 with a byte order mark"),
        (_CHINESE, "utf-16", "utf-16 with a byte order mark"),
        (_GERMAN, "utf-16-le", "utf-16-le"),
        (_GERMAN, "utf-16-be", "utf-16-be"),
        (_GERMAN, "utf-32", "utf-32 with a byte order mark"),
        (_CHINESE, "gbk", "gb18030"),
        (_CHINESE, "gb18030", "gb18030"),
        (_TRADITIONAL, "big5", "big5"),
        (_GERMAN, "cp1252", "cp1252"),
        (_FRENCH, "cp1252", "cp1252"),
        (_POLISH, "cp1250", "cp1250"),
        (_JAPANESE, "shift_jis", "cp932"),
        (_JAPANESE, "euc_jp", "euc_jp"),
        (_KOREAN, "euc_kr", "cp949"),
        (_RUSSIAN, "cp1251", "cp1251"),
        (_RUSSIAN, "koi8_r", "koi8_r"),
    ],
)
@pytest.mark.parametrize("times", [1, 400])
def test_an_encoding_is_found_and_the_text_is_what_it_was(
    company: Any, text: str, written: str, found: str, times: int
) -> None:
    head, *lines = text.splitlines()
    text = "\n".join([head, *(lines * times)])
    landed = company.land("till.csv", text.encode(written))
    assert landed.how["encoding"] == found
    rows = company.rows(landed)
    assert rows.columns[2:] == head.split(",")
    assert [",".join(row[2:]) for row in rows.rows()] == lines * times


@pytest.mark.parametrize("given", ["gbk", "gb2312", "GB18030"])
def test_an_encoding_may_be_given(company: Any, given: str) -> None:
    landed = company.land("till.csv", _CHINESE.encode("gbk"), encoding=given)
    assert list(landed.columns) == ["姓名", "城市", "备注"]


@pytest.mark.parametrize("bad", [b"\xff", b"\x80", b"\xc3", b"\xe4\xb8", b"\xff\xfe", b"\xc3\x28"])
@pytest.mark.parametrize("others", ["plain", "Köln"])
def test_single_bad_bytes_reject_their_row_alone(company: Any, bad: bytes, others: str) -> None:
    lines = [f"{number},{others}".encode() for number in range(1_000)]
    lines[500] += bad
    landed = company.land("till.csv", b"id,city\n" + b"\n".join(lines))
    assert landed.how["encoding"] == "utf-8"
    assert [(line, rule) for line, _, rule in company.malformed(landed)] == [(502, "encoding")]
    assert company.rows(landed).height == 999


def test_a_bad_byte_in_gbk_rejects_its_row_alone(company: Any) -> None:
    lines = [f"{number},上海市浦东新区".encode("gbk") for number in range(1_000)]
    lines[500] += b"\xff"
    landed = company.land("till.csv", "编号,城市\n".encode("gbk") + b"\n".join(lines))
    assert landed.how["encoding"] == "gb18030"
    assert [(line, rule) for line, _, rule in company.malformed(landed)] == [(502, "encoding")]


def test_what_is_late_in_a_file_tells_too(company: Any) -> None:
    lines = b"\n".join(b"%d,plain" % number for number in range(200_000))
    landed = company.land("till.csv", b"id,city\n" + lines + "\nx,Zürich\n".encode("cp1252"))
    assert landed.how["encoding"] == "cp1252"
    assert company.rows(landed)["city"].to_list()[-1] == "Zürich"


def test_one_number_among_many_that_is_written_another_way_tells_nothing() -> None:
    """Whole cents, and a slip: were the comma believed, the slip would pass for 12.5."""
    assert decimal([["1250", "-300", "99"] * 20 + ["-12,50"]], ",") == {}
    assert decimal([["12,50", "3,00", "99"] * 20 + ["1.5"]], ";") == {"decimal": ","}
    assert decimal([["12,50", "3,00", "99"] * 20], ";") == {"decimal": ","}


def test_a_byte_order_that_nothing_tells_is_refused_with_the_remedy(company: Any) -> None:
    landed = company.land("till.csv", b"one,two\n1,2\n", encoding="utf-16")
    assert landed.status == "refused"
    assert "till.csv does not begin with a byte order mark" in landed.problem
    assert "utf-16-le" in landed.remedy
