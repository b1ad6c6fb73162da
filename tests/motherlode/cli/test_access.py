"""`motherlode access` prints a key once, on its own, and shows everything else but the key."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from motherlode import access, last_used
from motherlode.access import Ring
from motherlode.cli.main import main
from motherlode.settings import Settings


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("MOTHERLODE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return Settings(home=tmp_path / "home")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["access", *arguments])
    printed = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, printed.out, printed.err


def test_a_key_is_made_listed_rotated_and_revoked(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, told = run(capsys, "add", "shop", "--scope", "score", "--scope", "events", "--expires", "90d")
    token = out.strip()
    (key,) = access.read(settings)
    assert (code, out) == (0, token + "\n"), "nothing but the key, to be piped"
    assert Ring([key]).find(token, time.time()) == key
    assert token not in told
    assert (key.scopes, round((key.expires - key.created).days if key.expires else 0)) == (("score", "events"), 90)
    code, out, _ = run(capsys, "rotate", key.id, "--overlap", "1h")
    assert Ring(access.read(settings)).find(out.strip(), time.time())
    _, listed, _ = run(capsys, "list")
    for shown in (key.id, "shop", "score, events", "valid, the old secret too"):
        assert shown in listed
    assert token.rpartition("_")[2] not in listed
    assert "never" in listed
    last_used.note(settings, {key.id: datetime(2026, 1, 31, 12, 30, tzinfo=UTC).timestamp()})
    assert "2026-01-31 12:30" in run(capsys, "list")[1]
    code, _, told = run(capsys, "revoke", key.id)
    assert (code, "revoked" in told) == (0, True)
    assert "revoked" in run(capsys, "list")[1]


def test_a_key_is_bound_to_its_purposes(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    purposes = ("--purpose", "profiling", "--purpose", "marketing", "--purpose", "profiling")
    _, _, told = run(capsys, "add", "mailer", "--scope", "score", *purposes)
    assert "It opens: score, for profiling, marketing alone." in told
    assert [key.purposes for key in access.read(settings)] == [("profiling", "marketing")]
    run(capsys, "add", "shop", "--scope", "score")
    assert [key.purposes for key in access.read(settings)][1] == ()
    listed = run(capsys, "list")[1]
    assert "profiling, marketing" in listed
    assert "anything" in listed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "shop", "--scope", "score", "--purpose", "marketng"), "marketng"),
        (("add", "shop"), "scope"),
        (("add", "shop", "--scope", "all"), "all"),
        (("add", "shop", "--scope", "score", "--expires", "soon"), "90d"),
        (("revoke", "nix"), "no key 'nix'"),
    ],
)
def test_what_cannot_be_is_refused(
    settings: Settings, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code, out, told = run(capsys, *arguments)
    assert (code != 0, out) == (True, "")
    assert message in told
    assert access.read(settings) == ()
