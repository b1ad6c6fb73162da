"""The consumer: every event counted once and landed once, whoever works, whatever the server forgets."""

import os
import signal
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from feature_repo.live import consumer
from feature_repo.live.consumer import Consumer, Progress
from feature_repo.live.group import Group, NotMineError
from feature_repo.live.replay import made_by
from feature_repo.live.rows import TARGET, LiveRows
from feature_repo.live.state import Row, pack
from feature_repo.warehouse import events as segments
from feature_repo.warehouse import vault
from motherlode import names, redis_server
from motherlode.errors import DataError, StoreError
from motherlode.events import BODY, Event, consumer_key, entry_id, position_of, stream_key
from motherlode.lock import exclusive
from motherlode.online.keys import entity_text
from motherlode.online.tombstones import Tombstone, Tombstones, of_customer
from motherlode.online.writer import OnlineWriter
from motherlode.packed import FORMAT_VERSION
from motherlode.packed.header import FORM
from motherlode.settings import Settings
from tests.feature_repo.live.shop import Shop, event, expected, known, online_key, some


def erased(shop: Shop, customer: str) -> None:
    """What an erasure leaves in the ledger and in the guards."""
    tombstones, now = Tombstones(shop.settings), datetime.now(UTC)
    tombstones.add([Tombstone(kind="outside", digest=tombstones.digest("outside", customer), at=now, certificate="c")])
    tombstones.add([of_customer(tombstones, entity_text((customer,)), now, "c")])
    OnlineWriter(shop.client, shop.settings.project, tombstones.of_entity).erase(customer, 1)


def taken(shop: Shop) -> Consumer:
    """A consumer that has read and counted what there is, and has landed nothing."""
    working = Consumer(shop.client, shop.settings, Progress(), threading.Event())
    working._take_over(False)
    working._do(working._group.take(1000))
    return working


def test_events_are_counted_landed_and_gone_from_the_stream(shop: Shop) -> None:
    shop.send(some(300))
    done = shop.drain()
    assert (done.landed, done.backlog, done.erased, done.damaged) == (300, 0, 0, 0)
    assert done.counted + done.nobodys == 300
    assert [row["event_id"] for row in shop.landed()] == [f"e{i}" for i in range(300)]
    assert known(shop.rows()) == expected(shop.landed())
    assert shop.client.xlen(stream_key(shop.settings.project)) == 0
    shop.send(some(50, seed=1, start=300))
    assert shop.drain().landed == 50
    assert known(shop.rows()) == expected(shop.landed())


def test_what_was_counted_and_not_landed_is_landed_by_the_next_one_and_counted_once(shop: Shop) -> None:
    shop.send(some(100))
    taken(shop)  # ends here, as if killed
    assert (shop.landed(), known(shop.rows())["1"]["events"] > 0) == ([], True)
    done = shop.drain()
    assert (done.counted, done.landed) == (0, 100)
    assert known(shop.rows()) == expected(shop.landed())


def test_what_was_landed_and_not_deleted_is_landed_once(shop: Shop) -> None:
    shop.send(some(100))
    working = taken(shop)
    working._save()  # landed; killed before it told the server
    assert shop.client.xlen(stream_key(shop.settings.project)) == 100
    assert (shop.drain().landed, len(shop.landed())) == (0, 100)
    assert shop.client.xlen(stream_key(shop.settings.project)) == 0


def test_a_server_that_lost_everything_gets_its_rows_from_raw(shop: Shop) -> None:
    shop.send(some(100))
    shop.drain()
    before = shop.rows()
    shop.client.flushall()
    shop.send(some(20, seed=2, start=100))
    done = shop.drain()
    assert (done.replayed > 0, done.landed) == (True, 20)
    assert known(shop.rows()) == expected(shop.landed())
    assert shop.rows().keys() >= before.keys()


def test_a_server_that_lost_its_last_second_gets_what_raw_has_more(shop: Shop) -> None:
    """What a machine's crash leaves: a state that was whole a moment ago, while raw is further."""
    shop.send(some(60))
    shop.drain()
    kept = {key: shop.client.dump(key) for key in shop.client.keys("*")}
    shop.send(some(60, seed=3, start=60))
    shop.drain()
    after = shop.rows()
    shop.client.flushall()
    for key, value in kept.items():
        shop.client.restore(key, 0, value)
    assert shop.drain().replayed > 0
    assert shop.rows() == after
    assert shop.drain().replayed == 0


def test_rows_of_an_erased_customer_are_neither_counted_nor_landed(shop: Shop) -> None:
    shop.send([event(1, 1), event(2, 2)])
    shop.drain()
    erased(shop, "1")
    shop.send([event(3, "1"), event(4, 2), event(5, 1)])
    done = shop.drain()
    assert (done.erased, done.counted, done.landed) == (2, 1, 1)
    assert shop.rows().keys() == {"2"}
    assert [row["event_id"] for row in shop.landed()] == ["e1", "e2", "e4"]
    assert shop.client.xlen(stream_key(shop.settings.project)) == 0


def test_an_erasure_between_counting_and_landing_leaves_nothing(shop: Shop) -> None:
    shop.send([event(1, 1), event(2, 2)])
    working = taken(shop)
    erased(shop, "1")
    working._land_all()
    assert [row["event_id"] for row in shop.landed()] == ["e2"]
    assert shop.rows().keys() == {"2"}


def test_an_entry_that_was_deleted_or_is_no_event_is_passed_over(shop: Shop) -> None:
    key = stream_key(shop.settings.project)
    shop.send([event(1, 1), event(2, 2), event(3, 3)])
    taken(shop)
    shop.client.xdel(key, shop.client.xrange(key)[1][0])
    last = position_of(shop.client.xinfo_stream(key)["last-generated-id"])
    shop.client.xadd(key, {BODY: b"{"}, id=entry_id(last + 1))
    shop.client.xadd(key, {b"other": b"x"})
    assert shop.drain().landed == 2
    assert [row["event_id"] for row in shop.landed()] == ["e1", "e3"]
    assert (shop.client.xlen(key), shop.client.xpending(key, "motherlode")["pending"]) == (0, 0)


def test_a_consumer_that_was_asleep_takes_and_deletes_nothing_any_more(shop: Shop) -> None:
    elsewhere = replace(shop.settings, home=shop.settings.home / "elsewhere")
    first, second = Group(shop.client, shop.settings), Group(shop.client, elsewhere)
    first.prepare(0)
    shop.send([event(1, 1)])
    assert len(first.take(10).events) == 1
    with pytest.raises(NotMineError):
        second.take(10)
    shop.client.hset(consumer_key(shop.settings.project), "until", 1)  # as if it had slept through its lease
    found = second.take(10, after=0)
    assert [it.event_id for _, it in found.events] == ["e1"], "what the first one had read"
    shop.send([event(2, 2)])
    with pytest.raises(NotMineError):
        first.take(10)
    with pytest.raises(NotMineError):
        first.done([found.events[0][0]])
    assert shop.client.xlen(stream_key(shop.settings.project)) == 2
    assert len(second.take(10).events) == 1


def test_a_row_that_is_older_than_what_lies_there_changes_nothing(shop: Shop) -> None:
    """What a consumer that was asleep writes when it wakes up."""
    rows = LiveRows(shop.client, shop.settings.project, shop.settings.identity, lambda entity: entity)
    rows.declare()
    all_of_one = [(i + 1, each) for i, each in enumerate(_timed(20))]
    rows.count(all_of_one)
    whole = shop.rows()
    old = Row()
    for each in all_of_one[:10]:
        old.count(*each)
    OnlineWriter(shop.client, shop.settings.project, str).write(TARGET, ["1"], pack([old]))
    assert shop.rows() == whole


def _timed(count: int) -> list[Event]:
    return [event(i, 1, event_timestamp=datetime(2026, 1, 1, 0, 0, i * 7 % 20, tzinfo=UTC)) for i in range(count)]


def test_a_damaged_row_is_left_alone_told_of_and_made_anew_by_a_replay(shop: Shop) -> None:
    shop.send([event(1, 1), event(2, 2)])
    shop.drain()
    key = online_key(shop.settings, "1")
    row: Any = shop.client.get(key)
    shop.client.set(key, row[:-1] + bytes([row[-1] ^ 1]))
    shop.send([event(3, 1), event(4, 2)])
    done = shop.drain()
    assert (done.damaged, done.counted, done.landed) == (1, 1, 2)
    shop.drain(anew=True)
    assert known(shop.rows()) == expected(shop.landed())


def test_a_second_process_waits_and_takes_over(shop: Shop) -> None:
    stop = threading.Event()
    told: list[str] = []
    with exclusive(shop.settings, "stream"):
        with pytest.raises(StoreError, match="is being changed by process"):
            shop.drain()
        waiting = threading.Thread(
            target=lambda: consumer.run(
                shop.settings, stop, land_s=0.05, on_progress=lambda progress: told.append(progress.state)
            )
        )
        waiting.start()
        shop.send(some(10))
        time.sleep(0.5)
        assert shop.landed() == []
    until = time.monotonic() + 20
    while len(shop.landed()) < 10 and time.monotonic() < until:
        time.sleep(0.05)
    stop.set()
    waiting.join()
    assert len(shop.landed()) == 10
    assert "reads" in told


def test_a_server_that_is_replaced_while_it_works_is_met_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "_GIVE_UP_S", 0.0)  # it is away, however long, and not given up
    """A named server that goes away and comes back: what was read is landed meanwhile, and nothing is lost."""
    home, stop = tmp_path / "consumer", threading.Event()
    with redis_server.running(Settings(home=tmp_path / "server")) as first, redis_server.connect(first) as client:
        settings = replace(first, home=home)
        shop = Shop(settings, client)
        shop.send(some(30))
        working = threading.Thread(target=lambda: consumer.run(settings, stop, land_s=0.05))
        working.start()
        _until(lambda: len(shop.landed()) == 30)
    with redis_server.running(Settings(home=tmp_path / "server")) as again, redis_server.connect(again) as client:
        shop = Shop(settings, client)
        shop.send(some(30, seed=4, start=30))
        _until(lambda: len(shop.landed()) == 60)
        stop.set()
        working.join()
        assert known(shop.rows()) == expected(shop.landed())


def _until(true: Any) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until, "it does not come to be"
        time.sleep(0.02)


def test_a_store_that_fails_and_is_not_away_is_told_of_once_and_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its embedded server was killed, and does not start any more."""
    monkeypatch.setattr(consumer, "_GIVE_UP_S", 1.0)
    settings = Settings(home=tmp_path / "home")
    failed: list[BaseException] = []
    told: list[str] = []

    def work() -> None:
        try:
            consumer.run(settings, threading.Event(), on_progress=lambda progress: told.append(progress.state))
        except StoreError as error:
            failed.append(error)

    working = threading.Thread(target=work)
    working.start()
    _until(lambda: "reads" in told)
    with redis_server.connect(settings.with_redis(f"unix://{redis_server.socket_path(settings)}")) as client:
        pid = int(client.info("server")["process_id"])
    (manifest,) = settings.valkey.glob("appendonlydir/*.manifest")
    manifest.write_text("no manifest")
    os.kill(pid, signal.SIGKILL)
    working.join(30)
    assert "does not start" in str(failed[0])
    ours = [record.getMessage() for record in caplog.records if record.name == consumer.__name__]
    assert len(ours) == len(set(ours)), "each once"
    assert sum("does not start" in each for each in ours) == 1


def test_what_is_no_lost_connection_is_borne_for_a_while_and_a_lost_one_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flips, away, denied = (StoreError(what, "") for what in ("flips", "away", "denied"))
    away.__cause__, denied.__cause__ = redis.ConnectionError("gone"), redis.AuthenticationError("no")
    troubles = consumer._Troubles()
    assert all(troubles.bear(error, anew=False) for error in (flips, away, denied, redis.ConnectionError("x")))
    assert not troubles.bear(redis.ResponseError("WRONGTYPE"), anew=False)
    assert not troubles.bear(redis.AuthenticationError("no"), anew=False)
    monkeypatch.setattr(consumer, "_GIVE_UP_S", 0.0)
    assert [troubles.bear(error, anew=False) for error in (flips, denied, away)] == [False, False, True]
    monkeypatch.setattr(consumer, "_GIVE_UP_S", 0.2)
    time.sleep(0.2)
    assert troubles.bear(flips, anew=True), "it had worked since"


def test_the_first_server_must_be_there(tmp_path: Path) -> None:
    nowhere = Settings(home=tmp_path, redis_url="redis://127.0.0.1:1/0")
    with pytest.raises(StoreError, match="does not answer"):
        consumer.run(nowhere, threading.Event())


def test_raw_that_cannot_be_written_ends_it_and_the_events_wait(shop: Shop) -> None:
    shop.send(some(10))
    segments.folder(shop.settings).parent.mkdir(parents=True)
    segments.folder(shop.settings).write_text("no folder")
    with pytest.raises(DataError, match="cannot be landed"):
        shop.drain()
    segments.folder(shop.settings).unlink()
    assert shop.drain().landed == 10
    assert known(shop.rows()) == expected(shop.landed())


def test_segments_are_encrypted_where_raw_is(shop: Shop) -> None:
    shop.settings = replace(shop.settings, raw_key="0123456789abcdef-raw")
    shop.send([event(1, "somebody@example.org")])
    shop.drain()
    (segment,) = segments.segments(shop.settings)
    assert vault.encrypted(segment.path)
    assert b"somebody" not in segment.path.read_bytes()
    assert [row[names.CUSTOMER_ID] for row in shop.landed()] == ["somebody@example.org"]


def test_under_a_pseudonym_key_rows_are_known_by_pseudonyms_and_a_new_key_makes_them_anew(shop: Shop) -> None:
    shop.send([event(1, 7)])
    shop.drain()
    assert shop.rows().keys() == {"7"}
    shop.settings = replace(shop.settings, pseudonym_key="0123456789abcdef")
    shop.send([event(2, 7)])
    assert shop.drain().replayed == 1
    assert shop.rows().keys() == {shop.settings.identity.join_key(7)}
    (row,) = known(shop.rows()).values()
    assert row["events"] == 2


@pytest.mark.parametrize("landed", [False, True])
def test_rows_of_another_format_are_made_anew_whether_or_not_anything_has_landed(shop: Shop, landed: bool) -> None:
    """The consumer of the version before was killed before its first landing, or after it."""
    shop.send([event(1, 7)])
    if landed:
        shop.drain()
    else:
        taken(shop)
    key, project = online_key(shop.settings, "7"), shop.settings.project
    shop.client.setrange(key, FORM, bytes([FORMAT_VERSION - 1]))
    mine = made_by(shop.settings)
    former = mine.removeprefix(f"{FORMAT_VERSION}-")
    assert former != mine
    shop.client.hset(consumer_key(project), "state", f"{FORMAT_VERSION - 1}-{former}")
    shop.send([event(2, 7)])
    done = shop.drain()
    assert (done.damaged, done.landed, done.replayed) == (0, 2 - landed, int(landed))
    (row,) = known(shop.rows()).values()
    assert row["events"] == 2


def test_what_a_killed_landing_left_is_cleared(shop: Shop) -> None:
    folder = segments.folder(shop.settings)
    folder.mkdir(parents=True)
    (folder / f".segment-{os.getpid()}-5").write_bytes(b"half")
    shop.send([event(1, 1)])
    shop.drain()
    assert [path.name for path in folder.iterdir()] == [segments.segments(shop.settings)[0].path.name]


def test_new_positions_follow_what_is_landed_even_on_a_server_that_knows_nothing(shop: Shop) -> None:
    shop.send([event(1, 1)])
    shop.drain()
    far = segments.landed_up_to(shop.settings) + 10**12
    (segment,) = segments.segments(shop.settings)
    segment.path.rename(segment.path.with_name(f"{segment.first}-{far}.parquet"))  # a clock that has gone back since
    shop.client.flushall()
    shop.drain()
    shop.send([event(2, 1)])
    assert shop.drain().landed == 1
    assert shop.landed()[-1]["position"] > far


def test_redis_errors_that_do_not_pass_end_it(shop: Shop) -> None:
    shop.client.set(stream_key(shop.settings.project), "no stream")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        shop.drain()
