"""A project with a server of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from motherlode import redis_server
from motherlode.settings import Settings
from tests.feature_repo.live.shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    settings = Settings(home=tmp_path / "home")
    with redis_server.running(settings) as bound, redis_server.connect(bound) as client:
        yield Shop(bound, client)
