"""Claims: the timeline holds every row once, in its customer's partition; and nothing that views may not see."""

import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl
import pytest

from feature_repo.mart import timeline
from feature_repo.warehouse import state, tables
from motherlode import names


def made(shop: Any, partitions: int, before: timeline.Parts | None = None) -> timeline.Timeline:
    return timeline.update(shop.settings, state.read(shop.settings), before or {}, partitions)


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("at_once", [7, 10_000])
def test_every_row_is_there_once_beside_all_of_its_customers(
    shop: Any, monkeypatch: pytest.MonkeyPatch, partitions: int, at_once: int
) -> None:
    monkeypatch.setattr(timeline, "ROWS_AT_ONCE", at_once)
    rows = shop.history(random.Random(1), 60)
    shop.write(rows)
    found = made(shop, partitions)
    parts = [timeline.partition(shop.settings, found, number) for number in range(partitions)]
    for name in timeline.KEYED:
        ours = pl.concat([part[name] for part in parts])
        theirs = tables.scan(shop.settings, name).collect().select(ours.columns)
        assert ours.sort(pl.all()).equals(theirs.sort(pl.all())), name
    homes = [set(pl.concat([part[name][names.CUSTOMER_ID] for name in timeline.KEYED])) for part in parts]
    assert sum(map(len, homes)) == len(set().union(*homes))
    assert len([each for each in homes if each]) > 1 or partitions == 1
    items = timeline.unkeyed(shop.settings, found)[names.ITEMS]
    assert items.height == 3


def test_slices_may_be_cut_elsewhere_in_any_order(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "ROWS_AT_ONCE", 7)
    shop.write(shop.history(random.Random(1), 60))
    one = made(shop, 2)
    given: list[timeline.Slice] = []

    def elsewhere(
        work: Callable[[timeline.Slice], timeline.Written], slices: Sequence[timeline.Slice]
    ) -> Iterator[timeline.Written]:
        given.extend(pickle.loads(pickle.dumps(slices)))
        return map(work, reversed(given))

    known = state.read(shop.settings)
    assert timeline.update(shop.settings, known, {}, 2, elsewhere) == one
    lines = [each for each in given if each.table == names.TRANSACTIONS]
    assert sum(each.rows_here for each in lines) == known.integrated[names.TRANSACTIONS].rows
    del given[:]
    assert timeline.update(shop.settings, known, one.parts, 2, elsewhere) == one
    assert given == [], "nothing changed"


def test_its_files_one_at_a_time_are_the_whole(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "ROWS_AT_ONCE", 7)
    shop.write(shop.history(random.Random(1), 60))
    found = made(shop, 2)
    for name in (names.TRANSACTIONS, names.CAMPAIGNS, names.SESSIONS):
        some = [each.collect() for each in timeline.scans(shop.settings, found, name)]
        assert pl.concat(some).equals(timeline.scan(shop.settings, found, name).collect()), name


def test_what_nobody_is_known_to_have_done_is_in_no_partition_and_in_the_whole(shop: Any) -> None:
    rows = shop.history(random.Random(1), 40)
    rows[names.FEEDBACK].append({**rows[names.FEEDBACK][0], names.CUSTOMER_ID: None})
    shop.write(rows)
    found = made(shop, 2)
    known = sum(timeline.partition(shop.settings, found, number)[names.FEEDBACK].height for number in (0, 1))
    whole = timeline.scan(shop.settings, found, names.FEEDBACK).collect()
    assert whole.height == known + 1 == len(rows[names.FEEDBACK])


def test_columns_that_may_not_be_seen_never_enter(shop: Any) -> None:
    shop.write(shop.history(random.Random(1), 40))
    found = made(shop, 2)
    contacts = timeline.scan(shop.settings, found, names.CONTACTS).collect_schema()
    assert "agent" in contacts
    assert "duration" not in contacts
    assert names.TEXT not in timeline.scan(shop.settings, found, names.FEEDBACK).collect_schema()
    assert found.withheld[names.CONTACTS]["duration"] == timeline.AFTER_OUTCOME
    assert found.withheld[names.FEEDBACK][names.TEXT] == timeline.PRIVATE
    content = b"".join(path.read_bytes() for path in shop.settings.mart.rglob("*.parquet"))
    assert b"I wept" not in content, "the customers' own words"


def test_only_parts_that_changed_are_written_anew(shop: Any) -> None:
    rows = shop.history(random.Random(1), 60)
    shop.write(rows)
    first = made(shop, 2)
    march = next(i for i, each in enumerate(rows[names.TRANSACTIONS]) if each[names.EVENT_TIMESTAMP].month == 3)
    rows[names.TRANSACTIONS][march] = {**rows[names.TRANSACTIONS][march], names.AMOUNT: 99.0}
    shop.write(rows)
    second = made(shop, 2, first.parts)
    changed = {
        (name, month)
        for name, months in second.parts.items()
        for month, parts in months.items()
        if first.parts[name].get(month) != parts
    }
    assert changed == {(names.TRANSACTIONS, "2024-03")}


def test_partitions_are_a_power_of_two_by_the_rows(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write(shop.history(random.Random(1), 60))
    known = state.read(shop.settings)
    assert timeline.partitions_for(known) == 1
    monkeypatch.setattr(timeline, "ROWS_PER_PARTITION", 30)
    rows = sum(known.integrated[name].rows for name in timeline.KEYED)
    found = timeline.partitions_for(known)
    assert found * 30 >= rows > found * 15
    assert found & (found - 1) == 0


def test_a_customers_partition_is_the_same_everywhere_for_ever() -> None:
    assert timeline.buckets(pl.Series(["1", "2463", "é"]), 8).to_list() == [7, 1, 6]
