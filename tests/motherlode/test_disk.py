"""Small files are whole, or as they were."""

import stat
from pathlib import Path

import pytest

from motherlode import disk


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_is_replaced_whole_with_the_mode_asked_for(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a longer one before")
    disk.replace(path, b"new", mode)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_put_in_place_leaves_what_was_there_and_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        disk.replace(path, b"new")
    assert list(tmp_path.iterdir()) == [path]
    assert list(path.iterdir()) == []
