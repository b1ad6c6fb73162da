"""Kills, of the consumer that works and of the server, while events flow: nothing is lost, nothing counts twice."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import redis

from motherlode import redis_server
from motherlode.events import Appender, Event
from motherlode.settings import Settings
from tests.feature_repo.live.shop import Shop, expected, known, landed, rows, some

CONSUMERS = 3
KILLS = 2
BATCH = 25

PROGRAM = """
import sys, threading
from pathlib import Path
from feature_repo.live import consumer
from motherlode.settings import Settings
consumer.run(Settings(home=Path(sys.argv[1])), threading.Event(), land_s=0.1)
"""


class Sender(threading.Thread):
    """Sends events until it is stopped, each batch until it is taken, as a client does that got no answer."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.sent: list[Event] = []
        self.stopped = threading.Event()
        self.again = 0

    def run(self) -> None:
        while not self.stopped.is_set():
            events = some(BATCH, seed=len(self.sent), start=len(self.sent))
            while True:
                try:
                    with redis_server.running(self.settings) as bound, redis_server.connect(bound) as client:
                        Appender(client, bound.project).append_now(events)
                    break
                except redis.RedisError:
                    self.again += 1
            self.sent += events
            time.sleep(0.01)


def test_every_event_is_landed_once_and_counted_once_through_kills_of_consumers_and_of_the_server(
    tmp_path: Path,
) -> None:
    draw = random.Random(5)
    settings = Settings(home=tmp_path / "home")
    consumers = [subprocess.Popen([sys.executable, "-c", PROGRAM, str(settings.home)]) for _ in range(CONSUMERS)]
    sender = Sender(settings)
    killed: set[int] = set()
    try:
        sender.start()
        for turn in range(KILLS):
            pid = _working(settings, killed)
            _moving(settings)
            time.sleep(draw.random() * 0.3)
            if turn % 2:
                os.kill(_server(settings), signal.SIGKILL)
                time.sleep(draw.random() * 0.2)
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        _working(settings, killed)
        os.kill(_server(settings), signal.SIGKILL)
        _moving(settings)
    finally:
        sender.stopped.set()
        sender.join()
        for each in consumers:
            each.kill()
            each.wait()
    with redis_server.running(settings) as bound, redis_server.connect(bound) as client:
        Shop(bound, client).drain()
        found = landed(settings)
        assert len(killed) == KILLS
        assert Counter(row["event_id"] for row in found) == Counter(event.event_id for event in sender.sent)
        counted = rows(client, bound)
        assert known(counted) == expected(found)
        Shop(bound, client).drain(anew=True)
        assert rows(client, bound) == counted


def _working(settings: Settings, killed: set[int]) -> int:
    """The consumer that works now, once it does."""
    for _ in range(600):
        told = settings.home / "stream.lock"
        text = told.read_text().partition(":")[0] if told.exists() else ""
        if text and int(text) not in killed:
            return int(text)
        time.sleep(0.05)
    raise AssertionError("no consumer took over")


def _moving(settings: Settings) -> None:
    """Wait until more is landed than is now."""
    before = len(list(settings.raw.rglob("*.parquet")))
    for _ in range(600):
        if len(list(settings.raw.rglob("*.parquet"))) > before + 1:
            return
        time.sleep(0.05)
    raise AssertionError("nothing is landed")


def _server(settings: Settings) -> int:
    with redis_server.running(settings) as bound, redis_server.connect(bound) as client:
        return int(client.info("server")["process_id"])
