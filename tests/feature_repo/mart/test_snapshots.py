"""Claims: a mart is whole or as it was; nothing is computed twice; every kind of view is written as it declares."""

import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureView, FileSource
from feast.repo_config import RepoConfig

from feature_repo.mart import given, manifest, snapshots
from feature_repo.mart.guard import Check
from feature_repo.mart.partition import Job
from feature_repo.mart.snapshots import ByWork
from feature_repo.mart.timeline import Slice
from feature_repo.stores.offline import MotherlodeOfflineStore
from motherlode import names
from motherlode.compute import choose
from motherlode.errors import DataError
from motherlode.settings import Settings

DAY = timedelta(days=1)
VIEWS = [names.RFM, names.CAMPAIGN_HISTORY, names.PURCHASES, "items_sold", "spoken"]


def files(shop: Any) -> dict[str, bytes]:
    mart = shop.settings.mart
    return {path.relative_to(mart).as_posix(): path.read_bytes() for path in mart.rglob("[!.]*") if path.is_file()}


def elsewhere(work: Callable[[Any], Any], tasks: Sequence[Any], /) -> Iterator[Any]:
    """As another process would do them: in another order, and all that is told pickled."""
    for task in reversed(tasks):
        yield pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(work))(pickle.loads(pickle.dumps(task)))))


def test_pieces_are_sorted_typed_and_named_by_month_and_partition(shop: Any) -> None:
    shop.write(shop.history(random.Random(1), 75))
    before = datetime.now(UTC)
    made = shop.build(partitions=2)
    assert list(made.views) == VIEWS
    assert all(each.weekday() == made.snapshots[-1].weekday() for each in made.snapshots), "every seven days"
    for name, built in made.views.items():
        assert built.rows == sum(piece.rows for piece in built.pieces) > 0
        numbers = {-1} if name == "items_sold" else {0, 1}
        assert {piece.partition for piece in built.pieces} == numbers
        for piece in built.pieces:
            path = shop.settings.mart / piece.path
            frame = pl.read_parquet(path, glob=False)
            key = frame.columns[0]
            assert frame.columns[1] == names.EVENT_TIMESTAMP
            assert frame.columns[-1] == names.CREATED_TIMESTAMP
            assert frame[names.CREATED_TIMESTAMP].is_between(before, datetime.now(UTC)).all()
            assert frame.equals(frame.sort(names.EVENT_TIMESTAMP, key))
            assert set(frame[names.EVENT_TIMESTAMP].dt.strftime("%Y-%m")) == {piece.era}
            assert frame.height == piece.rows
            schema = pq.read_schema(path)
            assert schema.field(key).type == pa.string(), "what every reader of Parquet knows"
    [latest] = shop.rows(names.PURCHASES)[names.EVENT_TIMESTAMP].unique()
    assert latest == made.snapshots[-1]
    assert set(shop.rows(names.RFM)[names.EVENT_TIMESTAMP]) == set(made.snapshots)


def test_a_second_build_writes_nothing_and_what_was_damaged_is_made_again(shop: Any) -> None:
    shop.write(shop.history(random.Random(2), 45))
    made, told = shop.build(), []
    before = files(shop)
    assert shop.build(on_step=lambda *what: told.append(what)) == made
    assert files(shop) == before
    assert told == []
    rows = shop.mart()
    for view in (names.RFM, "items_sold", "spoken"):
        (shop.settings.mart / made.views[view].pieces[0].path).write_bytes(b"cut off")
    part = made.timeline[names.TRANSACTIONS]["2024-02"][0]
    (shop.settings.mart / part.path).unlink()
    shop.build(on_step=lambda *what: told.append(what))
    again = shop.mart()
    assert all(again[name].equals(frame) for name, frame in rows.items())
    assert {what for what, *_ in told} == {names.RFM, "items_sold", "spoken"}


def test_steps_are_told_up_to_the_last(shop: Any) -> None:
    shop.write(shop.history(random.Random(3), 75))
    told: list[tuple[str, int, int]] = []
    shop.build(partitions=2, on_step=lambda *what: told.append(what))
    assert [done for _, done, _ in told] == list(range(1, len(told) + 1))
    assert {total for *_, total in told} == {len(told)}


def test_an_untouched_row_keeps_its_created_time_and_an_untouched_view_its_files(shop: Any) -> None:
    rng = random.Random(4)
    rows = shop.history(rng, 75)
    shop.write(rows)
    first = shop.build(partitions=4)
    place = max(range(len(rows[names.TRANSACTIONS])), key=lambda i: rows[names.TRANSACTIONS][i]["event_timestamp"])
    corrected = rows[names.TRANSACTIONS][place]
    rows[names.TRANSACTIONS][place] = {**corrected, names.AMOUNT: 1234.5}
    shop.write(rows)
    second = shop.build()
    assert second.views["spoken"] == first.views["spoken"], "it reads no transactions"
    changed = manifest.scan(shop.settings, names.CAMPAIGN_HISTORY).filter(
        pl.col(names.CREATED_TIMESTAMP) > second.views["spoken"].created_at
    )
    told = set(changed.select(names.CUSTOMER_ID, names.EVENT_TIMESTAMP).collect().rows())
    assert told == {(corrected[names.CUSTOMER_ID], second.snapshots[-1])}


def test_jobs_may_be_done_elsewhere_in_any_order_and_carry_no_secret(shop: Any, tmp_path: Path) -> None:
    shop.write(shop.history(random.Random(5), 45))
    made = shop.build(partitions=4, runner=elsewhere)
    other = shop.full(tmp_path / "project" / "other")
    other.build(partitions=4)
    theirs = other.mart()
    assert all(frame.equals(theirs[name]) for name, frame in shop.mart().items())
    seen: list[Any] = []

    def watched(work: Callable[[Any], Any], tasks: Sequence[Any], /) -> Iterator[Any]:
        seen.extend(tasks)
        return map(work, tasks)

    settings = Settings(home=shop.settings.home, pseudonym_key="k" * 40, raw_key="r" * 40)
    assert snapshots.build(settings, choose("cpu"), rebuild=True, runner=watched).snapshots == made.snapshots
    assert seen
    assert all(b"k" * 40 not in pickle.dumps(task) and b"r" * 40 not in pickle.dumps(task) for task in seen)


def test_a_build_that_is_killed_leaves_the_mart_as_it_was(shop: Any) -> None:
    rng = random.Random(6)
    rows = shop.history(rng, 45)
    shop.write(rows)
    shop.build(partitions=2)
    before, mart = shop.mart(), (shop.settings.mart / manifest.MANIFEST).read_bytes()
    shop.write(shop.history(rng, 60))

    for kind in (Slice, Check, Job):

        def killed(work: Callable[[Any], Any], tasks: Sequence[Any], /, kind: type[object] = kind) -> Iterator[Any]:
            for task in tasks:
                yield work(task)
                if isinstance(task, kind):
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            shop.build(rebuild=True, runner=killed)
        assert (shop.settings.mart / manifest.MANIFEST).read_bytes() == mart
        assert all(frame.equals(before[name]) for name, frame in shop.mart().items())
    first = shop.build()
    after = manifest.paths(first) | {manifest.MANIFEST}
    assert {name for name in files(shop) if "written" not in name} >= after
    shop.write(rows)
    second = shop.build()
    assert set(files(shop)) == manifest.paths(first) | manifest.paths(second) | {manifest.MANIFEST}


def test_rows_that_are_written_while_a_build_runs_are_there_after_it_and_after_the_next(shop: Any) -> None:
    rng = random.Random(12)
    shop.write(shop.history(rng, 45))
    shop.build(partitions=2)
    config = RepoConfig(
        project="shop",
        provider="local",
        registry=str(shop.settings.home / "registry.db"),
        offline_store={"type": "feature_repo.stores.offline.MotherlodeOfflineStore", "home": str(shop.settings.home)},
        entity_key_serialization_version=3,
    )
    row = (
        shop.rows(names.RFM)
        .head(1)
        .with_columns(
            pl.lit("written").alias(names.CUSTOMER_ID), pl.lit(datetime.now(UTC)).alias(names.CREATED_TIMESTAMP)
        )
    )
    source = FileSource(path=names.RFM, timestamp_field=names.EVENT_TIMESTAMP)
    view = FeatureView(name=names.RFM, source=source)

    def meanwhile(work: Callable[[Any], Any], tasks: Sequence[Any], /) -> Iterator[Any]:
        for number, task in enumerate(tasks):
            yield work(task)
            if number == 0:
                MotherlodeOfflineStore.offline_write_batch(config, view, row.to_arrow(), None)

    def written() -> int:
        return int((shop.rows(names.RFM)[names.CUSTOMER_ID] == "written").sum())

    shop.write(shop.history(rng, 60))
    shop.build(runner=meanwhile)
    assert written() == 1
    shop.write(shop.history(rng, 70))
    for options in ({}, {"rebuild": True}, {"cadence_days": 28}):
        shop.build(**options)
        assert written() == 1, options


def test_much_is_given_to_others_and_little_is_done_here(shop: Any) -> None:
    rng = random.Random(13)
    rows = shop.history(rng, 75)
    shop.write(rows)
    given: list[int] = []

    def others(work: Callable[[Any], Any], tasks: Sequence[Any], /) -> Iterator[Any]:
        if jobs := [task for task in tasks if isinstance(task, Job)]:
            given.append(len(jobs))
        return map(work, tasks)

    shop.build(partitions=2, runner=ByWork(others, much=10**6))
    assert given == [], "too little"
    shop.build(partitions=2, rebuild=True, runner=ByWork(others, much=500))
    assert given[0] == 3, "two partitions and a view that is computed whole"
    del given[:]
    rows[names.TRANSACTIONS][0] = {**rows[names.TRANSACTIONS][0], names.AMOUNT: 1.5}
    shop.write(rows)
    shop.build(runner=ByWork(others, much=500))
    assert given == [], "one customer"
    shop.build(partitions=1, rebuild=True, runner=ByWork(others, much=1))
    assert 2 not in given[:1], "one partition's jobs are not side by side"


def test_regular_snapshots_stay_and_the_one_between_goes(shop: Any) -> None:
    rng = random.Random(7)
    rows = shop.history(rng, 45)
    shop.write(rows)
    first = shop.build()
    last = max(each[names.EVENT_TIMESTAMP] for each in rows[names.TRANSACTIONS])
    for days, between in ((3, 1), (5, 1), (7, 0), (8, 1)):
        line = {**rows[names.TRANSACTIONS][0], names.EVENT_TIMESTAMP: last + days * DAY}
        shop.write({**rows, names.TRANSACTIONS: [*rows[names.TRANSACTIONS], line]})
        now = shop.build()
        assert set(first.snapshots) <= set(now.snapshots)
        assert len([each for each in now.snapshots if (each - first.snapshots[-1]) % (7 * DAY)]) == between
        assert now.snapshots[-1] == first.snapshots[-1] + days * DAY


def test_another_cadence_builds_anew_from_the_same_anchor(shop: Any) -> None:
    shop.write(shop.history(random.Random(8), 75))
    weekly, four = shop.build(), shop.build(cadence_days=28)
    assert {after - before for before, after in zip(four.snapshots, four.snapshots[1:], strict=False)} == {28 * DAY}
    assert four.snapshots[-1] == weekly.snapshots[-1]
    assert shop.build().cadence_days == 28
    assert set(shop.rows(names.RFM)[names.EVENT_TIMESTAMP]) == set(four.snapshots)


def test_a_company_without_purchases_and_one_without_anything_have_a_mart(shop: Any) -> None:
    shop.write({})
    assert shop.build().snapshots == ()
    assert all(frame.is_empty() for frame in shop.mart().values())
    rows = shop.history(random.Random(9), 45)
    shop.write({**rows, names.TRANSACTIONS: [], names.RESPONSES: []})
    made = shop.build()
    assert made.snapshots
    mart = shop.mart()
    assert mart[names.RFM].is_empty()
    assert mart["spoken"].height > 0
    shop.write(rows)
    assert shop.build().views[names.RFM].rows > 0


def test_a_view_that_changes_is_built_anew_and_one_that_goes_takes_its_files(shop: Any) -> None:
    shop.write(shop.history(random.Random(10), 45))
    first = shop.build()
    source = (shop.settings.home.parent / "features" / "items_sold.py").read_text()
    shop.own(items_sold=source.replace("pl.len().cast(pl.Float32)", "pl.len().cast(pl.Float32).neg()"))
    second = shop.build()
    assert {name for name in VIEWS if second.views[name] != first.views[name]} == {"items_sold"}
    (shop.settings.home.parent / "features" / "items_sold.py").unlink()
    assert "items_sold" not in shop.build().views
    shop.build(rebuild=True)
    assert not list((shop.settings.mart / "items_sold").glob("*.parquet"))


def test_labels_that_are_given_come_to_the_views_that_read_tags(shop: Any) -> None:
    shop.own(
        labelled='''
        """Labels: how many a customer was given."""
        import polars as pl
        from feature_repo.features.frames import ROW, finish, seen
        from feature_repo.features.view import Feature
        READS = ("tags",)
        FEATURES = {"labels": Feature(pl.Int32(), "labels", "labels given")}
        def build(tables, snapshots):
            labels = tables["tags"].select("customer_id", "event_timestamp")
            return finish(seen(labels, snapshots).group_by(ROW).agg(pl.len().alias("labels")), {"labels": pl.Int32()})
        '''
    )
    rows = shop.history(random.Random(11), 45)
    shop.write(rows)
    first = shop.build()
    assert shop.rows("labelled").is_empty()
    at = first.snapshots[-1] - DAY
    label = {"customer_id": ["c1"], "tag": ["vip"], "origin": ["person"], "event_timestamp": [at]}
    given.give(shop.settings, pl.DataFrame(label, schema_overrides={"event_timestamp": pl.Datetime("us", "UTC")}))
    second = shop.build()
    assert shop.rows("labelled").rows() == [("c1", first.snapshots[-1], 1)]
    assert {name for name in second.views if second.views[name] != first.views[name]} == {"labelled"}


def test_without_a_warehouse_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="motherlode ingest"):
        snapshots.build(Settings(home=tmp_path), choose("cpu"))
