"""Who was erased stays known, and by nothing that names them."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import redis

from motherlode.errors import DataError, StoreError
from motherlode.online import live
from motherlode.online.keys import bucket, guard_key
from motherlode.online.tombstones import Tombstone, Tombstones, ensure, of_customer, restore, written
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
    with pytest.raises(DataError, match=r"Line 1 of .*tombstones\.jsonl is no tombstone"):
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


def test_a_ledger_that_another_takes_the_place_of_is_read_from_its_beginning(home: Settings) -> None:
    """As `motherlode restore --force` does below a server that runs."""
    known, ledger = Tombstones(home), home.home / "erasure" / "tombstones.jsonl"
    known.add([outside(known, "a")])
    assert known.has("outside", "a")
    longer = ledger.with_name("another")
    others = [outside(known, each) for each in "bcd"]
    longer.write_bytes(written(msgspec.structs.replace(each, certificate="of another length") for each in others))
    longer.replace(ledger)
    assert [known.has("outside", each) for each in "bcd"] == [True, True, True]


def test_threads_that_share_a_ledger_read_it_once_each_line(home: Settings) -> None:
    writer = Tombstones(home)
    writer.add([outside(writer, "0")])
    shared = Tombstones(home)
    with ThreadPoolExecutor(8) as pool:
        for number in range(1, 40):
            writer.add([outside(writer, str(number))])
            assert all(pool.map(lambda _, each=str(number): shared.has("outside", each), range(16)))
    assert len(shared) == 40


def erased(client: redis.Redis, ledger: Tombstones, entity: str) -> None:
    ledger.add([of_customer(ledger, entity, datetime(2026, 1, 1, tzinfo=UTC), "c")])
    restore(client, "p", ledger)


def test_a_server_that_lost_its_data_or_some_of_it_knows_the_erased_again_before_a_row_is_written(
    client: redis.Redis, tmp_path: Path
) -> None:
    ledger = Tombstones(Settings(home=tmp_path))
    ensure(client, "p", ledger)
    assert client.keys("p/*") == [], "where nobody was erased nothing is kept"
    for entity in ("anna", "bert"):
        erased(client, ledger, entity)
    writer, target = OnlineWriter(client, "p", ledger.of_entity), Target("v", owned=True)
    for lost in ("p/*", guard_key("p", bucket("bert"))):
        client.delete(*client.keys(lost))  # type: ignore[misc]
        live.switch(client, "p", lambda now: msgspec.structs.replace(now, views={"v": 0}))
        assert writer.erased(["anna", "bert"]) != [True, True]
        ensure(client, "p", ledger)
        assert writer.write(target, ["anna", "bert", "cleo"], [b"x" * 32] * 3).refused == 2


def test_who_has_another_key_or_none_is_refused_and_makes_none(client: redis.Redis, tmp_path: Path) -> None:
    erased(client, Tombstones(Settings(home=tmp_path / "first")), "anna")
    for settings in (
        Settings(home=tmp_path / "second"),
        Settings(home=tmp_path / "third", erasure_key="another key of sixteen bytes"),
    ):
        with pytest.raises(StoreError, match="by another erasure key"):
            ensure(client, "p", Tombstones(settings))
        assert not settings.home.exists(), "a key of its own would know nobody"
    ensure(client, "q", Tombstones(Settings(home=tmp_path / "second")))
