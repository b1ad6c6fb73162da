"""`motherlode suppress`: what is kept back lies where servers look for it, is listed, is let go, and is in the log."""

from pathlib import Path

from click.testing import CliRunner

from motherlode import audit
from motherlode.cli.main import cli
from motherlode.online.keys import suppressed_key
from motherlode.redis_server import connect, running
from motherlode.settings import Settings


def test_items_are_kept_back_listed_and_let_go(tmp_path: Path) -> None:
    home = tmp_path / "the home"
    with running(Settings(home=home)) as settings, connect(settings) as client:

        def suppress(*arguments: str) -> list[str]:
            result = CliRunner().invoke(cli, ["suppress", *arguments, "--home", str(home)], catch_exceptions=False)
            assert result.exit_code == 0
            return result.output.splitlines()

        key = suppressed_key(settings.project)
        assert suppress() == ["0 items are kept out of every recommendation."]
        assert suppress("17", "[b]x[/b]") == ["2 items are kept out of every recommendation.", "17", "[b]x[/b]"]
        assert client.smembers(key) == {b"17", b"[b]x[/b]"}
        assert suppress("--release", "17")[1:] == ["[b]x[/b]"]
        assert suppress("--release") == ["0 items are kept out of every recommendation."]
        assert suppress("--release") == ["0 items are kept out of every recommendation."]
        entries = list(audit.read(settings))
        assert [(each.action, each.details["count"]) for each in entries] == [
            ("suppress", 2),
            ("release", 1),
            ("release", 1),
        ]
