"""Dropping generations: all of theirs goes, and nothing of any other's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from motherlode import redis_server
from motherlode.online import generations, live
from motherlode.online.keys import complete_key, of_key, owned_key, row_key
from motherlode.settings import Settings

PROJECT = "shop [1]*?"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    settings = Settings(home=Path(tmp_path_factory.mktemp("home")))
    with redis_server.running(settings) as bound, redis_server.connect(bound) as client:
        yield client


@pytest.fixture
def client(server: Any) -> Any:
    server.flushall()
    return server


def fill(client: Any, project: str, view: str, number: int, entities: list[str]) -> None:
    for entity in entities:
        client.set(row_key(project, view, entity, number), b"row")
        client.sadd(of_key(project, entity.partition("|")[0]), row_key(project, view, entity, number))
    client.set(complete_key(project, view, number), b"x")
    client.sadd(owned_key(project), f"{view}/{number}")


def test_all_that_is_a_generations_goes_and_nothing_else(client: Any) -> None:
    entities = [f"c{i}|s{i}" for i in range(30)]
    for project, number in ((PROJECT, 1), (PROJECT, 12), ("shop 1ab", 1)):
        fill(client, project, "v", number, entities)
    fill(client, PROJECT, "v2", 1, entities)
    client.set(f"{PROJECT}/v/1/@sent", b"x")
    before = {key for key in client.keys("*") if not key.startswith(f"{PROJECT}/v/1/".encode())}
    assert generations.drop(client, PROJECT, [("v", 1)], indexed=["v"]) == 31
    assert set(client.keys("*")) == before - {complete_key(PROJECT, "v", 1).encode()}
    assert client.smembers(owned_key(PROJECT)) == {b"v/12", b"v2/1"}
    left = client.smembers(of_key(PROJECT, "c3"))
    assert left == {row_key(PROJECT, view, "c3|s3", number).encode() for view, number in (("v", 12), ("v2", 1))}


def test_several_go_in_one_scan_and_none_is_nothing(client: Any) -> None:
    for number in (1, 2, 3):
        fill(client, PROJECT, "v", number, ["a", "b"])
    assert generations.drop(client, PROJECT, []) == 0
    assert generations.drop(client, PROJECT, [("v", 1), ("v", 2)]) == 4
    assert client.smembers(owned_key(PROJECT)) == {b"v/3"}
    assert {key.split(b"/")[2] for key in client.keys("*/v/*{*")} == {b"3"}


def test_one_that_is_ended_between_batches_is_found_again(client: Any) -> None:
    fill(client, PROJECT, "v", 1, ["a", "b"])
    next(generations.dropping(client, PROJECT, [("v", 1)]))
    live.switch(client, PROJECT, lambda now: live.Live(views={"v": 2}))
    assert generations.over(client, PROJECT, "v") == {1}
    assert generations.drop(client, PROJECT, [("v", 1)]) == 0
    assert generations.over(client, PROJECT, "v") == set()


def test_what_is_read_written_or_kept_is_not_over(client: Any) -> None:
    for number in range(5):
        fill(client, PROJECT, "v", number, ["a"])
    live.switch(client, PROJECT, lambda now: live.Live(views={"v": 1}, shadows={"v": 2}, previous={"v": 3}))
    assert generations.over(client, PROJECT, "v") == {0, 4}
    assert generations.over(client, PROJECT, "other") == set()


def test_readers_are_under_way_for_a_minute_after_a_flip(client: Any) -> None:
    assert not generations.under_way(client, PROJECT, "v")
    generations.flipping(client, PROJECT, "v")
    assert generations.under_way(client, PROJECT, "v")
    assert not generations.under_way(client, PROJECT, "w")
    assert 50 < client.ttl(generations.flipped_key(PROJECT, "v")) <= generations.UNDER_WAY_S
