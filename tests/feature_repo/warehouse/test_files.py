"""Files that are whole or not there."""

import subprocess
import sys
from pathlib import Path

import pytest

from feature_repo.warehouse import files


def test_staged_files_take_their_place_together_when_the_block_ends(tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer" / "kept").write_text("old")
    with files.staging(tmp_path) as scratch:
        (scratch / "layer").mkdir()
        (scratch / "layer" / "new").write_text("new")
        assert not (tmp_path / "layer" / "new").exists()
    assert {path.name: path.read_text() for path in (tmp_path / "layer").iterdir()} == {"kept": "old", "new": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["layer"]


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("good")
    with pytest.raises(OSError, match="disk full"), files.staging(tmp_path) as scratch:
        (scratch / "table").write_text("half")
        raise OSError("disk full")
    assert (tmp_path / "table").read_text() == "good"
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def test_a_killed_process_leaves_the_last_good_file_and_the_next_clears_up(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("good")
    script = (
        "import os, sys, pathlib\n"
        "from feature_repo.warehouse import files\n"
        "with files.staging(pathlib.Path(sys.argv[1])) as scratch:\n"
        "    (scratch / 'table').write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert (tmp_path / "table").read_text() == "good"
    assert len(list(tmp_path.iterdir())) == 2
    with files.staging(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "record.json"
    files.write(path, b"one")
    files.write(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == ["record.json"]
