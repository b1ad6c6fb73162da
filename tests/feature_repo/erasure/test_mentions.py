"""Others' online rows lose an id from their lists, and what stands beside it; everything else stays, times too."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from feature_repo.erasure import mentions
from feature_repo.mart.erasure import Mentions
from motherlode.online.keys import row_key
from motherlode.online.writer import OnlineWriter, Target
from motherlode.packed import Column, Schema, Values, created_us_of, decode, encode
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

PROJECT, VIEW = "shop", "relations"
SCHEMA = Schema(
    VIEW,
    (
        Column("community", "string"),
        Column("near", "list<string>"),
        Column("like", "list<float32>"),
        Column("items", "list<string>"),
    ),
)
COLUMNS = {VIEW: Mentions(("community",), {"near": ("like",)})}
TARGET = Target(VIEW, owned=True)


@pytest.fixture
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running(Settings(home=tmp_path_factory.mktemp("home"))) as settings, connect(settings) as found:
        yield found


def objects(value: Any) -> Values:
    data = np.empty(1, dtype=object)
    data[0] = value
    return Values(data, np.array([value is not None]))


def row(community: str | None, near: list[str] | None, like: list[float] | None, items: list[str]) -> bytes:
    told = None if like is None else np.array(like, dtype=np.float32)
    columns = {"community": objects(community), "near": objects(near), "like": objects(told), "items": objects(items)}
    return encode(SCHEMA, columns, np.array([5_000], np.int64), np.array([6_000], np.int64))[0]


def test_ids_go_from_lists_and_groups_and_nothing_else_changes(client: Any) -> None:
    writer = OnlineWriter(client, PROJECT, str)
    writer.declare(SCHEMA, TARGET)
    rows = {
        "a": row("canary", ["b", "canary", "c"], [0.5, 0.25, 0.125], ["canary bird", "x"]),
        "b": row("b", ["canary"], [1.0], []),
        "c": row("c", ["canary2"], [1.0], ["y"]),
        "d": row("d", None, None, ["y"]),
    }
    writer.write(TARGET, list(rows), list(rows.values()), np.full(4, 4_000_000_000_000))
    assert [(each.path, each.rows) for each in mentions.find(client, PROJECT, COLUMNS, ["canary"])] == [
        ("shop/relations/0", 2)
    ], "canary2 is somebody else"
    mentions.erase(client, PROJECT, COLUMNS, ["canary"])
    stored = {name: client.get(row_key(PROJECT, VIEW, name)) for name in rows}
    assert (stored["c"], stored["d"]) == (rows["c"], rows["d"])
    read = decode(list(stored.values()), SCHEMA.columns, {SCHEMA.fingerprint: SCHEMA}, now_us=0)
    assert read.status.tolist() == [0] * 4
    assert read.event_us.tolist() == [5_000] * 4
    assert created_us_of(stored["a"]) == created_us_of(rows["a"]), "newest still wins by the same times"
    near, like, items, community = (read.columns[name] for name in ("near", "like", "items", "community"))
    assert (list(near.data[0]), like.data[0].tolist(), list(items.data[0])) == (
        ["b", "c"],
        [0.5, 0.125],
        ["canary bird", "x"],
    )
    assert near.valid.tolist() == like.valid.tolist() == [True, False, True, False]
    assert community.valid.tolist() == [False, True, True, True]
    assert client.pexpiretime(row_key(PROJECT, VIEW, "a")) == 4_000_000_000_000


def test_a_row_that_cannot_be_read_goes_and_other_views_are_not_looked_at(client: Any) -> None:
    writer = OnlineWriter(client, PROJECT, str)
    writer.declare(SCHEMA, TARGET)
    writer.declare(Schema("other", SCHEMA.columns), Target("other", owned=True))
    for view in (VIEW, "other"):
        client.set(row_key(PROJECT, view, "a"), bytes(40) + b"canary")
    mentions.erase(client, PROJECT, COLUMNS, ["canary"])
    assert not client.exists(row_key(PROJECT, VIEW, "a"))
    assert client.exists(row_key(PROJECT, "other", "a"))


def test_what_was_written_meanwhile_stays(client: Any) -> None:
    script = client.register_script(mentions.REPLACE)
    client.set("k", b"newer")
    assert script(keys=["k"], args=[b"older", b"x"]) == 0
    assert client.get("k") == b"newer"
