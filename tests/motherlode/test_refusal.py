"""A refusal holds for what is current as it was made so, and for nothing else."""

from pathlib import Path

import pytest

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


def test_what_is_written_is_read_and_what_cannot_be_read_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert refusal.read(tmp_path) is None
    refusal.write(tmp_path, ONE)
    assert refusal.read(tmp_path) == ONE == refusal.decode(refusal.encode(ONE))
    for damaged in (b"", b"{}", b"\xff", b'{"version": "v2"}', b"[" * 5000):
        (tmp_path / refusal.FILE).write_bytes(damaged)
        assert refusal.read(tmp_path) is None
    assert "cannot be read" in caplog.text


def test_it_is_found_beside_the_bundle_that_is_current(tmp_path: Path) -> None:
    assert refusal.holding(tmp_path) is None
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / MANIFEST).touch()
    bundles.flip(tmp_path, "v2")
    told = Refusal(bundles.pointer(tmp_path).written_ns, 1.5, "v2", "v1", "it is slow")
    refusal.write(tmp_path, told)
    assert refusal.holding(tmp_path) == told
    bundles.flip(tmp_path, "v1")
    assert refusal.holding(tmp_path) is None
