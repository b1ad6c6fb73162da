"""Landing: whole or not at all, whatever happens to the file, the disk or the process meanwhile."""

import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_repo.warehouse import raw, vault
from feature_repo.warehouse.mapping.model import Mapping, Source
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.mapping.shape import Places
from feature_repo.warehouse.sources.find import find
from feature_repo.warehouse.state import Landed
from motherlode.errors import DataError
from motherlode.settings import Settings

_AT = datetime(2025, 1, 1, tzinfo=UTC)
_KEY = "a raw key that is long enough to be one: 0123456789"


def _project(folder: Path, **source: Any) -> Project:
    mapping = Mapping(company="a company", sources={"till": Source(**source)}, tables={})
    return Project(mapping, folder, folder / "motherlode.yaml", b"", "0" * 64, Places(folder))


def _land(settings: Settings, project: Project, order: int = 1) -> Landed:
    (found,) = find(project, "till")
    return raw.land(settings, project, found, order, _AT)


def _files(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.raw.rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's folder."""
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """A home without anything."""
    return Settings(home=tmp_path / "home")


def test_a_landing_says_all_that_the_state_keeps(folder: Path, home: Settings) -> None:
    (folder / "till.csv").write_bytes(b"a;b\n1,5;x\n2\n")
    landed = _land(home, _project(folder, files="*.csv"), order=7)
    assert (landed.source, landed.name, landed.order, landed.landed_at) == ("till", "till.csv", 7, _AT)
    assert landed.path.startswith(f"raw/till/{landed.file_id}.")
    assert landed.file_id == landed.sha256[:16] == raw.digest_of(find(_project(folder, files="*.csv"), "till")[0])[:16]
    assert (landed.size, landed.rows, landed.malformed) == (12, 2, 1)
    assert landed.columns == {"a": "String", "b": "String"}
    assert {**landed.how, "read_as": ""} == {
        "read_as": "",
        "format": "csv",
        "encoding": "utf-8",
        "delimiter": ";",
        "decimal": ",",
    }
    assert (raw.found_decimal(landed), raw.found_thousands(landed)) == (",", None)
    assert raw.schema(home, landed) == {"a": pl.String, "b": pl.String}


def test_the_same_content_is_one_raw_file_that_stays(folder: Path, home: Settings) -> None:
    (folder / "a.csv").write_bytes(b"a,b\n1,2\n")
    first = _land(home, _project(folder, files="a.csv"))
    written = (home.home / first.path).stat().st_mtime_ns
    (folder / "a.csv").rename(folder / "b.csv")
    second = _land(home, _project(folder, files="b.csv"))
    assert first.path == second.path
    assert (home.home / second.path).stat().st_mtime_ns == written
    assert len(_files(home)) == 1


def test_what_the_mapping_says_about_reading_makes_another_raw_file(folder: Path, home: Settings) -> None:
    (folder / "a.csv").write_bytes(b"title,of\na,b\n1,2\n")
    before, after = _project(folder, files="a.csv"), _project(folder, files="a.csv", skip=1)
    landed = _land(home, before)
    assert raw.current(landed, before)
    assert not raw.current(landed, after)
    assert raw.current(landed, _project(folder, files=["a.csv"], decimal=",", time_zone="Asia/Tokyo"))
    assert _land(home, after).path != landed.path
    assert next(raw.batches(home, landed)).columns == ["_row", "_line", "title", "of"]


def test_batches_have_the_columns_asked_for_and_no_more_rows_than_asked_for(folder: Path, home: Settings) -> None:
    lines = [f"{number},x{number}\n" for number in range(1, 1_001)]
    lines[499] = "broken\n"
    (folder / "a.csv").write_text("n,text\n" + "".join(lines))
    landed = _land(home, _project(folder, files="a.csv"))
    batches = list(raw.batches(home, landed, ["text"], size=300))
    assert [batch.columns for batch in batches] == [["_row", "_line", "text"]] * 4
    assert max(batch.height for batch in batches) <= 300
    rows = pl.concat(batches)
    assert rows.schema == {"_row": pl.UInt32, "_line": pl.UInt32, "text": pl.String}
    assert rows["_line"].to_list() == [line for line in range(2, 1_002) if line != 501]
    assert rows["_row"].n_unique() == rows.height == 999
    assert rows["text"].to_list() == [f"x{number}" for number in range(1, 1_001) if number != 500]
    assert sum(batch.height for batch in raw.batches(home, landed, [])) == 999
    assert raw.malformed(home, landed).schema == raw.MALFORMED


def test_a_column_that_is_not_there_is_named_with_those_that_are(folder: Path, home: Settings) -> None:
    (folder / "a.csv").write_bytes(b"price,day\n1,2\n")
    landed = _land(home, _project(folder, files="a.csv"))
    with pytest.raises(DataError, match=r"a.csv has no column 'prize'. It has: price, day"):
        list(raw.batches(home, landed, ["prize"]))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_raw_is_encrypted_where_a_key_is_given(folder: Path, tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"name": ["Ann Example"] * 50})
    if name.endswith("csv"):
        (folder / name).write_text("name\n" + "Ann Example\n" * 50 + "a,b\n")
    else:
        frame.write_parquet(folder / name, compression="uncompressed")
    plain, sealed = Settings(home=tmp_path / "plain"), Settings(home=tmp_path / "sealed", raw_key=_KEY)
    there, here = _land(plain, _project(folder, files=name)), _land(sealed, _project(folder, files=name))
    assert vault.encrypted(sealed.home / here.path)
    assert b"Ann Example" not in (sealed.home / here.path).read_bytes()
    assert here.sha256 == there.sha256
    assert pl.concat(raw.batches(sealed, here)).equals(pl.concat(raw.batches(plain, there)))
    assert raw.malformed(sealed, here).equals(raw.malformed(plain, there))
    assert [path for path in _files(sealed) if path.startswith(".")] == []


def test_a_raw_file_that_lay_there_plain_is_sealed_by_the_next_landing(folder: Path, home: Settings) -> None:
    (folder / "a.csv").write_bytes(b"a\n1\n")
    project = _project(folder, files="a.csv")
    _land(home, project)
    landed = _land(Settings(home=home.home, raw_key=_KEY), project)
    assert vault.encrypted(home.home / landed.path)


def test_a_file_that_goes_on_growing_is_refused_and_taken_when_it_is_finished(folder: Path, home: Settings) -> None:
    path = folder / "a.csv"
    path.write_text("a,b\n" + "1,2\n" * 100_000)
    stop = threading.Event()

    def grow() -> None:
        with path.open("a") as file:
            while not stop.is_set():
                file.write("3,4\n")
                file.flush()
                time.sleep(0.0005)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        landed = _land(home, _project(folder, files="a.csv"))
    finally:
        stop.set()
        writer.join()
    assert (landed.status, landed.path) == ("refused", "")
    assert landed.problem == "a.csv changed while it was read."
    assert "next load" in landed.remedy
    assert _files(home) == []
    finished = _land(home, _project(folder, files="a.csv"))
    assert finished.rows == path.read_text().count("\n") - 1


def test_a_file_that_changes_once_is_read_once_more(
    folder: Path, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "a.csv"
    path.write_bytes(b"a\n1\n")
    seen = raw._seen
    changes = [b"a\n1\n2\n"]

    def seen_and_changed(found: Any) -> Any:
        """The file is written between the look before reading and the look after it."""
        answer = seen(found)
        if changes:
            path.write_bytes(changes.pop())
        return answer

    monkeypatch.setattr(raw, "_seen", seen_and_changed)
    assert _land(home, _project(folder, files="a.csv")).rows == 2


def test_a_file_that_is_gone_or_closed_is_refused(folder: Path, home: Settings) -> None:
    (folder / "a.csv").write_bytes(b"a\n1\n")
    project = _project(folder, files="a.csv")
    (found,) = find(project, "till")
    (folder / "a.csv").unlink()
    assert raw.digest_of(found) == ""
    landed = raw.land(home, project, found, 1, _AT)
    assert landed.status == "refused"
    assert "a.csv cannot be read: No such file" in landed.problem


_CHILD = """
import resource, sys
from pathlib import Path
from datetime import datetime, UTC
from feature_repo.warehouse import raw
from feature_repo.warehouse.mapping.model import Mapping, Source
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.mapping.shape import Places
from feature_repo.warehouse.sources.find import find
from motherlode.settings import Settings

folder, home, limit, name = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
project = Project(
    Mapping(company="c", sources={"till": Source(files=name)}, tables={}), folder, folder, b"", "", Places(folder)
)
(found,) = find(project, "till")
print("landing", flush=True)
try:
    print(raw.land(Settings(home=home), project, found, 1, datetime.now(UTC)).status)
except raw.RawError as error:
    print("RawError", error)
"""


def _child(folder: Path, home: Settings, name: str, limit: int = 0) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-c", textwrap.dedent(_CHILD), str(folder), str(home.home), str(limit), name]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=Path(raw.__file__).parents[2])


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_full_disk_leaves_nothing_half_written(folder: Path, home: Settings, name: str) -> None:
    frame = pl.DataFrame({"n": pl.int_range(300_000, eager=True).shuffle(seed=1)})
    frame.write_csv(folder / name) if name.endswith("csv") else frame.write_parquet(folder / name)
    child = _child(folder, home, name, limit=100_000)
    said, _ = child.communicate(timeout=60)
    assert "RawError" in said
    assert "cannot be written: File too large" in said
    assert "Make room" in said
    assert _files(home) == []
    assert _land(home, _project(folder, files=name)).rows == 300_000


def test_a_landing_that_is_killed_leaves_nothing_that_counts(folder: Path, home: Settings) -> None:
    pl.DataFrame({"n": pl.int_range(2_000_000, eager=True)}).write_csv(folder / "a.csv")
    child = _child(folder, home, "a.csv")
    assert child.stdout is not None
    assert child.stdout.readline() == "landing\n"
    deadline = time.monotonic() + 20
    while not _files(home) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    left = _files(home)
    assert left, "it was killed before it wrote, or it had finished"
    assert all(name.startswith(".landing-") for name in left)
    landed = _land(home, _project(folder, files="a.csv"))
    assert landed.rows == 2_000_000
    assert _files(home) == [Path(landed.path).name]


def test_memory_is_bounded_by_the_blocks_and_not_by_the_file(folder: Path, home: Settings) -> None:
    line = "2024-03-01 13:30:00,customer %07d,12.50,a note that says little\n"
    with (folder / "a.csv").open("w") as file:
        file.write("at,customer,amount,note\n")
        for start in range(0, 3_000_000, 10_000):
            file.write("".join(line % number for number in range(start, start + 10_000)))
    project = _project(folder, files="a.csv")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    landed = _land(home, project)
    rows = sum(batch.height for batch in raw.batches(home, landed, size=100_000))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1_024
    assert rows == landed.rows == 3_000_000
    assert landed.size > 190e6
    assert grown < 500, f"{grown:.0f} MB more than before"
