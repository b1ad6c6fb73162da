"""Settings come from the environment, once, and bad ones are named."""

from pathlib import Path

import pytest

from motherlode.errors import SettingsError
from motherlode.settings import Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("MOTHERLODE_HOME", "MOTHERLODE_PORT", "MOTHERLODE_DEVICE", "REDIS_URL", "MOTHERLODE_PROJECT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_home_is_below_the_folder_one_stands_in(tmp_path: Path) -> None:
    assert Settings.from_env().home == tmp_path / ".motherlode"
    assert not (tmp_path / ".motherlode").exists(), "reading settings makes nothing"


def test_a_keyword_wins_over_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTHERLODE_PORT", "9000")
    monkeypatch.setenv("REDIS_URL", "redis://example:1")
    assert Settings.from_env().port == 9000
    assert Settings.from_env(port=9001).port == 9001
    assert Settings.from_env(port=None).redis_url == "redis://example:1"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MOTHERLODE_PORT", "eighty", "MOTHERLODE_PORT is 'eighty', which is no number"),
        ("MOTHERLODE_PORT", "70000", "Port 70000"),
        ("MOTHERLODE_DEVICE", "tpu", "Device 'tpu' is unknown"),
        ("MOTHERLODE_PROJECT", "a/b", "Project 'a/b' is not a name"),
    ],
)
def test_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=message) as caught:
        Settings.from_env()
    assert caught.value.remedy


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="prot"):
        Settings.from_env(prot=1)
