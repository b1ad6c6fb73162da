"""A customer who asks to be forgotten is in no file of the warehouse, and does not come back."""

import shutil
import subprocess
import sys
from pathlib import Path

from feature_repo.warehouse import erasure, lineage, state, tables
from motherlode import audit, names
from motherlode.settings import Settings
from tests.feature_repo.warehouse.forgetting import (
    BIRD,
    EVENTS,
    GONE,
    KEYED,
    LINES,
    MENTIONS,
    ORDERS,
    PEOPLE,
    SURVEY,
    TILL,
    Shop,
    assert_same,
    integrated,
    moved,
    silent,
    traces,
)


def test_no_byte_of_the_home_knows_who_was_erased(home: Shop, without: Shop) -> None:
    words = (*GONE, *erasure.join_keys(home.settings, [BIRD]))
    assert len(traces(home.settings, words)) > 10
    home.forget()
    assert traces(home.settings, words) == []
    assert_same(home.settings, without.settings)
    assert lineage.current(home.settings).balanced
    assert audit.verify(home.settings) > 2
    assert erasure.find(home.settings, [BIRD]) == []


def test_what_would_go_is_told_without_touching_anything(home: Shop) -> None:
    def stamps() -> dict[Path, tuple[int, int]]:
        found = (path for path in home.settings.home.rglob("*") if path.is_file())
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in found}

    before = stamps()
    found = erasure.find(home.settings, [BIRD])
    assert stamps() == before
    rows = {name: sum(place.rows for place in found if place.name == name) for name in {it.name for it in found}}
    assert rows["raw"] == 3 + 1 + 2 + 1 + 6 + 1 + 1 + len(MENTIONS)
    assert rows["identities"] == 1
    assert rows["quarantine"] == 4
    assert {"raw", "identities", "clean", "quarantine", "integrated"} == rows.keys()
    erased = erasure.erase(home.settings, [BIRD])
    assert {(place.name, place.path) for place in erased} == {(place.name, place.path) for place in found}
    assert all(place.sha256_after != place.sha256_before for place in erased)


def test_every_raw_file_that_was_written_anew_is_in_the_log_with_both_hashes(keyed: Shop) -> None:
    before = {each.order: each for each in state.read(keyed.settings).raw}
    keyed.forget()
    logged = [entry for entry in audit.read(keyed.settings) if entry.action == erasure.ACTION]
    told = {entry.subject: (entry.details.get("sha256_before"), entry.details.get("sha256")) for entry in logged}
    for each in state.read(keyed.settings).raw:
        assert told[each.path] == (before[each.order].sha256_raw, each.sha256_raw)
        assert not (keyed.settings.home / before[each.order].path).exists()
        assert each.erased == before[each.order].rows - each.rows > 0


def test_the_next_load_finds_nothing_to_do(keyed: Shop) -> None:
    keyed.forget()
    before = (keyed.settings.home / state.STATE).read_bytes()
    assert not keyed.load().changed
    assert (keyed.settings.home / state.STATE).read_bytes() == before


def test_a_new_delivery_does_not_bring_them_back(home: Shop, without: Shop) -> None:
    home.forget()
    fresh = {
        "people2.csv": (*PEOPLE, "K1004,2024-05-01,udo@example.org,Bonn,Udo"),
        "orders2.csv": (*ORDERS, f"ORD-BIRD-2,{BIRD},2025-05-06T10:00:00", "ORD-5,K1004,2025-05-06T11:00:00"),
        "lines2.csv": (*LINES, "ORD-BIRD-2,1,SEED,2.50", "ORD-5,1,TEA,3.90"),
        "till2.csv": (*TILL[:3], "K1004,R9,1,TEA,3.90,2025-05-07T10:00:00,"),
        "events2.jsonl": (*EVENTS[:3], *EVENTS[7:]),
        "survey2.csv": SURVEY,
    }
    home.write(fresh)
    without.write({name: tuple(silent(lines)) for name, lines in fresh.items()})
    assert home.load().changed
    without.load()
    assert_same(home.settings, without.settings)
    assert traces(home.settings, (*GONE, *erasure.join_keys(home.settings, [BIRD]))) == []
    landed = {each.name: each for each in state.read(home.settings).raw}
    assert landed["people2.csv"].erased == 3
    assert landed["lines2.csv"].erased == 3
    assert landed["events2.jsonl"].erased == 4
    assert lineage.current(home.settings).balanced


def test_the_same_file_read_otherwise_does_not_bring_them_back(keyed: Shop) -> None:
    keyed.forget()
    mapping = keyed.folder / "motherlode.yaml"
    mapping.write_text(mapping.read_text().replace('"till*.csv"', '"till*.csv", delimiter: ","'))
    assert keyed.load().changed
    assert BIRD.lower() not in str(tables.scan(keyed.settings, names.TRANSACTIONS).collect().to_dicts()).lower()
    till = next(each for each in state.read(keyed.settings).raw if each.source == "till" and each.status == "active")
    assert till.erased == 1


POINTS = {"rewrite.rewrite": 2, "audit.record": 2, "state.write": 1, "sweep.sweep": 1}
"""A function, and the call of it after which the process is killed."""
KILL = """
import os, signal, sys
from pathlib import Path
from feature_repo.warehouse import erasure
from motherlode.settings import Settings
folder, key, raw_key, bird, *points = sys.argv[1:]
for point, number in zip(points[::2], map(int, points[1::2])):
    child = os.fork()  # one process imports for all of them
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, point
        continue
    module, function = point.split(".")
    holder, left = getattr(erasure, module), list(range(number))
    plain = getattr(holder, function)
    def last(*args, **options):
        found = plain(*args, **options)
        left.pop()
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    setattr(holder, function, last)
    settings = Settings(home=Path(folder) / point / "home", pseudonym_key=key, raw_key=raw_key)
    erasure.erase(settings, [bird])
    os._exit(0)
"""


def test_killed_wherever_it_ends_the_same(keyed: Shop, without: Shop, tmp_path: Path) -> None:
    for point in POINTS:
        shutil.copytree(keyed.folder.parent, tmp_path / point)
    points = [str(each) for pair in POINTS.items() for each in pair]
    command = [sys.executable, "-c", KILL, str(tmp_path), *KEYED.values(), BIRD, *points]
    subprocess.run(command, check=True, timeout=60)
    for point in POINTS:
        settings = moved(keyed.settings, tmp_path / point / "home")
        erasure.erase(settings, [BIRD])
        assert traces(settings, (*GONE, *erasure.join_keys(settings, [BIRD]))) == []
        assert_same(settings, without.settings)
        assert audit.verify(settings)


def test_every_customer_can_go(keyed: Shop) -> None:
    erasure.erase(keyed.settings, ["K1001", "K1002", "K1003", BIRD])
    left = integrated(keyed.settings)
    assert not left[names.CUSTOMERS].height and not left[names.TRANSACTIONS].height
    assert set(left[names.INTERACTIONS]["page"]) == set()
    assert lineage.current(keyed.settings).balanced
    assert not keyed.load().changed


def test_a_stranger_is_found_nowhere_and_changes_nothing(keyed: Shop) -> None:
    before = (keyed.settings.home / state.STATE).read_bytes()
    assert erasure.find(keyed.settings, ["a stranger"]) == []
    assert erasure.erase(keyed.settings, ["a stranger"]) == []
    assert (keyed.settings.home / state.STATE).read_bytes() == before
    assert erasure.find(Settings(home=keyed.folder / "nothing here"), ["a stranger"]) == []
