"""Live events among the raw tables: landed whole, made one file of many, and in `interactions` exactly once."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.warehouse import demo, events, pipeline, state, vault
from feature_repo.warehouse.mapping import casts
from feature_repo.warehouse.mapping.read import Project, read
from motherlode import names
from motherlode.events import Event
from motherlode.settings import Settings

MAPPING = """
version: 1
company: A Shop
move_dates: true
privacy: {pseudonym: none}
sources:
  lines: {files: lines.csv}
  clicks: {files: clicks.csv}
tables:
  transactions:
    from: lines
    columns: {customer_id: who, item_id: what, amount: paid, event_timestamp: at}
  interactions:
    from: clicks
    columns: {customer_id: who, event_type: kind, event_timestamp: at}
"""


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Settings, Project]:
    """A company with events of its own, from years ago."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "motherlode.yaml").write_text(MAPPING)
    (folder / "lines.csv").write_text("who,what,paid,at\n1,a,2.5,2019-03-04T05:06:07\n2,b,1.0,2019-03-05T05:06:07\n")
    (folder / "clicks.csv").write_text("who,kind,at\n1,view,2019-03-04T05:00:00\n")
    return Settings(home=tmp_path / "home"), read(folder)


def rows(first: int, count: int, customer: str = "1") -> pa.Table:
    at = datetime.now(UTC) - timedelta(minutes=5)
    columns = {
        events.POSITION: list(range(first, first + count)),
        events.EVENT_ID: [f"e{first + i}" for i in range(count)],
        names.CUSTOMER_ID: [customer] * count,
        names.EVENT_TYPE: ["view"] * count,
        names.PAGE: [f"/{first + i}" for i in range(count)],
        names.EVENT_TIMESTAMP: [at + timedelta(seconds=i) for i in range(count)],
    }
    arrays = [pa.array(columns.get(field.name, [None] * count), field.type) for field in events.SCHEMA]
    return pa.table(arrays, schema=events.SCHEMA)


def integrated(settings: Settings) -> pl.DataFrame:
    parts = state.read(settings).integrated[names.INTERACTIONS].parts.values()
    return pl.concat([pl.read_parquet(settings.home / part.path) for part in parts])


def pages(settings: Settings) -> list[str]:
    return sorted(integrated(settings)[names.PAGE].drop_nulls().to_list())


def test_segments_are_read_in_order_and_behind_a_position(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert (events.segments(settings), events.landed_up_to(settings)) == ([], 0)
    for first in (1, 11, 21):
        events.write(settings, rows(first, 10))
    assert [(each.first, each.last) for each in events.segments(settings)] == [(1, 10), (11, 20), (21, 30)]
    assert events.landed_up_to(settings) == 30
    read_back = [position for table in events.read(settings, after=14) for position in table["position"].to_pylist()]
    assert read_back == list(range(15, 31))


def test_a_segment_within_another_was_made_part_of_it(tmp_path: Path) -> None:
    """As a load that was killed between writing one file and deleting the small ones leaves them."""
    settings = Settings(home=tmp_path)
    small = events.write(settings, rows(1, 10))
    events.write(settings, rows(11, 10))
    kept = small.path.read_bytes()
    events.merge(settings, [])
    (whole,) = events.segments(settings)
    assert (whole.first, whole.last) == (1, 20)
    small.path.write_bytes(kept)
    assert events.segments(settings) == [whole]
    assert sum(table.num_rows for table in events.read(settings)) == 20
    events.merge(settings, [])
    assert not small.path.exists()


def test_a_reader_goes_on_in_the_file_that_segments_become_while_it_reads(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    for first in (1, 11, 21):
        events.write(settings, rows(first, 10))
    reading = events.read(settings)
    found = next(reading)["position"].to_pylist()
    events.merge(settings, [])
    found += [position for table in reading for position in table["position"].to_pylist()]
    assert found == list(range(1, 31))


def test_a_load_takes_each_event_once_into_interactions_beside_the_companys_own(
    shop: tuple[Settings, Project],
) -> None:
    settings, project = shop
    pipeline.load(settings, project)
    assert integrated(settings).height == 1
    for first in (1, 11):
        events.write(settings, rows(first, 10))
    assert pipeline.load(settings, project).changed
    assert (integrated(settings).height, pages(settings)) == (21, sorted(f"/{i}" for i in range(1, 21)))
    assert [path.name for path in events.folder(settings).iterdir()] == ["1-20.parquet"], "one file of many"
    assert not pipeline.load(settings, project).changed
    events.write(settings, rows(21, 10))
    events.write(settings, rows(31, 10))
    pipeline.load(settings, project)
    assert pages(settings) == sorted(f"/{i}" for i in range(1, 41))
    pipeline.load(settings, project, rebuild="clean")
    assert pages(settings) == sorted(f"/{i}" for i in range(1, 41))


def test_the_times_of_live_events_do_not_move_with_those_of_old_data(shop: tuple[Settings, Project]) -> None:
    settings, project = shop
    landed = rows(1, 3)
    events.write(settings, landed)
    pipeline.load(settings, project)
    assert (state.read(settings).shift_weeks or 0) > 300
    found = integrated(settings).filter(pl.col(names.PAGE).is_not_null())
    assert sorted(found[names.EVENT_TIMESTAMP].to_list()) == landed[names.EVENT_TIMESTAMP].to_pylist()


def test_events_that_are_landed_while_a_load_is_at_work_are_the_next_ones(shop: tuple[Settings, Project]) -> None:
    settings, project = shop
    pipeline.load(settings, project)
    events.write(settings, rows(1, 5))

    def step(what: str, _: int, __: int) -> None:
        if what == "quality" and events.landed_up_to(settings) == 5:
            events.write(settings, rows(6, 5))

    pipeline.load(settings, project, on_step=step)
    assert pages(settings) == sorted(f"/{i}" for i in range(1, 6))
    assert events.landed_up_to(settings) == 10, "no load deletes what it has not taken"
    pipeline.load(settings, project)
    assert pages(settings) == sorted(f"/{i}" for i in range(1, 11))


def test_a_mapping_without_events_gets_them_all_the_same(thin: Settings, tmp_path: Path) -> None:
    shutil.copytree(thin.home, tmp_path / "home")
    settings = replace(thin, home=tmp_path / "home")
    project = demo.project(settings)
    assert names.INTERACTIONS not in state.read(settings).integrated
    assert events.mapped(settings, project) is project
    events.write(settings, rows(1, 7))
    pipeline.load(settings, project)
    assert integrated(settings).height == 7
    assert state.read(settings).integrated[names.SESSIONS].rows == 1


@given(st.text(st.sampled_from(" \t\n\u00a0\u3000-.07ax"), min_size=1, max_size=8))
def test_an_event_names_a_customer_as_a_load_reads_the_same_text(text: str) -> None:
    """Else whoever was erased came back, spelled with a blank."""
    raw = pl.DataFrame({"raw": [text]})
    read_back = raw.select(casts.cast("id", pl.col("raw"), pl.String(), casts.Reading()).value).item()
    if read_back is None:
        with pytest.raises(ValueError, match="blank"):
            Event(event_id="a", customer_id=text)
    else:
        assert Event(event_id="a", customer_id=text).customer == read_back


def test_encrypted_segments_are_taken_as_they_are(shop: tuple[Settings, Project]) -> None:
    settings, project = shop
    settings = replace(settings, raw_key="0123456789abcdef-raw")
    events.write(settings, rows(1, 5))
    events.write(settings, rows(6, 5))
    pipeline.load(settings, project)
    (landed,) = [each for each in state.read(settings).raw if events.live(each)]
    assert vault.encrypted(settings.home / landed.path)
    assert pages(settings) == sorted(f"/{i}" for i in range(1, 11))


def test_an_erasure_finds_segments_that_no_load_has_taken(shop: tuple[Settings, Project]) -> None:
    settings, project = shop
    pipeline.load(settings, project)
    events.write(settings, rows(1, 5))
    known = state.read(settings)
    (fresh,) = [each for each in events.taken_in(settings, known).raw if events.live(each)]
    assert (fresh.rows, fresh.path) == (5, "raw/@events/1-5.parquet")
    assert [each for each in known.raw if events.live(each)] == []
