"""A company's own view is one more module beside its mapping; what is wrong with one is told by file and line."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_repo.features import catalogue, own
from feature_repo.features.view import STORABLE, Words
from feature_repo.stores.dtypes import feast_type
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names
from motherlode.errors import DataError, StoreError

GOOD = '''"""Lines: how many a customer ever bought.

More about it.
"""

import polars as pl

from feature_repo.features.frames import ROW, finish, seen
from feature_repo.features.view import Feature

READS = ("transactions",)
FEATURES = {
    "lines_total": Feature(pl.Int64(), "lines", "ever bought"),
    "items_seen": Feature(pl.List(pl.String()), "items", "bought, in the alphabet's order"),
}


def build(tables, snapshots):
    found = seen(tables["transactions"].select("customer_id", "event_timestamp", "item_id"), snapshots)
    made = found.group_by(ROW).agg(pl.len().alias("lines_total"), pl.col("item_id").unique().sort().alias("items_seen"))
    return finish(made, FEATURES)
'''
BY_WORDS = '''"""By channel: lines by each channel."""

import polars as pl

from feature_repo.features.view import Feature

READS = ("transactions",)


def features(words):
    return {f"lines_{slug}": Feature(pl.Int64(), "lines", f"by {word}") for slug, word in words.channels.items()}


def build(tables, snapshots, words):
    return tables["transactions"]
'''


def write(project: Path, text: str, name: str = "lines_bought") -> Path:
    path = project / "features" / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def mine(project: Path, words: Words | None = None) -> Any:
    *known, last = own.load(project, words or Words())
    assert [view.name for view in known] == list(catalogue.MODULES)
    return last


def test_a_company_without_views_of_its_own_has_the_catalogue(tmp_path: Path) -> None:
    assert [view.name for view in own.load(tmp_path, Words())] == list(catalogue.MODULES)


def test_a_view_of_ones_own_follows_the_catalogue_and_computes(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    write(tmp_path, "raise SystemExit", "_helper")
    view = mine(tmp_path)
    assert (view.name, view.key, view.reads) == ("lines_bought", names.CUSTOMER_ID, ("transactions",))
    assert view.summary == "Lines: how many a customer ever bought."
    assert view.module.__file__ == str(path)
    time = datetime(2025, 1, 1, tzinfo=UTC)
    rows = [{names.CUSTOMER_ID: "a", names.ITEM_ID: item, names.EVENT_TIMESTAMP: time} for item in ("y", "x", "x")]
    tables = {name: pl.LazyFrame(schema=schema) for name, schema in SCHEMAS.items()}
    tables |= {names.TRANSACTIONS: pl.LazyFrame(rows, schema=SCHEMAS[names.TRANSACTIONS])}
    at = datetime(2025, 2, 1, tzinfo=UTC)
    snapshots = pl.LazyFrame({names.EVENT_TIMESTAMP: [at]}, schema={names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC")})
    assert view.plan(tables, snapshots).collect().rows() == [("a", at, 3, ["x", "y"])]


def test_its_columns_may_follow_the_companys_words(tmp_path: Path) -> None:
    write(tmp_path, BY_WORDS)
    view = mine(tmp_path, Words(channels={"web": "WEB", "门店": "门店"}))
    assert {name: it.doc for name, it in view.meanings.items()} == {"lines_web": "by WEB", "lines_门店": "by 门店"}


def test_a_change_within_the_same_second_is_seen_and_nothing_is_written_beside_it(tmp_path: Path) -> None:
    """Python's own cache tells a source from its compilation by whole seconds and size."""
    path = write(tmp_path, GOOD)
    before = path.stat()
    assert mine(tmp_path).meanings["lines_total"].unit == "lines"
    write(tmp_path, GOOD.replace('"lines", "ever', '"LINES", "ever'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert mine(tmp_path).meanings["lines_total"].unit == "LINES"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_two_companies_may_use_one_name(tmp_path: Path) -> None:
    write(tmp_path / "a", GOOD)
    write(tmp_path / "b", GOOD.replace("ever bought", "of b"))
    first, second = mine(tmp_path / "a"), mine(tmp_path / "b")
    assert (first.meanings["lines_total"].doc, second.meanings["lines_total"].doc) == ("ever bought", "of b")


WRONG = [
    (GOOD.replace('"""Lines: how many a customer ever bought.\n\nMore about it.\n"""', ""), "line 1, has no docstring"),
    (GOOD.replace("def build(tables, snapshots)", "def make(tables, snapshots)"), "has no function build"),
    (GOOD.replace("FEATURES", "OTHER"), r"must declare FEATURES or features\(words\)"),
    (GOOD + "\ndef features(words):\n    return FEATURES\n", r"must declare FEATURES or features\(words\)"),
    (GOOD.replace("build(tables, snapshots)", "build(tables)"), r"line 18, has build\(tables\)\. Declare `def build\("),
    (GOOD.replace('READS = ("transactions",)', "READS = ()"), r"line 11, has READS = \(\)"),
    (GOOD.replace('READS = ("transactions",)', 'READS = "transactions"'), "line 11, has READS = 'transactions'"),
    (GOOD.replace('READS = ("transactions",)', 'READS = ("sales",)'), "line 11, reads the table 'sales'. Known: trans"),
    (GOOD + '\nKEY = "shop_id"\n', "line 23, has KEY = 'shop_id'. Use one of customer_id, item_id"),
    (GOOD.replace('READS = ("transactions",)', ""), "has no READS. List its tables"),
    (GOOD + '\nWHOLE = "yes"\n', "line 23, has WHOLE = 'yes'"),
    (GOOD + "\nLATEST_ONLY = 1\n", "line 23, has LATEST_ONLY = 1"),
    (GOOD + '\nAPART = {"transactions": ("customer_id",)}\n', "line 23, has APART, the catalogue's own"),
    (GOOD + "\nBESIDE = {}\n", "line 23, has BESIDE, the catalogue's own"),
    (GOOD + "\nTTL = 35\n", "line 23, has TTL = 35"),
    (GOOD + "\nfrom datetime import timedelta\nSPACING = timedelta(days=36)\n", "line 24, has SPACING = .*days=36"),
    (GOOD + '\nACROSS = ("lines_total",)\n', r"one of ACROSS and across\(rows\) alone"),
    (GOOD + '\nACROSS = ("rank",)\ndef across(rows):\n    return rows\n', r"line 23, has \['rank'\] in ACROSS alone"),
    (GOOD.replace('"lines_total": ', '"Lines Total": '), "line 13, has a feature called 'Lines Total'. Use lower case"),
    (GOOD.replace('"lines_total": ', '"a__b": '), "line 13, has a feature called 'a__b'"),
    (GOOD.replace('"lines_total": ', '"event_timestamp": '), "line 13, has a feature called 'event_timestamp'"),
    (
        GOOD.replace('Feature(pl.Int64(), "lines", "ever bought")', "pl.Int64()"),
        "line 13, declares 'lines_total' as Int",
    ),
    (
        GOOD.replace("pl.Int64()", "pl.Duration()"),
        "line 13, declares 'lines_total' with the type Duration.*Use one of Bo",
    ),
    (GOOD.replace('"ever bought"', '""'), "line 13, does not say what 'lines_total' is"),
    (
        GOOD.replace("import polars as pl", "import polars as pl, no_such_thing"),
        "line 6, cannot be loaded: ModuleNotFound",
    ),
    (GOOD.replace("FEATURES = {", "FEATURES = {{"), "line 1[0-9], cannot be loaded: SyntaxError"),
    (BY_WORDS.replace("words.channels", "words.chanels"), "line 11, cannot be loaded: AttributeError: .*chanels"),
]


@pytest.mark.parametrize(("text", "told"), WRONG, ids=[told[:40] for _, told in WRONG])
def test_what_is_wrong_is_told_by_file_and_line_with_a_remedy(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=told) as caught:
        own.load(tmp_path, Words())
    assert str(path) in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "told"), [("rfm", "name of the catalogue's view 'rfm'"), ("My View", "called 'My View'")]
)
def test_a_name_that_is_taken_or_none_is_refused(tmp_path: Path, name: str, told: str) -> None:
    write(tmp_path, GOOD, name)
    with pytest.raises(DataError, match=told):
        own.load(tmp_path, Words())


def test_the_tables_and_types_are_those_that_the_other_rooms_have() -> None:
    assert set(own.TABLES) == set(SCHEMAS)
    assert all(feast_type(dtype) and feast_type(pl.List(dtype)) for dtype in STORABLE)
    for dtype in (pl.Int16(), pl.Duration(), pl.Date(), pl.Datetime("ns"), pl.Categorical()):
        assert dtype not in STORABLE
        with pytest.raises(StoreError):
            feast_type(dtype)
