"""Who was erased stays known, and by nothing that names them."""

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from motherlode.errors import DataError
from motherlode.online.keys import bucket, guard_key
from motherlode.online.tombstones import Tombstone, Tombstones, of_customer, restore
from motherlode.online.writer import OnlineWriter, Target, Written
from motherlode.settings import Settings

if TYPE_CHECKING:
    from tests.motherlode.online.conftest import Rows

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
WHO = "anna@example.com"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "a home")


def outside(tombstones: Tombstones, text: str) -> Tombstone:
    return Tombstone(kind="outside", digest=tombstones.digest("outside", text), at=NOON, certificate="c1")


def test_who_is_in_the_ledger_is_known_by_kind_and_text_alone(home: Settings) -> None:
    tombstones = Tombstones(home)
    assert not tombstones
    assert not tombstones.has("outside", WHO)
    assert tombstones.add([outside(tombstones, WHO), of_customer(tombstones, "7", NOON, "c1")]) == 2
    again = Tombstones(home)
    assert (bool(again), len(again)) == (True, 2)
    assert again.has("outside", WHO)
    assert not again.has("customer", WHO)
    assert again.among("customer", ["6", "7", "77"]) == {"7"}
    assert [(each.kind, each.bucket) for each in again.all()] == [("outside", -1), ("customer", bucket("7"))]
    assert again.digests("customer", ["7"]) == [again.of_entity("7")] == [again.all()[1].digest]


def test_no_file_of_the_ledger_names_anybody_and_the_key_is_the_owners_alone(home: Settings) -> None:
    tombstones = Tombstones(home)
    tombstones.add([outside(tombstones, WHO)])
    files = [path for path in home.home.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["key", "tombstones.jsonl"]
    assert not any(WHO.encode() in path.read_bytes() for path in files)
    assert (home.home / "erasure" / "key").stat().st_mode & 0o777 == 0o600


def test_digests_say_nothing_without_the_key(home: Settings, tmp_path: Path) -> None:
    one, other = Tombstones(home), Tombstones(Settings(home=tmp_path / "other"))
    shared = [Tombstones(Settings(home=tmp_path / name, erasure_key="the same on both machines")) for name in "ab"]
    assert one.digest("outside", WHO) != other.digest("outside", WHO)
    assert len({each.digest("outside", WHO) for each in shared}) == 1


def test_a_tombstone_that_is_there_is_not_left_again(home: Settings) -> None:
    tombstones = Tombstones(home)
    mark = outside(tombstones, WHO)
    assert tombstones.add([mark, mark]) == 1
    assert Tombstones(home).add([mark]) == 0
    assert len((home.home / "erasure" / "tombstones.jsonl").read_bytes().splitlines()) == 1


def test_what_another_process_adds_is_known_at_once(home: Settings) -> None:
    one, other = Tombstones(home), Tombstones(home)
    one.add([outside(one, "a")])
    assert other.has("outside", "a")
    other.add([outside(other, "b")])
    assert one.has("outside", "b")


def test_many_that_add_at_once_lose_nothing(home: Settings) -> None:
    def add(n: int) -> None:
        mine = Tombstones(home)
        for i in range(20):
            mine.add([outside(mine, f"{n} {i}"), outside(mine, f"shared {i}")])

    threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Tombstones(home)) == 100
    assert len((home.home / "erasure" / "tombstones.jsonl").read_bytes().splitlines()) == 100


def test_a_line_that_was_cut_short_is_none_and_the_next_one_is_whole(home: Settings) -> None:
    tombstones, path = Tombstones(home), home.home / "erasure" / "tombstones.jsonl"
    tombstones.add([outside(tombstones, "a"), outside(tombstones, "b")])
    os.truncate(path, path.stat().st_size - 5)
    cut = Tombstones(home)
    assert (cut.has("outside", "a"), cut.has("outside", "b")) == (True, False)
    cut.add([outside(cut, "c")])
    assert [json.loads(line)["certificate"] for line in path.read_bytes().splitlines()] == ["c1", "c1"]
    assert tombstones.has("outside", "c")


def test_a_damaged_ledger_or_key_is_refused_by_name(home: Settings) -> None:
    tombstones = Tombstones(home)
    tombstones.add([outside(tombstones, "a")])
    (home.home / "erasure" / "tombstones.jsonl").write_bytes(b'{"kind": "no kind"}\n')
    with pytest.raises(DataError, match=r"tombstones\.jsonl holds no tombstone in a line"):
        Tombstones(home).has("outside", "a")
    (home.home / "erasure" / "key").write_bytes(b"short")
    with pytest.raises(DataError, match="is no key: it has 5 bytes"):
        Tombstones(home).digest("outside", "a")


def test_a_server_that_lost_its_tombstones_gets_them_back(client: redis.Redis, rows: "Rows", home: Settings) -> None:
    tombstones = Tombstones(home)
    assert restore(client, "p", tombstones) == 0
    tombstones.add([of_customer(tombstones, "7", NOON, "c1"), outside(tombstones, "7")])
    writer, target = OnlineWriter(client, "p", tombstones.of_entity), Target("v", owned=True)
    assert restore(client, "p", tombstones) == restore(client, "p", tombstones) == 1
    assert writer.write(target, ["7", "8"], [rows.pack(1, 1)] * 2) == Written(1, 1)
    assert client.hgetall(guard_key("p", bucket("7"))) == {
        tombstones.of_entity("7").encode(): str(int(NOON.timestamp() * 1000)).encode()
    }
