"""SQL over one row: computed as SQL says, never raising on data, refused before any data where it cannot be meant."""

import datetime as dt
import time
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.warehouse.mapping import expressions
from feature_repo.warehouse.mapping.casts import Reading
from feature_repo.warehouse.mapping.expressions import Known
from motherlode.errors import DataError

FRAME = pl.DataFrame(
    {
        "text": ["1", "abc", "2.5", None, ""],
        "n": [1, 2, 3, 4, 0],
        "f": [1.5, -2.5, None, 4.0, 0.0],
        "flag": [True, False, None, True, False],
        "day": pl.Series([0, 59, None, 19782, 19783], dtype=pl.Int32).cast(pl.Date),
        "moment": pl.Series([0, 86_399_000_000, None, 1_709_210_096_000_000, 5], dtype=pl.Int64).cast(
            pl.Datetime("us")
        ),
        "products.type": ["GAS", "bread", "Gas ", None, "x%y_"],
        "Order Date": ["2024-02-29", "2024-02-30", "29.02.2024", None, " "],
    }
)
KNOWN = Known(FRAME.schema)


def evaluated(sql: str, frame: pl.DataFrame = FRAME, known: Known = KNOWN) -> pl.DataFrame:
    """Each row's `value` and whether it `failed`."""
    term = expressions.build(sql, known)
    made = frame.lazy().select(pl.first(), value=term.value, failed=term.failed_or_false).collect(engine="streaming")
    assert made.schema["value"] == term.dtype
    assert made["failed"].null_count() == 0
    assert not made.filter(pl.col("failed") & pl.col("value").is_not_null()).height
    return made


def result(sql: str, frame: pl.DataFrame = FRAME, known: Known = KNOWN) -> list[Any]:
    """Each row's value, or "failed"."""
    made = evaluated(sql, frame, known)
    return [
        "failed" if failed else value
        for value, failed in zip(made["value"].to_list(), made["failed"].to_list(), strict=True)
    ]


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("CAST(text AS DOUBLE)", [1.0, "failed", 2.5, None, None]),
        ("TRY_CAST(text AS DOUBLE)", [1.0, None, 2.5, None, None]),
        ("text::double", [1.0, "failed", 2.5, None, None]),
        ("CAST(text AS BIGINT)", [1, "failed", "failed", None, None]),
        ("CAST(NULLIF(text, 'abc') AS DOUBLE)", [1.0, None, 2.5, None, None]),
        ("CASE WHEN text = 'abc' THEN NULL ELSE CAST(text AS DOUBLE) END", [1.0, None, 2.5, None, None]),
        ("CASE WHEN n = 1 THEN 0.0 ELSE CAST(text AS DOUBLE) END", [0.0, "failed", 2.5, None, None]),
        ("COALESCE(CAST(text AS DOUBLE), -1)", [1.0, -1.0, 2.5, -1.0, -1.0]),
        ("CASE WHEN text > 1 THEN 'many' ELSE 'few' END", ["few", "few", "many", "few", "few"]),
        ("text * n", [1.0, "failed", 7.5, None, None]),
        ("n / 2", [0.5, 1.0, 1.5, 2.0, 0.0]),
        ("10 / n", [10.0, 5.0, 10 / 3, 2.5, "failed"]),
        ("n % 0", ["failed"] * 5),
        ("n * 4611686018427387904", [2**62, "failed", "failed", "failed", 0]),
        ("f IS NULL", [False, False, True, False, False]),
        ("CAST(text AS DOUBLE) IS NULL", [False, False, False, True, True]),
        ('CAST("Order Date" AS DATE)', [dt.date(2024, 2, 29), "failed", "failed", None, None]),
        ("STRPTIME(\"Order Date\", '%d.%m.%Y') IS NOT NULL", [True, True, True, False, False]),
        ("products.type LIKE 'G%'", [True, False, True, None, False]),
        ("products.type ILIKE 'gas'", [True, False, True, None, False]),
        ("products.type NOT LIKE '%\u0025y_'", [True, True, True, None, False]),
        ('"products.type"', ["GAS", "bread", "Gas", None, "x%y_"]),
        (
            "CASE UPPER(products.type) WHEN 'GAS' THEN 'fuel' ELSE 'other' END",
            ["fuel", "other", "fuel", "other", "other"],
        ),
        ("COALESCE(text, n)", ["1", "abc", "2.5", "4", "0"]),
        ("LN(n - 1)", ["failed", 0.0, 0.6931471805599453, 1.0986122886681098, "failed"]),
        ("n IN (1, NULL)", [True, None, None, None, None]),
        ("SPLIT_PART(\"Order Date\", '-', 2)", ["02", "02", "", None, None]),
        ("_unheard IS NULL OR n = 1", None),
    ],
)
def test_expressions_give_what_sql_says(sql: str, values: list[Any] | None) -> None:
    if values is None:
        with pytest.raises(DataError, match="there is no column '_unheard'"):
            result(sql)
    else:
        assert result(sql) == values


_SAME = [
    *("n + 1", "n - f", "n * f", "-n", "ABS(f)", "SIGN(f)", "FLOOR(f)", "CEIL(f)", "ROUND(f * 1.05, 2)", "ROUND(f, 0)"),
    *("n // 2", "n % 3", "MOD(n, 3)", "POWER(n, 2)", "SQRT(n)", "EXP(n)", "GREATEST(n, 2)", "LEAST(n, f)"),
    *("n > 1", "n <> 2", "n BETWEEN 1 AND 3", "n NOT BETWEEN 1 AND 3", "n IN (1, 3)", "n NOT IN (1, 3)", "NOT flag"),
    *("flag AND n > 1", "flag OR n > 1", "flag IS TRUE", "flag IS NOT TRUE", "n IS DISTINCT FROM 1"),
    *("f IS NOT DISTINCT FROM NULL", "COALESCE(f, n)", "IFNULL(f, 0)", "NULLIF(n, 2)", "IF(n > 1, 'a', 'b')"),
    *("CASE WHEN n > 2 THEN 'x' WHEN n > 1 THEN 'y' END", "CASE n WHEN 1 THEN 10 ELSE 20 END"),
    *("UPPER(name)", "LOWER(name)", "LENGTH(name)", "TRIM(name)", "LTRIM(name)", "RTRIM(name)", "LEFT(name, 2)"),
    *("RIGHT(name, 2)", "SUBSTRING(name, 2, 2)", "SUBSTR(name, 2)", "REPLACE(name, 'a', 'bb')", "name || '-' || name"),
    *("CONCAT(name, '-', n)", "CONCAT_WS('/', name, 'x')", "LPAD(name, 6, '0')", "RPAD(name, 6, '0')"),
    *("LPAD(name, 2, '0')", "STARTS_WITH(name, 'a')", "ENDS_WITH(name, 'a')", "CONTAINS(name, 'n')"),
    *("SPLIT_PART(name, 'n', 2)", "name LIKE '_n%'", "name ILIKE 'AN%'", "REGEXP_MATCHES(name, 'n.')"),
    *("REGEXP_REPLACE(name, 'n', '<\\0>')", "REGEXP_REPLACE(name, '(n)(.)', '\\2\\1', 'g')", "name > 'b'"),
    *("YEAR(moment)", "MONTH(day)", "DAY(day)", "QUARTER(day)", "HOUR(moment)", "EXTRACT(dow FROM day)"),
    *("EXTRACT(doy FROM day)", "EXTRACT(week FROM day)", "DATE_TRUNC('month', moment)", "moment + INTERVAL '36 hours'"),
    *("moment - INTERVAL 1 MONTH", "DATE_DIFF('day', day, moment)", "DATE_DIFF('month', moment, day)"),
    *("DATE_DIFF('hour', day, moment)", "day - DATE '2000-01-01'", "day > DATE '2000-01-01'", "moment >= '2000-01-01'"),
    *("CAST(n AS VARCHAR)", "CAST(n AS DOUBLE) / 4", "CAST(day AS TIMESTAMP) = moment", "STRFTIME(day, '%d.%m.%Y')"),
    *("CAST(moment AS DATE)", "'it''s' || name", "LOG10(n + 1)", "1e3 * n", "LENGTH(name) > 3 AND name NOT LIKE '%z'"),
]


@pytest.fixture(scope="module")
def peers() -> pl.DataFrame:
    """Rows on which DuckDB and we must agree; numbers without division by zero, text that is trimmed."""
    return FRAME.select("n", "f", "flag", "day", "moment", name=pl.Series(["anna", "Zoë", "客户n", None, "b"]))


@pytest.mark.parametrize("sql", _SAME)
def test_expressions_agree_with_duckdb(sql: str, peers: pl.DataFrame) -> None:
    answer = duckdb.sql(f"SELECT {sql} FROM peers")
    assert answer is not None
    theirs = [row[0] for row in answer.fetchall()]
    ours = result(sql, peers, Known(peers.schema))
    for mine, other in zip(ours, theirs, strict=True):
        if isinstance(other, dt.date) and not isinstance(other, dt.datetime) and isinstance(mine, dt.datetime):
            other = dt.datetime.combine(other, dt.time(0))
        assert mine == (pytest.approx(other) if isinstance(other, float) else other)


@pytest.mark.parametrize(
    ("sql", "problem", "remedy"),
    [
        ("SUM(n)", "looks at more than one row", "sees one row alone"),
        ("ROW_NUMBER() OVER (ORDER BY n)", "looks at more than one row", ""),
        ("n IN (SELECT n FROM t)", "looks at other rows", "join"),
        ("(SELECT 1)", "not one SQL expression|holds a query|cannot stand", ""),
        ("UPER(text)", "there is no function UPER", "Did you mean 'UPPER'"),
        ("RANDOM()", "there is no function", ""),
        ("CURRENT_DATE", "there is no function CURRENT_DATE", ""),
        ("Text", "there is no column 'Text'", "Did you mean 'text'"),
        ("product.type", "there is no column 'product.type'", "Did you mean 'products.type'"),
        ("n n2", "not one SQL expression", ""),
        ("n AS m", "not one SQL expression", ""),
        ("n; DROP TABLE t", "no SQL expression", ""),
        ("n >", "no SQL expression", ""),
        ("'open", "no SQL expression", ""),
        ("", "no.* SQL expression|cannot stand", ""),
        ("*", "cannot stand|no SQL expression", ""),
        ("n = 'abc'", "'abc' is no number", ""),
        ("moment > 'soon'", "'soon' is no time", ""),
        ("moment * 2", "a time is no number", "INTERVAL"),
        ("flag > day", "boolean and date do not go together", "CAST"),
        ("text ~ '('", "no regular expression", ""),
        ("CAST(text AS BLOB)", "there is no type BLOB", "VARCHAR"),
        ("LEFT(text, n)", "n is no constant whole number", "whole number"),
        ("LEFT(text, 1.5)", "1.5 is no constant whole number", ""),
        ("ROUND(n, 400)", "ROUND to 400 digits", ""),
        ("STRPTIME(text, 'DD.MM.YYYY')", "none of strptime's", ""),
        ("EXTRACT(century FROM day)", "EXTRACT knows no CENTURY", "YEAR"),
        ("day + INTERVAL '1 fortnight'", "unit of time|no interval|no SQL", ""),
        ("SUBSTRING(text, 0)", "counts from 1", ""),
        ("text[1]", "cannot stand", ""),
        ("$1", "cannot stand", ""),
        ("n" + " + n" * 20_000, "too long", ""),
        ("(" * 3_000 + "n" + ")" * 3_000, "no SQL expression", ""),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_data(sql: str, problem: str, remedy: str) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        expressions.build(sql, KNOWN)
    assert remedy in caught.value.remedy


def test_numbers_in_text_have_the_sources_signs() -> None:
    frame = pl.DataFrame({"price": ["1.234,50", "x", "2"], "size": ["a", "b", "c"]})
    known = Known(frame.schema, Reading(decimal=",", thousands="."))
    assert result("price * 2", frame, known) == [2469.0, "failed", 4.0]
    assert result("price > 1000.5", frame, known) == [True, "failed", False]
    # What comes back as text is read with the same signs again.
    assert result("COALESCE(NULLIF(price, 'x'), 0.5)", frame, known) == ["1.234,50", "0,5", "2"]


def test_times_without_a_zone_meet_instants_on_the_sources_clock() -> None:
    frame = pl.DataFrame({"at": [dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)], "local": [dt.datetime(2024, 7, 1, 8)]})
    known = Known(frame.schema, Reading(zone="America/New_York"))
    assert result("at = local", frame, known) == [True]
    assert result("HOUR(at)", frame, known) == [8]
    assert result("at > '2024-07-01 07:59'", frame, known) == [True]
    assert result("CAST(at AS DATE) = DATE '2024-07-01'", frame, known) == [True]


def test_a_deep_expression_is_planned_as_fast_as_it_is_read() -> None:
    sql = "CAST(text AS DOUBLE)"
    for depth in range(12):
        sql = f"ROUND(COALESCE(CASE WHEN n > {depth} THEN {sql} END, 1) / n, 3)"
    began = time.perf_counter()
    assert len(result(sql)) == FRAME.height
    assert time.perf_counter() - began < 5


def test_what_the_source_calls_nothing_is_null_in_sql() -> None:
    frame = pl.DataFrame({"text": ["", " ", "n/a", "x"]})
    assert result("COALESCE(text, 'none')", frame, Known(frame.schema, Reading(nulls=("n/a",)))) == [
        *("none", "none", "none", "x")
    ]


def test_references_are_the_columns_in_their_order() -> None:
    assert expressions.references('COALESCE(b, products.type, b) || "odd name"') == ("b", "products.type", "odd name")
    assert expressions.references("1 + 1") == ()
    with pytest.raises(DataError, match="there is no function SUMM"):
        expressions.references("SUMM(x)")


def test_a_condition_is_true_or_false() -> None:
    assert expressions.condition("n > 1", KNOWN).kind == "boolean"
    with pytest.raises(DataError, match="'n' gives a integer, not true or false"):
        expressions.condition("n", KNOWN)


_ATOMS = st.sampled_from(
    [*(f'"{name}"' for name in FRAME.columns), "0", "1", "-1.5", "9223372036854775807", "'a'", "'7'", "NULL", "TRUE"]
)
_JOINTS = ["+", "-", "*", "/", "//", "%", "=", "<>", "<", ">=", "AND", "OR", "||", "IS DISTINCT FROM"]
_CALLS = [
    *("ABS({0})", "UPPER({0})", "LENGTH({0})", "ROUND({0}, 2)", "SQRT({0})", "LN({0})", "COALESCE({0}, {1})"),
    *("NULLIF({0}, {1})", "GREATEST({0}, {1})", "CASE WHEN {0} THEN {1} ELSE {0} END", "CAST({0} AS BIGINT)"),
    *("CAST({0} AS DATE)", "CAST({0} AS TIMESTAMP)", "TRY_CAST({0} AS DOUBLE)", "YEAR({0})", "{0} IS NULL", "-{0}"),
    *("DATE_TRUNC('week', {0})", "{0} + INTERVAL '1 month'", "DATE_DIFF('day', {0}, {1})", "{0} IN ({1}, {0})"),
    *("CAST({0} AS VARCHAR)", "REPLACE({0}, 'a', 'x')", "POWER({0}, {1})", "NOT {0}", "CONCAT({0}, {1})"),
]


def _grown(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joined = st.builds(lambda a, sign, b: f"({a} {sign} {b})", parts, st.sampled_from(_JOINTS), parts)
    called = st.builds(lambda call, a, b: f"({call.format(a, b)})", st.sampled_from(_CALLS), parts, parts)
    return joined | called


_NASTY = {
    "text": ["", " ", "NaN", "1e400", "9" * 40, "-0", "2024-02-30", "\u0000", "客户", None],
    "n": [0, 1, -1, 2**63 - 1, -(2**63), None, 7, 10**18, -(10**18), 3],
    "f": [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 5e-324, None, 1.5],
}


@given(sql=st.recursive(_ATOMS, _grown, max_leaves=6))
@settings(max_examples=250, deadline=None)
def test_no_expression_raises_on_data(sql: str) -> None:
    times = pl.Series([-(2**63) + 1, 2**63 - 1, 0, None, 1, 2, 253_402_300_799_999_999, -62_135_596_800_000_000, 5, 6])
    frame = pl.DataFrame(_NASTY, strict=False).with_columns(
        flag=pl.Series([True, False, None] * 3 + [True]),
        day=pl.Series([2**31 - 1, -(2**31), 0, None, 1, 2, 3, 4, 5, 6], dtype=pl.Int32).cast(pl.Date),
        moment=times.cast(pl.Datetime("us")),
        **{"products.type": pl.col("text"), "Order Date": pl.col("text")},
    )
    try:
        expressions.build(sql, KNOWN)
    except DataError:
        return
    evaluated(sql, frame.select(FRAME.columns), KNOWN)
