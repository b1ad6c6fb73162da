"""A real Valkey, emptied before each test, and rows written into it as the store's writer does."""

from collections.abc import Iterator
from typing import Any

import pytest

from motherlode.redis_server import connect, running
from motherlode.settings import Settings


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(Settings(home=tmp_path_factory.mktemp("a home") / ".motherlode", project="shop")) as bound:
        yield bound


@pytest.fixture
def client(server: Settings) -> Iterator[Any]:
    with connect(server) as connection:
        connection.flushall()
        yield connection
