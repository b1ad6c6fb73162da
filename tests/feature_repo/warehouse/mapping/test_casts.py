"""Raw values become typed ones by stated rules; whatever the data holds, no cast raises."""

import datetime as dt
import re
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.warehouse.mapping import casts
from feature_repo.warehouse.mapping.casts import Kind, Reading
from motherlode.errors import DataError
from motherlode.identity import id_text

# Unicode's White_Space, which Polars trims; Python's strip() takes four control signs besides.
_WHITE = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_DAMAGED = [-(2**63) + 1, 2**63 - 1, 253_402_300_800_000_000, -62_135_596_800_000_001]


def made(kind: Kind, values: list[Any], dtype: Any = None, **reading: Any) -> list[tuple[Any, bool]]:
    """Value and failure of each raw value."""
    raw = pl.Series("raw", values, dtype=dtype, strict=False)
    cast = casts.cast(kind, pl.col("raw"), raw.dtype, Reading(**reading))
    failed = pl.lit(False) if cast.failed is None else cast.failed
    frame = raw.to_frame().lazy().select("raw", value=cast.value, failed=failed).collect(engine="streaming")
    assert frame.schema["value"] == casts.DTYPES[kind]
    assert frame["failed"].null_count() == 0
    assert not frame.filter(pl.col("failed") & pl.col("value").is_not_null()).height
    return list(zip(frame["value"].to_list(), frame["failed"].to_list(), strict=True))


def values(kind: Kind, raw: list[Any], dtype: Any = None, **reading: Any) -> list[Any]:
    """The values alone."""
    return [value for value, _ in made(kind, raw, dtype, **reading)]


_POINT = {".": r"\.", ",": ","}
_GROUP = {None: None, ",": ",", ".": r"\.", " ": "[ \u00a0\u2009\u202f]", "'": "['’]"}


def number(text: str, decimal: str, thousands: str | None) -> tuple[float | None, bool]:
    """The slow, obvious reading of a number."""
    text = text.strip()
    if not text:
        return None, False
    point, group = _POINT[decimal], _GROUP[thousands]
    plain = rf"[+-]?(\d+({point}\d*)?|{point}\d+)([eE][+-]?\d+)?"
    grouped = rf"[+-]?\d{{1,3}}({group}\d{{2,3}})*{group}\d{{3}}({point}\d*)?"
    if re.fullmatch(plain, text, re.ASCII) or (group is not None and re.fullmatch(grouped, text, re.ASCII)):
        value = float((re.sub(group, "", text) if group is not None else text).replace(decimal, "."))
        return (value, False) if abs(value) != float("inf") else (None, True)
    return None, True


_SIGNED = [(".", None), (",", None), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'")]
_NUMBERS = st.one_of(
    st.text("0123456789.,'’ -+eE\u00a0\u202f", max_size=12),
    st.from_regex(r"[+-]?[0-9]{1,3}([.,' ][0-9]{2,3}){0,3}([.,][0-9]{0,3})?", fullmatch=True),
    st.floats(allow_nan=True).map(str),
    st.sampled_from(["", " ", "NaN", "nan", "inf", "-Infinity", "1e400", "１２", "12abc", "1_000", "0x10", "true"]),
)


@pytest.mark.parametrize(("decimal", "thousands"), _SIGNED)
@given(texts=st.lists(_NUMBERS, min_size=1, max_size=60))
@settings(max_examples=20, deadline=None)
def test_numbers_in_text_are_read_by_the_stated_signs_alone(
    decimal: str, thousands: str | None, texts: list[str]
) -> None:
    expected = [number(text, decimal, thousands) for text in texts]
    assert made("number", texts, pl.String, decimal=decimal, thousands=thousands) == expected


@given(st.lists(st.floats() | st.none(), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None)
def test_a_float_that_is_no_number_fails_and_every_other_stays(raw: list[float | None]) -> None:
    for given_value, (value, failed) in zip(raw, made("number", raw, pl.Float64), strict=True):
        finite = given_value is not None and abs(given_value) < float("inf")
        assert value == (given_value if finite else None)
        assert failed == (given_value is not None and not finite)


@given(st.lists(st.floats(-1e15, 1e15), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None)
def test_money_loses_dust_below_a_millionth_and_nothing_else(raw: list[float]) -> None:
    for given_value, value in zip(raw, values("money", raw, pl.Float64), strict=True):
        assert abs(value - given_value) <= 5.0001e-7
        assert value == given_value or abs(given_value) < 1e9


def test_money_of_float_sums_and_of_cents_is_exact() -> None:
    assert values("money", [1.7763568394002505e-15, 19.990000000000002]) == [0.0, 19.99]
    assert values("money", [1999, 7], unit=0.01) == [19.99, 0.07]
    assert values("money", [19.99], pl.Float32) == [19.99]
    assert values("money", ["1,999", "-7"], unit=0.01, thousands=",") == [19.99, -0.07]


def test_numbers_of_every_type_become_numbers() -> None:
    assert values("number", [Decimal("12.50"), None], pl.Decimal(10, 2)) == [12.5, None]
    assert values("number", [True, None]) == [1.0, None]
    assert values("number", [2**64 - 1], pl.UInt64) == [float(2**64)]
    assert values("number", ["2.5", "x"], pl.Categorical) == [2.5, None]
    assert made("number", [1e308], unit=100.0) == [(None, True)]


def test_only_whole_numbers_are_integers() -> None:
    texts = ["12", " 12 ", "12.0", "1e3", "1.5", "x", "", "9223372036854775807", "9223372036854775808", "-7"]
    whole = [12, 12, 12, 1000, None, None, None, 2**63 - 1, None, -7]
    assert made("integer", texts) == [(it, it is None and text != "") for it, text in zip(whole, texts, strict=True)]
    assert made("integer", [1.0, 1.5, float("nan"), 1e300]) == [(1, False), (None, True), (None, True), (None, True)]
    assert made("integer", [2**63], pl.UInt64) == [(None, True)]
    assert values("integer", ["1.234.567"], thousands=".", decimal=",") == [1234567]


def test_ids_are_text_without_a_floats_point() -> None:
    assert values("id", ["123.0", " 7 ", "007", "A1.0", "1.50", "-3.0", "", "12.0 "]) == [
        *("123", "7", "007", "A1.0", "1.50", "-3", None, "12")
    ]
    assert values("id", [123.0, 12.5, None, float("nan"), -0.0]) == ["123", "12.5", None, None, "0"]
    assert values("id", [7, None]) == ["7", None]
    assert values("id", [Decimal("123.000"), Decimal("0.100")], pl.Decimal(10, 3)) == ["123", "0.1"]


def test_other_text_keeps_its_point() -> None:
    assert values("string", ["123.0", "  two words ", "\u3000", "NULL"], nulls=("NULL",)) == [
        *("123.0", "two words", None, None)
    ]
    assert values("string", [True, None]) == ["true", None]
    assert values("string", [dt.date(2024, 2, 29)]) == ["2024-02-29"]


@given(st.lists(st.binary(max_size=6) | st.text(max_size=4).map(str.encode), min_size=1, max_size=60))
@settings(max_examples=25, deadline=None)
def test_bytes_are_text_exactly_where_they_are_utf_8(raw: list[bytes]) -> None:
    def decoded(content: bytes) -> str | None:
        try:
            return content.decode()
        except UnicodeDecodeError:
            return None

    frame = pl.Series("raw", raw, dtype=pl.Binary).to_frame()
    found = frame.select(casts.shown(pl.col("raw"), pl.Binary())).to_series().to_list()
    assert found == [decoded(it) if decoded(it) is not None else it.hex() for it in raw]
    texts = [re.sub(rf"^{_WHITE}*|{_WHITE}*$", "", decoded(it) or "") for it in raw]
    for text, content, (value, failed) in zip(texts, raw, made("string", raw, pl.Binary), strict=True):
        assert failed == (decoded(content) is None)
        assert (value or "") == text


def test_bytes_that_are_no_text_fail() -> None:
    assert made("string", [b"ok", b"\xff", None]) == [("ok", False), (None, True), (None, False)]


def test_booleans_are_read_from_the_words_people_use() -> None:
    words = ["yes", "No", "JA", "nein", "是", "否", "1", "0", "TRUE", "false", "Y", "N", "1.0", "maybe", " ", None]
    truths = [True, False, True, False, True, False, True, False, True, False, True, False, True, None, None, None]
    assert made("boolean", words) == [(it, word == "maybe") for it, word in zip(truths, words, strict=True)]
    assert made("boolean", [0, 1, 2, None]) == [(False, False), (True, False), (None, True), (None, False)]
    assert made("boolean", [1.0, float("nan")]) == [(True, False), (None, True)]
    assert values("boolean", [True, None]) == [True, None]


def test_what_the_mapping_calls_nothing_is_nothing_in_typed_columns_too() -> None:
    nulls = ("-999", "NaN", "9999-12-31", "?")
    assert made("number", [-999, 5], nulls=nulls) == [(None, False), (5.0, False)]
    assert made("number", [float("nan"), 5.0], nulls=nulls) == [(None, False), (5.0, False)]
    assert made("date", [dt.date(9999, 12, 31), dt.date(2024, 1, 1)], nulls=nulls)[0] == (None, False)
    assert made("timestamp", [dt.datetime(9999, 12, 31)], nulls=nulls) == [(None, False)]
    assert made("number", ["?", " ? ", "1"], nulls=nulls) == [(None, False), (None, False), (1.0, False)]


@pytest.mark.parametrize("kind", list(casts.DTYPES))
def test_a_column_of_nulls_is_nothing_of_any_kind(kind: Kind) -> None:
    assert made(kind, [None, None], pl.Null) == [(None, False)] * 2


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("own_zone", [None, "UTC", "Asia/Shanghai"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Shanghai"])
@pytest.mark.parametrize("kind", ["timestamp", "date", "string", "id"])
def test_times_that_no_calendar_has_fail_and_never_panic(
    kind: Kind, zone: str, own_zone: str | None, unit: str
) -> None:
    raw = pl.Series([*_DAMAGED, 0], dtype=pl.Int64).cast(pl.Datetime(unit, own_zone))  # type: ignore[arg-type]
    for day in ("start", "end"):
        *damaged, sound = made(kind, raw, raw.dtype, zone=zone, day=day)  # type: ignore[arg-type]
        assert sound[0] is not None
        if unit == "us":
            assert damaged == [(None, True)] * len(_DAMAGED)


def test_damaged_dates_and_times_are_shown_as_their_number() -> None:
    raw = pl.Series("raw", [0, 2**31 - 1], dtype=pl.Int32).cast(pl.Date).to_frame()
    assert raw.select(casts.shown(pl.col("raw"), pl.Date())).to_series().to_list() == ["1970-01-01", "2147483647"]


@pytest.mark.parametrize(
    ("kind", "dtype", "told"),
    [
        ("number", pl.List(pl.Int64), "cannot become a number"),
        ("string", pl.Struct({"a": pl.Int64}), "cannot become a string"),
        ("number", pl.Date, "is no number"),
        ("boolean", pl.Date, "neither true nor false"),
        ("timestamp", pl.Int64, "says nothing of a time"),
        ("timestamp", pl.Boolean, "says nothing of a time"),
        ("date", pl.Float64, "says nothing of a time"),
        ("string", pl.Duration("us"), "cannot become a string"),
    ],
)
def test_a_type_that_cannot_become_what_is_wanted_is_refused(kind: Kind, dtype: Any, told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        casts.cast(kind, pl.col("raw"), dtype if not isinstance(dtype, type) else dtype(), Reading())
    assert caught.value.remedy


_DTYPES: list[Any] = [
    *(pl.Int8(), pl.Int64(), pl.UInt32(), pl.UInt64(), pl.Int128(), pl.Float32(), pl.Float64(), pl.Decimal(12, 2)),
    *(pl.String(), pl.Categorical(), pl.Enum(["1"]), pl.Binary(), pl.Boolean(), pl.Date(), pl.Time(), pl.Null()),
    *(pl.Datetime(unit, zone) for unit in ("ms", "us", "ns") for zone in (None, "Asia/Shanghai")),
]


@pytest.mark.parametrize("kind", list(casts.DTYPES))
@pytest.mark.parametrize("computed", [False, True])
def test_every_type_becomes_every_kind_or_is_refused(kind: Kind, computed: bool) -> None:
    for dtype in _DTYPES:
        if dtype.is_temporal():
            series = pl.Series("raw", [1, None], dtype=pl.Int32 if dtype == pl.Date else pl.Int64).cast(dtype)
        elif dtype.is_numeric() or dtype in (pl.Boolean, pl.Null):
            series = pl.Series("raw", [None if dtype == pl.Null else 1, None]).cast(dtype)
        else:
            series = pl.Series("raw", ["1", None]).cast(dtype)
        for reading in (Reading(), Reading(nulls=("7", "NaN"), zone="Europe/Berlin", day="end", unit=2.0)):
            try:
                cast = casts.cast(kind, pl.coalesce("raw", "raw") if computed else pl.col("raw"), dtype, reading)
            except DataError as error:
                assert error.remedy
                continue
            failed = pl.lit(False) if cast.failed is None else cast.failed
            for engine in ("in-memory", "streaming"):
                frame = series.to_frame().lazy().select("raw", value=cast.value, failed=failed)
                rows = frame.with_columns(shown=casts.shown(pl.col("raw"), dtype)).collect(engine=engine)
                assert rows.schema["value"] == casts.DTYPES[kind]
                assert rows["value"][1] is None
                assert not rows["failed"][1]
                assert rows["value"][0] is not None or rows["failed"][0] or dtype == pl.Null


def test_typed_columns_that_cannot_fail_cost_no_check() -> None:
    plain: list[tuple[Kind, pl.DataType]] = [
        *(("number", pl.Int64()), ("money", pl.Int32()), ("integer", pl.Int16()), ("id", pl.Int64())),
        *(("string", pl.String()), ("boolean", pl.Boolean())),
    ]
    for kind, dtype in plain:
        assert casts.cast(kind, pl.col("raw"), dtype, Reading()).failed is None


def test_constants_of_the_mapping_are_read_as_the_columns_kind() -> None:
    def value(kind: Kind, text: str | None) -> Any:
        return pl.select(casts.literal(kind, text, Reading())).item()

    assert value("number", "0.5") == 0.5
    assert value("id", "007") == "007"
    assert value("boolean", "true") is True
    assert value("date", "2024-02-29") == dt.date(2024, 2, 29)
    assert value("string", None) is None
    assert value("string", "") == ""
    with pytest.raises(DataError, match="'2024-02-30' is no date"):
        value("date", "2024-02-30")


def test_an_id_is_spelled_as_events_and_tombstones_spell_it() -> None:
    """Whoever was erased would else come back, with a blank of some alphabet around the id."""
    signs = [chr(code) for code in range(0x11000) if not 0xD800 <= code < 0xE000]
    texts = [
        *(f"{sign}7.0{sign}" for sign in signs),
        "-7.0",
        "--7.0",
        ".0",
        "7.00",
        "7.0.0",
        "\u0663.0",
        "7 .0",
        " ",
        "",
    ]
    assert [value for value, _ in made("id", texts, pl.String)] == [id_text(text) for text in texts]
