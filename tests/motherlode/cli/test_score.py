"""`motherlode score`: what the scores are for is asked before anything is scored."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from motherlode.cli.main import COMMANDS
from motherlode.cli.score import score
from motherlode.errors import SettingsError


def test_an_unknown_purpose_is_refused_naming_those_known_and_no_file_is_written(tmp_path: Path) -> None:
    assert "score" in COMMANDS
    out = tmp_path / "scores.parquet"
    arguments = ["--out", str(out), "--home", str(tmp_path / "home"), "--purpose", "nothing"]
    with pytest.raises(SettingsError, match="'nothing' is unknown") as refused:
        CliRunner().invoke(score, arguments, catch_exceptions=False)
    assert "marketing, profiling, service" in refused.value.remedy
    assert not out.exists()
