"""The key ring: made once, never kept in clear, looked up in constant time, ended for good."""

import hashlib
import hmac
import json
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from motherlode import access, audit
from motherlode.access import Ring
from motherlode.errors import DataError, SettingsError
from motherlode.settings import Settings

DAY = timedelta(days=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "the home")


def ring(settings: Settings) -> Ring:
    return Ring(access.read(settings))


def test_a_key_is_found_by_its_token_and_by_nothing_else(settings: Settings) -> None:
    key, token = access.add(settings, "shop", ["recommend", "score"], rate=5)
    other, another = access.add(settings, "till", ["events"])
    now = time.time()
    assert ring(settings).find(token, now) == key
    assert ring(settings).find(another, now) == other
    assert (key.scopes, key.rate, key.burst, key.expires) == (("score", "recommend"), 5, 10, None)
    crossed = f"ml_{other.id}_{token.rpartition('_')[2]}"
    for wrong in (crossed, token[:-1], token + "0", token.upper(), f" {token}", token + "\n", "", "ml__", key.id, "ä"):
        assert ring(settings).find(wrong, now) is None, wrong


def test_the_file_holds_no_secret_and_is_its_owners_alone(settings: Settings) -> None:
    key, token = access.add(settings, "shop", ["score"])
    path = access.path_of(settings)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    secret = token.rpartition("_")[2]
    assert len(bytes.fromhex(secret)) == 32
    for each in settings.home.rglob("*"):
        assert each.is_dir() or secret not in each.read_text(), each
    assert json.loads(path.read_bytes())["keys"][0]["secrets"] == [
        {"sha256": hashlib.sha256(token.encode()).hexdigest(), "until": None}
    ]
    assert key.id in path.read_text()


def test_a_ring_from_before_there_were_purposes_is_read_and_its_keys_are_for_anything(settings: Settings) -> None:
    _, token = access.add(settings, "shop", ["score"])
    path = access.path_of(settings)
    kept = json.loads(path.read_bytes())
    del kept["keys"][0]["purposes"]
    path.write_text(json.dumps(kept))
    found = ring(settings).find(token, time.time())
    assert found is not None
    assert found.purposes == ()


def test_a_key_keeps_its_purposes_when_it_is_rotated_and_they_are_audited(settings: Settings) -> None:
    key, _ = access.add(settings, "mailer", ["score"], purposes=["marketing"])
    rotated, token = access.rotate(settings, key.id, DAY)
    assert rotated.purposes == ("marketing",)
    found = ring(settings).find(token, time.time())
    assert found is not None
    assert found.purposes == ("marketing",)
    assert audit.read(settings)[0].details["purposes"] == "marketing"


def test_an_unknown_id_is_compared_as_a_known_one_is(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    _, token = access.add(settings, "shop", ["score"])
    found, compared, real = ring(settings), [], hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for each in (token, token[:-1] + ("0" if token[-1] != "0" else "1"), f"ml_{'0' * 12}_{'0' * 64}"):
        found.find(each, time.time())
    assert compared == [(32, 32)] * 3


def test_while_a_key_is_rotated_both_secrets_are_valid_for_the_overlap_and_no_longer(settings: Settings) -> None:
    key, first = access.add(settings, "shop", ["score"])
    _, second = access.rotate(settings, key.id, timedelta(hours=1))
    found, now = ring(settings), time.time()
    assert found.find(first, now)
    assert found.find(second, now)
    assert found.find(first, now + 3601) is None
    assert found.find(second, now + 3601)
    _, third = access.rotate(settings, key.id, timedelta(0))
    found = ring(settings)
    assert [bool(found.find(each, now)) for each in (first, second, third)] == [False, False, True]


def test_a_key_that_is_revoked_or_expired_says_so_to_who_has_its_secret(settings: Settings) -> None:
    key, token = access.add(settings, "shop", ["score"], DAY)
    now = datetime.now(UTC)
    assert (key.state(now), key.state(now + 2 * DAY)) == ("valid", "expired")
    assert ring(settings).usable(now)
    assert not ring(settings).usable(now + 2 * DAY)
    access.revoke(settings, key.id)
    known = ring(settings).find(token, time.time())
    assert known is not None
    assert known.state(now) == "revoked"
    assert access.revoke(settings, key.id) == known, "a second time changes nothing"
    with pytest.raises(SettingsError, match="is revoked"):
        access.rotate(settings, key.id, DAY)


def test_every_change_is_in_the_audit_log_without_the_secret(settings: Settings) -> None:
    key, token = access.add(settings, "shop", ["score"], DAY)
    _, second = access.rotate(settings, key.id, DAY)
    access.revoke(settings, key.id)
    entries = audit.read(settings)
    assert [(each.action, each.subject) for each in entries] == [
        (f"access {verb}", f"key {key.id}") for verb in ("add", "rotate", "revoke")
    ]
    assert entries[0].details["called"] == "shop"
    assert entries[0].details["scopes"] == "score"
    text = (settings.home / audit.LOG).read_text()
    assert token.rpartition("_")[2] not in text
    assert second.rpartition("_")[2] not in text


def test_a_key_that_cannot_be_recorded_is_not_made_but_one_can_always_be_revoked(settings: Settings) -> None:
    key, token = access.add(settings, "shop", ["score"])
    with broken_log(settings):
        with pytest.raises(DataError, match=audit.LOG):
            access.add(settings, "till", ["score"])
        assert len(access.read(settings)) == 1
        with pytest.raises(DataError, match=audit.LOG):
            access.revoke(settings, key.id)
    known = ring(settings).find(token, time.time())
    assert known is not None
    assert known.revoked is not None


@contextmanager
def broken_log(settings: Settings) -> Iterator[None]:
    path = settings.home / audit.LOG
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    yield
    path.write_bytes(content)


def test_a_ring_that_others_may_write_or_that_is_damaged_is_refused(settings: Settings) -> None:
    access.add(settings, "shop", ["score"])
    path = access.path_of(settings)
    path.chmod(0o660)
    with pytest.raises(SettingsError, match="0660") as caught:
        access.read(settings)
    assert "chmod 600" in caught.value.remedy
    path.chmod(0o600)
    path.parent.chmod(0o777)
    with pytest.raises(SettingsError, match="0777") as caught:
        access.read(settings)
    assert "chmod 700" in caught.value.remedy
    path.parent.chmod(0o700)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SettingsError, match="damaged"):
        access.read(settings)
    path.write_bytes(msgspec.json.encode({"format": 2, "keys": []}))
    with pytest.raises(SettingsError, match="format 2"):
        access.read(settings)
    path.unlink()
    assert access.read(settings) == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scopes": ["scoer"]}, "Scope scoer is unknown"),
        ({"scopes": []}, "Scope none"),
        ({"name": " "}, "no name"),
        ({"rate": 0}, "Rate 0"),
        ({"rate": float("inf")}, "Rate inf"),
        ({"rate": float("nan")}, "Rate nan"),
        ({"burst": 0.5}, "burst 0.5"),
        ({"expires_in": timedelta(0)}, "ended before it begins"),
        ({"purposes": ["marketng"]}, "purpose 'marketng' is unknown"),
    ],
)
def test_a_key_that_cannot_be_is_refused(settings: Settings, values: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"name": "shop", "scopes": ["score"]} | values
    with pytest.raises(SettingsError, match=message) as caught:
        access.add(settings, **given)  # type: ignore[arg-type]
    assert caught.value.remedy
    assert access.read(settings) == ()


def test_an_unknown_key_is_named(settings: Settings) -> None:
    for act in (lambda: access.revoke(settings, "nix"), lambda: access.rotate(settings, "nix", DAY)):
        with pytest.raises(SettingsError, match="no key 'nix'"):
            act()
