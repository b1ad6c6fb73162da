"""Claim: one replica a core pays: full answers/s on all cores, with one replica and with one a core.

Our server alone, asked as in `benchmarks/serving.py`, but wrk, HAProxy and the Valkey share all cores with the
replicas, as where everything runs on one machine. Both servers in turns, medians. `MOTHERLODE_BENCH_ROUNDS` names fewer
rounds, `MOTHERLODE_BENCH_FEATURES` another number of features.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import load
from benchmarks.full_answer import FIRST, PATH, Questions, asked_features, ours, redis_of, replicas
from benchmarks.load import Load, closed
from benchmarks.online import valkey
from benchmarks.peers import company
from benchmarks.results import Row, publish
from benchmarks.servers import running

ROUNDS: Final = 2
CLIENTS: Final = 64
SECONDS: Final = 5
WARM_S: Final = 4


def main() -> None:
    """One replica and one a core, in turns."""
    load.require()
    rounds, features = int(os.environ.get("MOTHERLODE_BENCH_ROUNDS", ROUNDS)), asked_features()
    found: dict[int, list[Load]] = {count: [] for count in sorted({1, replicas()})}
    with tempfile.TemporaryDirectory(prefix="motherlode bench ") as name, valkey() as store:
        made = company.make(Path(name), store, features=features, peers=False)
        asked = Questions(made)
        for turn in range(min(rounds, ROUNDS)):
            for count, loads in found.items():
                with running(ours(made, count), FIRST, redis_of(made)) as server:
                    asked.check(server)
                    closed(server.url(PATH), asked.bodies(1), CLIENTS, WARM_S)
                    loads.append(closed(server.url(PATH), asked.bodies(1), CLIENTS, SECONDS))
                print(f"round {turn + 1}: replicas {count}: {loads[-1].rate:.0f} requests/s", flush=True)
    publish("replicas", rows(found))


def rows(found: Mapping[int, Sequence[Load]]) -> list[Row]:
    """What is told of each number of replicas, the fewest first."""
    least = min(found)
    alone = median(each.rate for each in found[least])
    told = [Row("cores, which wrk shares", replicas(), "")]
    for count, loads in sorted(found.items()):
        rate, p99 = median(each.rate for each in loads), median(each.p99_ms for each in loads)
        peer, ratio, goal = ("", None, "") if count == least else (f"replicas: {least}", rate / alone, "ratio > 1")
        told.append(Row(f"full answers, {CLIENTS} clients, replicas: {count}", rate, "requests/s", peer, ratio, goal))
        told.append(Row(f"p99 then, replicas: {count}", p99, "ms"))
    return [*told, Row("rounds, of which these are medians", len(found[least]), "")]


if __name__ == "__main__":
    main()
