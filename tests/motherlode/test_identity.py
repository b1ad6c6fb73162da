"""One function from outside id to join key, for ingest, serving and erase."""

import pytest

from motherlode.errors import SettingsError
from motherlode.identity import Identity


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
