"""Settings come from the environment, once, and bad ones are named."""

import os
from pathlib import Path

import pytest

from motherlode.errors import SettingsError
from motherlode.identity import Identity
from motherlode.settings import Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in [each for each in os.environ if each.startswith("MOTHERLODE_") or each == "REDIS_URL"]:
        monkeypatch.delenv(variable)
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
        ("MOTHERLODE_RANK_BUDGET_S", "0", "MOTHERLODE_RANK_BUDGET_S is 0"),
        ("MOTHERLODE_PURPOSE_REQUIRED", "yes", "MOTHERLODE_PURPOSE_REQUIRED is 'yes'"),
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


def key_file(path: Path, text: str = "a secret of sixteen bytes\n", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


SECRETS = ("PSEUDONYM_KEY", "RAW_KEY", "PREVIOUS_RAW_KEY")


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_key_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, mode: int) -> None:
    monkeypatch.setenv(f"MOTHERLODE_{name}_FILE", str(key_file(tmp_path / "the key", mode=mode)))
    assert getattr(Settings.from_env(), name.lower()) == "a secret of sixteen bytes"


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        ("a secret of sixteen bytes", 0o644, "open to others .mode 0644."),
        ("a secret of sixteen bytes", 0o620, "open to others"),
        ("a secret of sixteen bytes", 0o602, "open to others"),
        ("", 0o600, "is empty"),
        ("\n", 0o600, "is empty"),
        ("a secret of sixteen\nand another of mine\n", 0o600, "several lines"),
        ("a short secret", 0o600, "has 14 bytes"),
    ],
)
@pytest.mark.parametrize("name", SECRETS)
def test_a_key_file_that_cannot_be_trusted_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str, mode: int, message: str
) -> None:
    monkeypatch.setenv(f"MOTHERLODE_{name}_FILE", str(key_file(tmp_path / "key", text, mode)))
    with pytest.raises(SettingsError, match=message) as caught:
        Settings.from_env()
    assert caught.value.remedy
    assert not text.strip() or text.strip() not in str(caught.value)


def test_a_key_file_that_is_missing_or_no_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOTHERLODE_RAW_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsError, match=r"MOTHERLODE_RAW_KEY_FILE names .*key, which cannot be read: No such file"):
        Settings.from_env()
    key_file(tmp_path / "key").write_bytes(b"\xff" * 32)
    with pytest.raises(SettingsError, match="it is no text"):
        Settings.from_env()


def test_a_key_and_its_file_at_once_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOTHERLODE_RAW_KEY", "a secret of sixteen bytes")
    monkeypatch.setenv("MOTHERLODE_RAW_KEY_FILE", str(key_file(tmp_path / "key")))
    with pytest.raises(SettingsError, match="are both set"):
        Settings.from_env()
    monkeypatch.setenv("MOTHERLODE_RAW_KEY", "")
    assert Settings.from_env().raw_key is not None, "an empty variable, as of compose, is unset"


def test_previous_keys_are_one_a_line_in_the_variable_or_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOTHERLODE_PSEUDONYM_KEY", "the newest of my secrets")
    monkeypatch.setenv("MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS", "an older secret, with a comma\nnone")
    assert Settings.from_env().previous_pseudonym_keys == ("an older secret, with a comma", "none")
    monkeypatch.delenv("MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS")
    listed = key_file(tmp_path / "keys", "the first secret of all\nthe second of my secrets\n")
    monkeypatch.setenv("MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS_FILE", str(listed))
    settings = Settings.from_env()
    assert len(settings.identity.key_ids) == 3
    assert settings.identity.key_ids == Identity(settings.pseudonym_key, settings.previous_pseudonym_keys).key_ids


def test_a_short_previous_key_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS", "hunter2")
    with pytest.raises(SettingsError, match="has 7 bytes") as caught:
        Settings.from_env()
    assert "hunter2" not in str(caught.value)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        pseudonym_key="hunter2 pseudonym",
        previous_pseudonym_keys=("hunter2 previous",),
        raw_key="hunter2 raw raw raw",
        previous_raw_key="hunter2 old raw raw",
    )
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(settings.identity)


def test_the_mapping_lies_here_unless_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Settings.from_env().mapping is None
    (tmp_path / "motherlode.yaml").touch()
    assert Settings.from_env().mapping == tmp_path / "motherlode.yaml"
    (tmp_path / "shop").mkdir()
    monkeypatch.setenv("MOTHERLODE_MAPPING", "shop")
    assert Settings.from_env().mapping == tmp_path / "shop"
    monkeypatch.setenv("MOTHERLODE_MAPPING", "shop/nowhere.yaml")
    with pytest.raises(SettingsError, match=r"There is no mapping .*nowhere\.yaml"):
        Settings.from_env()
