"""Labels that are given: checked, written once, in one step, and replaced by later gifts."""

import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_repo.mart import given
from feature_repo.warehouse import pipeline
from feature_repo.warehouse.contract import SCHEMAS
from feature_repo.warehouse.mapping.read import read
from motherlode import names
from motherlode.errors import DataError, StoreError
from motherlode.identity import Identity
from motherlode.lock import exclusive
from motherlode.settings import Settings

MAPPING = """
version: 1
company: A corner shop
privacy: { pseudonym: none }
sources:
  people: { files: people.csv }
tables:
  customers: { from: people, columns: { customer_id: id } }
  transactions:
    from: people
    columns: { customer_id: id, basket_id: id, item_id: id, amount: { value: 1.0 }, event_timestamp: at }
"""
AT = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that knows Anna and Ben."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "people.csv").write_text("id,at\nanna,2025-01-01T00:00:00Z\nben,2025-01-02T00:00:00Z\n")
    (folder / "motherlode.yaml").write_text(MAPPING)
    home = folder / "home"
    pipeline.load(Settings(home=home), read(folder / "motherlode.yaml"))
    return home


@pytest.fixture
def settings(loaded: Path, tmp_path: Path) -> Settings:
    """The same home with nothing given, to be written to."""
    home = tmp_path / "its home"
    home.mkdir()
    for path in loaded.iterdir():
        (home / path.name).symlink_to(path)
    return Settings(home=home)


def labels(*rows: dict[str, Any]) -> pl.DataFrame:
    told = [{"customer_id": "anna", "tag": "vip", "origin": "person", "event_timestamp": AT} | row for row in rows]
    return pl.DataFrame(told, schema_overrides={"event_timestamp": pl.Datetime("us", "UTC")}, infer_schema_length=None)


def gifts(settings: Settings) -> list[str]:
    return sorted(path.name for path in (settings.home / given.FOLDER).glob("*"))


def test_what_is_given_is_read_back_with_what_was_left_out(settings: Settings) -> None:
    given.give(settings, labels({}, {"customer_id": "ben", "origin": "model"}))
    frame = given.scan(settings).sort(names.CUSTOMER_ID).collect()
    assert frame.schema == SCHEMAS[names.TAGS]
    assert frame.rows() == [
        ("anna", "vip", "person", 1.0, None, AT, None),
        ("ben", "vip", "model", 1.0, None, AT, None),
    ]


def test_nothing_given_is_an_empty_table(settings: Settings) -> None:
    assert given.scan(settings).collect().schema == SCHEMAS[names.TAGS]
    assert given.give(settings, labels({}).clear()) is None
    assert given.scan(settings).collect().is_empty()
    assert not (settings.home / given.FOLDER).exists()


def test_the_same_rows_in_another_order_or_zone_are_given_once(settings: Settings) -> None:
    rows = labels({}, {"customer_id": "ben"})
    first = given.give(settings, rows)
    before = given.digest(settings)
    again = rows.reverse().with_columns(pl.col("event_timestamp").dt.convert_time_zone("Asia/Kolkata"))
    assert given.give(settings, again) == first
    assert len(gifts(settings)) == 1
    assert given.digest(settings) == before


def test_a_later_gift_of_the_same_label_withdraws_it_and_others_stay(settings: Settings) -> None:
    given.give(settings, labels({}, {"tag": "mother"}))
    before = given.digest(settings)
    given.give(settings, labels({"ended_at": AT + DAY}))
    ends = dict(given.scan(settings).select("tag", "ended_at").collect().rows())
    assert ends == {"mother": None, "vip": AT + DAY}
    assert given.digest(settings) != before
    assert len(gifts(settings)) == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda it: it.drop("origin"), "without origin"),
        (lambda it: it.with_columns(colour=pl.lit("red")), "have no colour"),
        (lambda it: it.with_columns(origin=pl.lit("aunt")), "Label 1 of 2: origin no origin, as 'aunt'"),
        (lambda it: it.with_columns(confidence=pl.lit(1.5)), "confidence no share, as 1.5"),
        (lambda it: it.with_columns(confidence=pl.lit("high")), "cannot be read"),
        (lambda it: it.with_columns(confidence=pl.lit(float("nan"))), "confidence not finite"),
        (lambda it: it.with_columns(tag=pl.lit(None, pl.String)), "tag missing"),
        (lambda it: it.with_columns(ended_at=pl.col("event_timestamp") - DAY), "ends before it starts"),
        (lambda it: it.with_columns(event_timestamp=pl.lit(datetime.now(UTC) + DAY)), "in the future"),
        (lambda it: it.with_columns(event_timestamp=pl.lit(datetime(2025, 1, 1))), "'event_timestamp' of labels is Da"),
        (lambda it: it.with_columns(customer_id=pl.lit("anna")), "2 labels have a key that another one has"),
        (lambda it: it.with_columns(customer_id=pl.col("customer_id") + "?"), "2 of 2 labels are of customers"),
    ],
)
def test_a_gift_that_breaks_a_rule_is_refused_whole(
    settings: Settings, change: Callable[[pl.DataFrame], pl.DataFrame], told: str
) -> None:
    with pytest.raises(DataError) as caught:
        given.give(settings, change(labels({}, {"customer_id": "ben"})))
    assert told in caught.value.problem
    assert gifts(settings) == []


def test_an_unknown_customers_id_is_not_told(settings: Settings) -> None:
    with pytest.raises(DataError) as caught:
        given.give(settings, labels({"customer_id": "a secret person"}))
    assert "a secret person" not in str(caught.value)


def test_two_cannot_give_at_once_and_nothing_half_written_counts(settings: Settings) -> None:
    with exclusive(settings, "given"), pytest.raises(StoreError):
        given.give(settings, labels({}))
    given.give(settings, labels({}))
    (settings.home / given.FOLDER / ".writing-7-000002-ab.parquet").write_bytes(b"half")
    assert given.scan(settings).collect().height == 1


def test_a_gift_whose_process_is_killed_is_whole_or_not_there(settings: Settings) -> None:
    """Killed again and again at any moment: every file that counts can be read, and those that were told are there."""
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    child = context.Process(target=_give_on, args=(settings, start))
    child.start()
    assert start.wait(60)
    child.kill()
    child.join()
    frame = given.scan(settings).collect()
    assert frame.height == len([name for name in gifts(settings) if name.endswith(".parquet") and name[0] != "."])
    assert frame.height >= 3


def _give_on(settings: Settings, start: Any) -> None:
    number = 0
    while True:
        given.give(settings, labels({"tag": f"t{number}"}))
        number += 1
        if number == 3:
            start.set()


def test_a_new_pseudonym_key_renames_customers_in_every_gift_once(settings: Settings) -> None:
    old, new = "the old key of enough bytes", "the new key of enough bytes"
    given.give(settings, labels({}))
    given.give(settings, labels({"customer_id": "ben", "tag": "mother"}))
    identity = Identity(new, (old, "none"))
    before = given.digest(settings)
    assert given.rename(settings, identity, ["anna", "ben"]) == 2
    wanted = {identity.join_key("anna"): "vip", identity.join_key("ben"): "mother"}
    assert dict(given.scan(settings).select("customer_id", "tag").collect().rows()) == wanted
    assert given.digest(settings) != before
    assert given.rename(settings, identity, ["anna", "ben"]) == 0
    assert [name.partition("-")[0] for name in gifts(settings)] == ["000001", "000002"]
