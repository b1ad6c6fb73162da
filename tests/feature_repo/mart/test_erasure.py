"""Claim: an erasure leaves nothing of a customer in the mart, and the next build gives what a full one would."""

import random
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import polars as pl
import pytest

from feature_repo.features import campaign_history, catalogue, item_statistics, purchases, relations, rfm
from feature_repo.mart import erasure, given, manifest
from motherlode import names
from motherlode.bundle import sha256

CANARY = "a canary: Änne O'Neil"
DAYS = 40
VISITED = '''
    """Visits: how often a customer was seen."""
    import polars as pl
    from feature_repo.features.frames import ROW, finish, seen
    from feature_repo.features.view import Feature
    READS = ("interactions",)
    FEATURES = {"times": Feature(pl.Int32(), "events", "events")}
    def build(tables, snapshots):
        known = tables["interactions"].select("customer_id", "event_timestamp")
        return finish(seen(known, snapshots).group_by(ROW).agg(pl.len().alias("times")), {"times": pl.Int32()})
'''


@pytest.fixture
def every_kind(shop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Views of every kind: apart, compared, whole; of customers, and of items; a customer with a telling id."""
    few: Mapping[str, Any] = {
        names.RFM: rfm,
        names.CAMPAIGN_HISTORY: campaign_history,
        names.PURCHASES: purchases,
        names.RELATIONS: relations,
        names.ITEM_STATISTICS: item_statistics,
    }
    monkeypatch.setattr(catalogue, "MODULES", MappingProxyType(few))
    return shop


def renamed(rows: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The rows, of which "c0" is the canary: the least id, after which its community is called."""
    return {
        name: [{**row, names.CUSTOMER_ID: CANARY} if row.get(names.CUSTOMER_ID) == "c0" else row for row in table]
        for name, table in rows.items()
    }


def without(rows: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {name: [row for row in table if row.get(names.CUSTOMER_ID) != CANARY] for name, table in rows.items()}


def cells(frame: pl.DataFrame) -> Iterable[str]:
    """Every text of a frame, those in lists too."""
    for column in frame.get_columns():
        flat = column.explode() if isinstance(column.dtype, pl.List) else column
        if flat.dtype == pl.String:
            yield from flat.drop_nulls()


def holding(mart: Path) -> list[Path]:
    """The files that hold the canary: in their bytes, or as Parquet decodes them."""
    found = []
    for path in (path for path in mart.parent.rglob("*") if path.is_file() and "integrated" not in path.parts):
        texts = cells(pl.read_parquet(path, glob=False)) if path.suffix == ".parquet" else ()
        if CANARY.encode() in path.read_bytes() or any(CANARY in text for text in texts):
            found.append(path)
    return found


@pytest.mark.parametrize("partitions", [1, 4])
def test_nothing_is_left_and_the_next_build_gives_what_a_full_one_does(
    every_kind: Any, tmp_path: Path, partitions: int
) -> None:
    shop, rows = every_kind, renamed(every_kind.history(random.Random(5), DAYS))
    shop.write(rows)
    shop.build(partitions=partitions)
    related = shop.rows(names.RELATIONS)
    assert CANARY in set(related["neighbours"].explode()), "others name the canary as their neighbour"
    assert CANARY in set(related.filter(pl.col(names.CUSTOMER_ID) != CANARY)["community"])
    before = {name: each.drop(names.CREATED_TIMESTAMP) for name, each in files(shop).items()}
    found = erasure.find(shop.settings, [CANARY, "the same under another key"])
    shop.write(without(rows))
    places = erasure.erase(shop.settings, [CANARY, "the same under another key"])
    assert [(each.name, each.path, each.rows, each.sha256_before) for each in places] == [
        (each.name, each.path, each.rows, each.sha256_before) for each in found
    ]
    assert {each.name for each in places} == {"timeline", "view"}
    assert all(each.sha256_after != each.sha256_before for each in places)
    assert holding(shop.settings.mart) == []
    assert erasure.erase(shop.settings, [CANARY]) == [], "twice is once"
    for name in (names.PURCHASES, names.CAMPAIGN_HISTORY):
        assert shop.rows(name).equals(before[name].filter(pl.col(names.CUSTOMER_ID) != CANARY)), name
    kept = manifest.read(shop.settings).views[names.PURCHASES].pieces
    assert erasure.outdated(shop.settings) == ["item_statistics", "items_sold", "relations", "rfm", "spoken"]
    shop.build()
    assert erasure.outdated(shop.settings) == []
    assert manifest.read(shop.settings).views[names.PURCHASES].pieces == kept, "what did not change is kept"
    full = shop.full(tmp_path / "project" / "full")
    full.build(partitions=2)
    theirs, ours = full.mart(), shop.mart()
    assert theirs.keys() == ours.keys()
    for name, frame in theirs.items():
        assert ours[name].equals(frame), name
    assert holding(shop.settings.mart) == []


def files(shop: Any) -> dict[str, pl.DataFrame]:
    """Every view's rows, sorted, with all columns."""
    mart = manifest.read(shop.settings)
    frames = {name: manifest.scan(shop.settings, name).collect() for name in mart.views}
    return {name: each.sort(names.EVENT_TIMESTAMP, each.columns[0]) for name, each in frames.items()}


def test_other_customers_lists_lose_the_id_and_what_stands_beside_it(every_kind: Any) -> None:
    shop, rows = every_kind, renamed(every_kind.history(random.Random(5), DAYS))
    shop.write(rows)
    shop.build()
    before = {row[names.CUSTOMER_ID]: row for row in shop.rows(names.RELATIONS).iter_rows(named=True)}
    erasure.erase(shop.settings, [CANARY])
    after = {row[names.CUSTOMER_ID]: row for row in shop.rows(names.RELATIONS).iter_rows(named=True)}
    assert after.keys() == before.keys() - {CANARY}
    for customer, row in after.items():
        pairs = zip(before[customer]["neighbours"] or (), before[customer]["similarities"] or (), strict=True)
        kept = [(near, like) for near, like in pairs if near != CANARY]
        assert list(zip(row["neighbours"] or (), row["similarities"] or (), strict=True)) == kept
        assert row["signature_items"] == before[customer]["signature_items"], "an item may be called as a customer is"
    groups = {row["community"] for row in before.values()}
    assert CANARY in groups
    named_anew = {row["community"] for row in after.values() if before[row[names.CUSTOMER_ID]]["community"] == CANARY}
    assert named_anew == {min(c for c, row in after.items() if before[c]["community"] == CANARY)}


def test_rows_that_were_written_labels_and_the_table_of_customers_lose_them(every_kind: Any) -> None:
    shop, rows = every_kind, renamed(every_kind.history(random.Random(5), DAYS))
    shop.write(rows)
    shop.build()
    settings = shop.settings
    folder = settings.mart / names.RFM
    one = manifest.read(settings).views[names.RFM].pieces[0]
    frame = pl.read_parquet(settings.mart / one.path, glob=False)
    assert CANARY in set(frame[names.CUSTOMER_ID])
    path = folder / "written.0123456789abcdef.parquet"
    frame.write_parquet(path)
    written = manifest.Piece(
        path=f"{names.RFM}/{path.name}", partition=-1, era="", rows=frame.height, sha256=sha256(path)
    )
    mart = manifest.read(settings)
    views = {**mart.views, names.RFM: replace_written(mart.views[names.RFM], written)}
    manifest.write(settings, manifest_with(mart, views))
    labels = [{names.CUSTOMER_ID: who, names.TAG: "vip"} for who in (CANARY, "c1")]
    given.give(
        settings, pl.DataFrame([{**each, names.ORIGIN: names.PERSON, "event_timestamp": at()} for each in labels])
    )
    given.give(settings, pl.DataFrame([{**labels[0], names.ORIGIN: names.MODEL, "event_timestamp": at()}]))
    everyone = pl.DataFrame({names.CUSTOMER_ID: [CANARY, "c1"], "age": [40, 50]})
    everyone.write_parquet(settings.mart / "customers.parquet")
    assert {CANARY, "c1"} <= erasure.known(settings)
    assert {each.name for each in erasure.find(settings, [CANARY])} == {"given", "mart", "timeline", "view"}
    places = erasure.erase(settings, [CANARY])
    assert sorted(each.rows for each in places if each.name == "given") == [1, 1]
    assert holding(settings.mart) == []
    assert CANARY not in erasure.known(settings)
    assert given.scan(settings).collect()[names.CUSTOMER_ID].to_list() == ["c1"]
    assert pl.read_parquet(settings.mart / "customers.parquet")["age"].to_list() == [50]
    (left,) = manifest.read(settings).views[names.RFM].written
    others = frame.filter(pl.col(names.CUSTOMER_ID) != CANARY)
    assert pl.read_parquet(settings.mart / left.path, glob=False).equals(others)
    assert (left.rows, left.sha256) == (others.height, sha256(settings.mart / left.path))


def test_a_home_of_this_customer_alone_is_left_with_views_that_can_be_read(every_kind: Any, tmp_path: Path) -> None:
    shop, rows = every_kind, renamed(every_kind.history(random.Random(5), DAYS))
    alone = {
        name: [row for row in table if row.get(names.CUSTOMER_ID, CANARY) == CANARY] for name, table in rows.items()
    }
    shop.write(alone)
    shop.build()
    shop.write(without(alone))
    erasure.erase(shop.settings, [CANARY])
    assert holding(shop.settings.mart) == []
    assert shop.rows(names.PURCHASES).is_empty()
    shop.build()
    full = shop.full(tmp_path / "project" / "full")
    full.build()
    assert {k: v.height for k, v in shop.mart().items()} == {k: v.height for k, v in full.mart().items()}


def test_a_view_of_ones_own_that_is_broken_does_not_stand_in_the_way(every_kind: Any) -> None:
    shop, rows = every_kind, renamed(every_kind.history(random.Random(5), DAYS))
    shop.write(rows)
    shop.build()
    shop.own(spoken="this is no view")
    erasure.erase(shop.settings, [CANARY])
    assert holding(shop.settings.mart) == []
    assert "spoken" in erasure.outdated(shop.settings)


def test_files_that_no_manifest_names_go(every_kind: Any) -> None:
    """A build keeps the files of the mart before for its readers, and one that was killed leaves scratch files."""
    shop, rows = every_kind, renamed(every_kind.history(random.Random(5), DAYS))
    shop.write(rows)
    shop.build()
    mart = shop.settings.mart
    some = next(mart.glob(f"{names.RFM}/*.parquet"))
    (mart / ".scratch").mkdir(exist_ok=True)
    for copy in (mart / names.RFM / "2020-01.0.0000.parquet", mart / ".scratch" / "rfm.2020-01.0.parquet"):
        shutil.copyfile(some, copy)
    erasure.erase(shop.settings, [CANARY])
    assert holding(mart) == []
    assert erasure.find(shop.settings, [CANARY]) == []


def test_rows_that_were_computed_of_them_and_another_are_computed_anew(every_kind: Any, tmp_path: Path) -> None:
    """Two records of one person stand under one key: what is the other's alone stays, the rest the next build makes."""
    shop, rows = every_kind, renamed(every_kind.history(random.Random(5), DAYS))
    shop.write(rows)
    shop.build(partitions=2)
    label = {names.CUSTOMER_ID: "c1", names.TAG: "vip", names.ORIGIN: names.PERSON, "event_timestamp": at()}
    given.give(shop.settings, pl.DataFrame([label]))
    shop.build()
    shop.write(without(rows))
    erasure.erase(shop.settings, [CANARY], ["c1"])
    assert not set(shop.rows(names.PURCHASES)[names.CUSTOMER_ID]) & {CANARY, "c1"}
    assert given.scan(shop.settings).collect()[names.CUSTOMER_ID].to_list() == ["c1"]
    shop.build()
    assert "c1" in set(shop.rows(names.PURCHASES)[names.CUSTOMER_ID])
    full = shop.full(tmp_path / "project" / "full")
    given.give(full.settings, pl.DataFrame([label]))
    full.build()
    theirs, ours = full.mart(), shop.mart()
    for name, frame in theirs.items():
        assert ours[name].equals(frame), name


def at() -> datetime:
    return datetime(2024, 2, 20, tzinfo=UTC)


def replace_written(built: manifest.Built, piece: manifest.Piece) -> manifest.Built:
    return msgspec.structs.replace(built, written=(piece,))


def manifest_with(mart: manifest.Manifest, views: Mapping[str, manifest.Built]) -> manifest.Manifest:
    return msgspec.structs.replace(mart, views=views)


def test_rows_of_nobody_that_the_warehouse_has_forgotten_go_too(every_kind: Any) -> None:
    """They were the canary's by a cookie that was theirs alone; others' stay."""
    shop, rows = every_kind, every_kind.history(random.Random(5), DAYS)
    at = [row[names.EVENT_TIMESTAMP] for row in rows[names.TRANSACTIONS][:3]]
    shop.own(visited=VISITED)
    seen = [("c0", "cookie of the canary"), (None, "cookie of the canary"), (None, "another cookie")]
    events = [
        {names.CUSTOMER_ID: who, names.VISITOR_ID: cookie, "event_type": "view", names.EVENT_TIMESTAMP: time}
        for (who, cookie), time in zip(seen, at, strict=True)
    ]
    shop.write({**rows, names.INTERACTIONS: events})
    shop.build(partitions=2)

    def holding_cookie(cookie: str) -> int:
        paths = [*shop.settings.mart.rglob("*.parquet")]
        return sum(text == cookie for path in paths for text in cells(pl.read_parquet(path, glob=False)))

    assert (holding_cookie("cookie of the canary"), holding_cookie("another cookie")) == (2, 1)
    found = erasure.find(shop.settings, ["c0"], ["cookie of the canary"])
    assert sum(each.rows for each in found if "interactions" in each.path) == 2
    shop.write({**rows, names.INTERACTIONS: events[2:]})
    erasure.erase(shop.settings, ["c0"])
    assert (holding_cookie("cookie of the canary"), holding_cookie("another cookie")) == (0, 1)
    assert erasure.erase(shop.settings, ["c0"]) == [], "twice is once"
