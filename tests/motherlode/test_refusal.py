"""A refusal holds for what is current as it was made so, and for nothing else."""

import shutil
import time
from pathlib import Path

import pytest
from msgspec import structs

from motherlode import bundles, refusal
from motherlode.bundles import Pointer
from motherlode.manifest import MANIFEST
from motherlode.refusal import Refusal

ONE = Refusal(100, 1.5, "v2", "v1", "its answers are shifted")


@pytest.mark.parametrize(
    ("version", "written_ns", "holds"),
    [("v2", 100, True), ("v2", 101, False), ("v1", 100, False), ("v3", 50, False), ("v2", 99, True)],
    ids=["as it stood", "published again", "gone back", "another", "a copy of the home with older times"],
)
def test_it_holds_until_another_bundle_or_the_same_one_is_published(version: str, written_ns: int, holds: bool) -> None:
    assert ONE.holds(Pointer(version, written_ns)) is holds


def test_the_later_one_of_two_is_the_greater() -> None:
    later = Refusal(100, 2.5, "v2", "v0", "it is slow")
    published_later = Refusal(101, 0.5, "v2", "v0", "it is slow")
    assert max(ONE, later) == later
    assert max(later, published_later) == published_later


def test_one_of_a_pointer_that_lies_ahead_of_every_clock_holds_for_that_pointer_alone() -> None:
    ahead = time.time_ns() + 10**12
    wrong = Refusal(ahead, 1.5, "v2", "v1", "found while the clock was wrong")
    assert wrong.holds(Pointer("v2", ahead)), "the disk's clock may be the wrong one"
    assert not wrong.holds(Pointer("v2", time.time_ns())), "published again, the clock set right"


def test_of_all_that_is_told_the_latest_that_holds_is_chosen_whatever_is_told_of_others() -> None:
    later, other = structs.replace(ONE, at=2.5), Refusal(900, 9.5, "v3", "v2", "it is slow")
    elsewhere = structs.replace(ONE, at=3.5, serving="v0")
    now, there = Pointer("v2", 100), ["v1", "v2", "v3"]
    assert refusal.choose([other, ONE, later, other], now, there) == later
    assert refusal.choose([elsewhere, ONE], now, there) == ONE, "v0 is not on this disk"
    assert refusal.choose([elsewhere], now, there) == elsewhere, "it is refused all the same"
    assert refusal.choose([other], now, there) is None


def test_what_is_written_is_read_and_what_cannot_be_read_counts_for_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert refusal.read(tmp_path) == {}
    refusal.write(tmp_path, ONE)
    assert refusal.read(tmp_path) == {"v2": ONE}
    assert refusal.decode(refusal.encode(ONE)) == ONE
    for damaged in (b"", b"[]", b"\xff", b'{"v2": {"version": "v2"}}', b"[" * 5000):
        (tmp_path / refusal.FILE).write_bytes(damaged)
        assert refusal.read(tmp_path) == {}
        assert refusal.decode(damaged) is None
    assert "cannot be read" in caplog.text


def test_there_is_one_a_version_until_the_version_is_published_again_or_gone(tmp_path: Path) -> None:
    for version in ("v1", "v2", "v3"):
        written(tmp_path, version)
    two = Refusal(200, 2.5, "v3", "v1", "it is slow")
    for each in (ONE, two):
        refusal.write(tmp_path, each)
    assert refusal.read(tmp_path) == {"v2": ONE, "v3": two}
    refusal.lift(tmp_path, "v2")
    refusal.lift(tmp_path, "v1")
    assert refusal.read(tmp_path) == {"v3": two}
    shutil.rmtree(tmp_path / "v3")
    refusal.write(tmp_path, ONE)
    assert refusal.read(tmp_path) == {"v2": ONE}


def test_it_is_found_beside_the_bundle_that_is_current(tmp_path: Path) -> None:
    assert refusal.holding(tmp_path) is None
    for version in ("v1", "v2"):
        written(tmp_path, version)
    bundles.flip(tmp_path, "v2")
    told = Refusal(bundles.pointer(tmp_path).written_ns, 1.5, "v2", "v1", "it is slow")
    refusal.write(tmp_path, told)
    assert refusal.holding(tmp_path) == told
    bundles.flip(tmp_path, "v1")
    assert refusal.holding(tmp_path) is None


def written(models: Path, version: str) -> None:
    """A bundle, as far as the folder of all of them is concerned."""
    (models / version).mkdir()
    (models / version / MANIFEST).touch()
