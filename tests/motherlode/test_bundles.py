"""Which bundles there are and which is current: flipped in one step, gone back along, collected."""

from pathlib import Path

import pytest

from motherlode import bundles
from motherlode.errors import BundleError
from motherlode.manifest import MANIFEST


def write(models: Path, version: str) -> None:
    """A bundle, as far as the folder of all of them is concerned."""
    (models / version).mkdir()
    (models / version / MANIFEST).touch()


def test_flip_rolls_forward_and_back_and_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No bundle is published"):
        bundles.current(tmp_path)
    for version in ("v1", "v2"):
        write(tmp_path, version)
        bundles.flip(tmp_path, version)
    assert bundles.current(tmp_path).name == "v2"
    bundles.flip(tmp_path, "v1")
    assert bundles.current(tmp_path).name == "v1"
    with pytest.raises(BundleError, match="'v9'") as caught:
        bundles.flip(tmp_path, "v9")
    assert "v1, v2" in caught.value.remedy


def test_a_version_that_is_published_again_is_pointed_at_anew(tmp_path: Path) -> None:
    write(tmp_path, "v1")
    bundles.flip(tmp_path, "v1")
    first = bundles.pointer(tmp_path)
    assert bundles.pointer(tmp_path) == first
    bundles.flip(tmp_path, "v1")
    again = bundles.pointer(tmp_path)
    assert again.version == first.version == "v1"
    assert again.written_ns > first.written_ns


def test_a_rollback_goes_back_along_what_was_published(tmp_path: Path) -> None:
    """Not to a bundle that was written and never published; twice goes back twice."""
    for version in ("v1", "v2", "v3", "v4"):
        write(tmp_path, version)
    for version in ("v1", "v3", "v4"):
        bundles.flip(tmp_path, version)
    assert bundles.flip_back(tmp_path) == "v3"
    assert bundles.flip_back(tmp_path) == "v1", "v2 was never published"
    assert bundles.current(tmp_path).name == "v1"
    with pytest.raises(BundleError, match="No bundle was published before v1"):
        bundles.flip_back(tmp_path)
    bundles.flip(tmp_path, "v2")
    assert bundles.previous(tmp_path) == "v1"


def test_a_rollback_passes_over_what_was_refused(tmp_path: Path) -> None:
    """`publish v1` in place of a refused v2 has both behind it."""
    for version in ("v0", "v1", "v2", "v1"):
        if version not in bundles.versions(tmp_path):
            write(tmp_path, version)
        bundles.flip(tmp_path, version)
    assert bundles.previous(tmp_path) == "v2"
    assert bundles.previous(tmp_path, {"v2"}) == "v0"
    assert bundles.flip_back(tmp_path, {"v2"}) == "v0"
    assert bundles.published(tmp_path) == ["v0"]
    with pytest.raises(BundleError, match="before v0 but what serving refused: v2"):
        bundles.flip_back(tmp_path, {"v2"})


def test_old_bundles_are_collected_but_never_the_current_one(tmp_path: Path) -> None:
    for i in range(6):
        write(tmp_path, f"v{i}")
    assert bundles.collect(tmp_path, 2) == [], "nothing is collected before anything is published"
    bundles.flip(tmp_path, "v0")
    assert bundles.collect(tmp_path, 2, serving="v1") == ["v2", "v3"], "nor what serves in its place"
    assert bundles.collect(tmp_path, 2) == ["v1"]
    assert bundles.versions(tmp_path) == ["v0", "v4", "v5"]
