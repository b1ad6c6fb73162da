"""A real embedded Valkey for the ground floor's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from motherlode.redis_server import connect, running
from motherlode.settings import Settings


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings bound to a running embedded Valkey, in a folder with a space in its name."""
    home: Path = tmp_path_factory.mktemp("a home") / ".motherlode"
    with running(Settings(home=home)) as bound:
        yield bound


@pytest.fixture
def client(server: Settings) -> Iterator[redis.Redis]:
    with connect(server) as connection:
        connection.flushall()
        yield connection
