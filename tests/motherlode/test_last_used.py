"""When keys were last used: the latest of what any server says, of keys that there are, and never a reason to fail."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from motherlode import access, last_used
from motherlode.errors import StoreError
from motherlode.lock import exclusive
from motherlode.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_the_latest_stays_whichever_server_tells_of_it_and_of_keys_that_there_are(settings: Settings) -> None:
    assert last_used.read(settings) == {}
    shop, _ = access.add(settings, "shop", ["score"])
    till, _ = access.add(settings, "till", ["score"])
    now = time.time()
    last_used.note(settings, {shop.id: now, "0" * 12: now})
    last_used.note(settings, {shop.id: now - 3600, till.id: now - 60.5})
    seconds = {key: at.timestamp() for key, at in last_used.read(settings).items()}
    assert seconds == {shop.id: float(int(now)), till.id: float(int(now - 60.5))}
    assert last_used.read(settings)[shop.id].tzinfo == UTC
    access.revoke(settings, shop.id)
    last_used.note(settings, {till.id: now})
    assert shop.id in last_used.read(settings), "one that ended is still asked about"


def test_a_file_that_is_damaged_is_none_and_is_written_anew(settings: Settings) -> None:
    key, _ = access.add(settings, "shop", ["score"])
    path = settings.home / access.FOLDER / last_used.FILE
    for content in (b"", b"{", b"\xff", b'{"used":{"a":"soon"}}', b"[]"):
        path.write_bytes(content)
        assert last_used.read(settings) == {}
    last_used.note(settings, {key.id: time.time()})
    assert last_used.read(settings)[key.id] <= datetime.now(UTC)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_is_made_and_revoked_whatever_a_server_is_writing(settings: Settings) -> None:
    key, _ = access.add(settings, "shop", ["score"])
    with exclusive(settings, "access-used"):
        access.revoke(settings, key.id)
        with pytest.raises(StoreError):
            last_used.note(settings, {key.id: time.time()})
