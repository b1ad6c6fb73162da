"""One function from outside id to join key, for ingest, serving and erase."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import SettingsError
from motherlode.identity import PLAIN, Identity


def test_without_a_secret_the_key_is_the_ids_text() -> None:
    assert Identity().join_key(7) == Identity().join_key("7") == "7"


def test_a_pseudonym_is_stable_keyed_and_does_not_show_the_id() -> None:
    one, other = Identity("k" * 16), Identity("l" * 16)
    assert one.join_key(7) == one.join_key("7")
    assert one.join_key(7) != one.join_key(8)
    assert one.join_key(7) != other.join_key(7)
    assert len(one.join_key(7)) == 64


def test_a_short_secret_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError, match="8 bytes") as caught:
        Identity("hunter2!")
    assert "hunter2" not in str(caught.value)


def test_the_key_ids_of_earlier_versions_stand() -> None:
    assert Identity().key_id == ""
    assert Identity("k" * 16).key_id == hmac.new(b"k" * 16, b"motherlode key id", "sha256").hexdigest()[:16]


@given(st.text(min_size=16, max_size=200), st.lists(st.one_of(st.text(), st.integers())))
def test_join_keys_are_hmac_sha256_one_by_one_and_in_bulk(secret: str, outside: list[str | int]) -> None:
    identity = Identity(secret)
    expected = [hmac.new(secret.encode(), str(each).encode(), "sha256").hexdigest() for each in outside]
    assert [identity.join_key(each) for each in outside] == expected
    assert identity.join_keys_of(outside) == expected
    assert identity.every_join_key_of(outside) == [expected]


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=16), min_size=1, unique=True),
    st.text(),
)
def test_every_key_that_was_resolves_the_newest_first(secrets: list[str], outside: str) -> None:
    now, *before = secrets
    identity = Identity(now, (*before, PLAIN))
    alone = [Identity(each) for each in secrets]
    assert identity.join_keys(outside) == (*(each.join_key(outside) for each in alone), outside)
    assert identity.key_ids == (*(each.key_id for each in alone), "")
    assert identity.join_key(outside) == alone[0].join_key(outside)
    assert identity.every_join_key_of([outside]) == [[each] for each in identity.join_keys(outside)]


@given(st.text(), st.text(min_size=1), st.text(min_size=1))
def test_pseudonyms_of_two_kinds_and_join_keys_have_nothing_in_common(text: str, kind: str, other: str) -> None:
    identity = Identity("k" * 16)
    made = {identity.join_key(text), *(identity.pseudonym(each, text) for each in {kind, other})}
    assert len(made) == 1 + len({kind, other})
    assert identity.pseudonyms_of(kind, [text, text]) == [identity.pseudonym(kind, text)] * 2
    assert Identity().pseudonym(kind, text) == text


def test_a_key_is_either_current_or_previous() -> None:
    for secret, previous in (("k" * 16, ("k" * 16,)), ("k" * 16, ("l" * 16, "l" * 16)), (None, (PLAIN,))):
        with pytest.raises(SettingsError, match="listed twice"):
            Identity(secret, previous)


def test_nobody_without_the_key_can_vouch() -> None:
    old, new = Identity("k" * 16), Identity("l" * 16, ("k" * 16,))
    mac = old.vouch("head", b"content")
    assert new.vouched("head", b"content", mac)
    assert not new.vouched("head", b"other", mac)
    assert not new.vouched("tail", b"content", mac)
    assert not Identity("l" * 16).vouched("head", b"content", mac)
    assert not Identity().vouched("head", b"content", mac)
    assert not new.vouched("head", b"content", "é")
    assert Identity().vouch("head", b"content") == ""


def test_an_identity_shows_ids_of_keys_and_no_key() -> None:
    shown = repr(Identity("hunter2 hunter2 hunter2", ("swordfish swordfish",)))
    assert "hunter2" not in shown
    assert "swordfish" not in shown
    assert Identity("hunter2 hunter2 hunter2").key_id in shown


def test_no_id_has_a_derived_key_for_its_join_key() -> None:
    """Who may write ids and read join keys would else hold the key of the audit log's head."""
    secret = "a secret of enough bytes"
    identity = Identity(secret)
    for purpose in ("vouch/audit head", "pseudonym/visitor"):
        key = hmac.digest(secret.encode(), b"\0\0motherlode/" + purpose.encode(), "sha256")
        said = f"\0\0motherlode/{purpose}"
        assert key.hex() not in {identity.join_key(said), *identity.join_keys_of([said]), *identity.join_keys(said)}
    ids = ["\0\0a", "\0\0\0\0\0a", "\0\0\0a", "\0a", "a"]
    assert len(set(identity.join_keys_of(ids))) == len(ids)
