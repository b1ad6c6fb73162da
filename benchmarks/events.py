"""Claim: under 1,000 events/s an event can be read in its customer's live row within 20 ms at p99.

`motherlode stream` counts events of 20,000 customers, which a process of its own appends; this one appends events of a
few more customers, one at a time, and asks for the row until the event is in it. `MOTHERLODE_BENCH_ROUNDS` names fewer
rounds.
"""

import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks.results import Row, publish
from motherlode import names, redis_server
from motherlode.events import Appender, Event
from motherlode.online.keys import entity_text
from motherlode.online.reader import RowReader
from motherlode.packed import created_us_of
from motherlode.settings import Settings, environment

ROUNDS: Final = 5
RATE: Final = 1_000
SECONDS: Final = 10.0
PROBED: Final = 50
CUSTOMERS, ITEMS = 20_000, 3_000
_BURST_S: Final = 0.002
_ASKED_EVERY_S: Final = 0.0003
_LOST_S: Final = 30.0
_MAPPING: Final = """
version: 1
company: A Shop
privacy: {pseudonym: none}
sources:
  lines: {files: lines.csv}
tables:
  transactions:
    from: lines
    columns: {customer_id: who, item_id: what, amount: paid, event_timestamp: at}
"""
"""A company, as `motherlode stream` wants one; its data are not read."""


def main() -> None:
    """Rounds of probes under load; medians of their centiles."""
    rounds = int(os.environ.get("MOTHERLODE_BENCH_ROUNDS", ROUNDS))
    motherlode = str(Path(sys.executable).with_name("motherlode"))
    with tempfile.TemporaryDirectory(prefix="motherlode bench ") as name:
        home = Path(name) / "home"
        Path(name, "motherlode.yaml").write_text(_MAPPING)
        with redis_server.running(Settings(home=home)) as settings:
            consumer = subprocess.Popen(
                [motherlode, "stream"],
                cwd=name,
                env=environment({"MOTHERLODE_HOME": str(home)}),
                stdout=subprocess.DEVNULL,
            )
            try:
                _probed(settings, 20)  # it is there
                found = [_under_load(settings, turn) for turn in range(rounds)]
            finally:
                consumer.send_signal(signal.SIGINT)
                consumer.wait(60)
    rows = [
        Row(
            f"append → readable, under {RATE:,} events/s, p{share}",
            median(float(np.percentile(each, share)) for each in found) * 1e3,
            "ms",
            goal="<= 20" if share == 99 else "",
        )
        for share in (50, 90, 99)
    ]
    publish("events", [*rows, Row("rounds, of which these are medians", rounds, "")])


def _under_load(settings: Settings, turn: int) -> list[float]:
    sender = subprocess.Popen([sys.executable, "-m", "benchmarks.events", "send", str(settings.redis_url)])
    try:
        time.sleep(1)
        taken = _probed(settings, int(SECONDS * 40))
    finally:
        sender.terminate()
        sender.wait()
    print(f"round {turn + 1}: {len(taken)} probes, p99 {np.percentile(taken, 99) * 1e3:.1f} ms")
    return taken


def _probed(settings: Settings, count: int) -> list[float]:
    """Seconds from the append of each of some events until its customer's row has it."""
    client = redis_server.connect(settings)
    appender, reader = Appender(client, settings.project), RowReader(client, settings.project)
    mark, taken = secrets.token_hex(4), []
    for i in range(count):
        customer = f"probe {i % PROBED}"
        event = Event(event_id=f"{mark}-{i}", customer_id=customer, item_id="1")
        started = time.perf_counter()
        position = appender.append_now([event]).position
        while _counted(reader, customer) < position:
            if time.perf_counter() - started > _LOST_S:
                sys.exit(f"Event {i} of {customer!r} was not counted within {_LOST_S:.0f} s.")
            time.sleep(_ASKED_EVERY_S)
        taken.append(time.perf_counter() - started)
        time.sleep(random.random() * 0.02)
    return taken


def _counted(reader: RowReader, customer: str) -> int:
    """Up to which position the customer's events are in the live row: its created time."""
    ((row,),) = reader.read([(names.LIVE, [entity_text([customer])])])
    position = None if row is None else created_us_of(row)
    return -1 if position is None else position


def _send(url: str) -> None:
    """Append events at the rate, until somebody ends it."""
    settings: Any = Settings(home=Path(), redis_url=url)
    appender = Appender(redis_server.connect(settings), settings.project)
    mark, sent, started = secrets.token_hex(4), 0, time.perf_counter()
    while True:
        due = min(int((time.perf_counter() - started) * RATE) - sent, 100)
        if due > 0:
            appender.append_now([_event(f"{mark}-{sent + i}") for i in range(due)])
            sent += due
        time.sleep(_BURST_S)


def _event(event_id: str) -> Event:
    customer, item = random.randrange(CUSTOMERS), random.randrange(ITEMS)
    return Event(event_id=event_id, event_type="view", customer_id=customer, item_id=str(item), page="/a/b")


if __name__ == "__main__":
    if sys.argv[1:2] == ["send"]:
        _send(sys.argv[2])
    else:
        main()
