"""What may start and what may not, each refusal with its remedy."""

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from motherlode import access
from motherlode.errors import SettingsError
from motherlode.settings import Settings, environment
from serving import server
from serving.lock import policy
from serving.processes import free_port


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_loopback_nothing_is_asked_for(settings: Settings, host: str) -> None:
    alone = replace(settings, host=host)
    policy.require(alone)
    assert not policy.is_locked(alone)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.2", "::ffff:192.0.2.2", "box", ""])
def test_beyond_loopback_the_lock_is_on_by_itself(settings: Settings, host: str) -> None:
    assert policy.is_locked(replace(settings, host=host))


REFUSED: list[tuple[dict[str, Any], bool, str, str]] = [
    ({"host": "0.0.0.0", "lock": "off", "tls": "proxy"}, True, "without a lock", "MOTHERLODE_LOCK"),
    ({"ray_address": "10.0.0.7:6379", "lock": "off"}, True, "without a lock", "MOTHERLODE_LOCK"),
    ({"ray_address": "10.0.0.7:6379", "tls_cert": "c", "tls_key": "k"}, True, "take no certificate", "Unset it"),
    ({"host": "0.0.0.0", "tls": "proxy"}, False, "nobody has a key", "motherlode access add"),
    ({"lock": "on"}, False, "nobody has a key", "motherlode access add"),
    ({"host": "0.0.0.0"}, True, "without TLS", "MOTHERLODE_TLS=proxy"),
    ({"tls_cert": "/nowhere/cert.pem", "tls_key": "/nowhere/key.pem"}, True, "No such file", "PEM"),
]


@pytest.mark.parametrize(("changes", "keyed", "message", "remedy"), REFUSED)
def test_what_would_let_somebody_in_does_not_start(
    settings: Settings, changes: dict[str, Any], keyed: bool, message: str, remedy: str
) -> None:
    if keyed:
        access.add(settings, "shop", ["score"])
    asked = replace(settings, port=free_port(), **changes)
    for start in (policy.require, server.require_free_port if asked.ray_address is None else policy.require):
        with pytest.raises(SettingsError, match=message) as caught:
            start(asked)
        assert remedy in caught.value.remedy
    with pytest.raises(SettingsError, match=message):
        server.run(asked, lambda: None)
    assert not asked.logs.exists(), "nothing was started"


def test_keys_that_open_nothing_any_more_are_none(settings: Settings) -> None:
    asked = replace(settings, host="0.0.0.0", tls="proxy")
    key, _ = access.add(asked, "shop", ["score"])
    policy.require(asked)
    access.revoke(asked, key.id)
    with pytest.raises(SettingsError, match="nobody has a key"):
        policy.require(asked)
    access.add(asked, "till", ["score"], timedelta(days=1))
    policy.require(asked)


def test_an_issuer_of_tokens_will_do_instead_of_keys(settings: Settings) -> None:
    policy.require(replace(settings, host="0.0.0.0", tls="proxy", jwks="https://id.example/keys"))


REPLICA = """
from serving.app import Api
from motherlode.errors import SettingsError
try:
    Api(None, {}, False)
except SettingsError as error:
    print(error)
"""


def test_a_replica_of_a_cluster_is_locked_whatever_its_environment_says(tmp_path: Path) -> None:
    """In a process of its own: Ray changes the one that imports it."""
    said = {"MOTHERLODE_HOME": str(tmp_path), "MOTHERLODE_HOST": "127.0.0.1"}
    told = subprocess.run([sys.executable, "-c", REPLICA], env=environment(said), capture_output=True, text=True)
    assert "nobody has a key" in told.stdout, told.stderr


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"MOTHERLODE_LOCK": "of"}, "MOTHERLODE_LOCK is 'of'"),
        ({"MOTHERLODE_TLS": "yes"}, "MOTHERLODE_TLS is 'yes'"),
        ({"MOTHERLODE_TLS_CERT": "c.pem"}, "come together"),
        ({"MOTHERLODE_JWKS": "https://id.example/keys", "MOTHERLODE_JWT_ISSUER": "i"}, "Tokens of any issuer"),
    ],
)
def test_settings_that_make_no_sense_are_named(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], message: str
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=message) as caught:
        Settings.from_env()
    assert caught.value.remedy


def test_files_are_found_from_wherever_a_process_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOTHERLODE_TLS_CERT", "c.pem")
    monkeypatch.setenv("MOTHERLODE_TLS_KEY", "k.pem")
    assert Settings.from_env().tls_key == str(tmp_path / "k.pem")
