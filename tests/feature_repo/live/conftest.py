"""A project of its own for each test, on one server that forgets in between."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from motherlode import redis_server
from motherlode.settings import Settings
from tests.feature_repo.live.shop import Shop


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server.running(Settings(home=tmp_path_factory.mktemp("server"))) as bound:
        yield str(bound.redis_url)


@pytest.fixture
def shop(server: str, tmp_path: Path) -> Iterator[Shop]:
    settings = Settings(home=tmp_path / "home", redis_url=server)
    with redis_server.connect(settings) as client:
        client.flushall()
        yield Shop(settings, client)
