"""Claim: a full answer at ≥ 30 × the requests/s of stock parts under Ray Serve, p99 ≤ 10 ms at half the peak load.

A full answer is a customer's 30 features from Redis (float32 in 4 views, 20,000 customers, one embedded Valkey),
segment (scaler, PCA, k-means) and two scores of 200 boosted trees each. The peers are in `benchmarks/peers/`, of public
parts: the stock parts under Ray Serve as it comes, the same under uvicorn, a Ray Serve endpoint that does nothing, and
`feast serve`, which fetches the same features and nothing else. Ours runs in its default profile. Before a server is
timed its answers are held, within 1e-5, to those of the libraries that trained the models: a fast wrong answer is none.

The load generator has the last of this process' cores to itself; the Valkey and whatever is measured share all the
others (on two cores: one), and every server answers by one process a core. In each round every server starts, is asked
for all its figures, and ends before the next starts, so nothing idle runs beside what is measured. Figures are medians
of the rounds. Rates are wrk's; p99 at half the peak is `benchmarks/open_loop.py`'s. Our own empty endpoint is `GET
/healthz` of the same server: the same HAProxy, Ray, replica and front, and an answer of one constant; beside it stands
the least that `POST /v1/score` does, lock, log and metrics included, for an empty batch. `MOTHERLODE_BENCH_ROUNDS`
names fewer rounds, `MOTHERLODE_BENCH_FEATURES` another number of features, such as the 120 of 4 views × 30.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import psutil
import redis

from benchmarks import load
from benchmarks.full_answer import FIRST, PATH, Questions, alone, asked_features, ours, redis_of, replicas, scored
from benchmarks.load import Load, closed
from benchmarks.online import valkey
from benchmarks.open_loop import Order, opened
from benchmarks.peers import company, uvicorn_stock
from benchmarks.peers.stock import SERVICE
from benchmarks.promise import BATCH, BATCHING, CLIENTS, EMPTY, FEAST, OURS, RAY, UVICORN, Figures, rows
from benchmarks.results import Row, publish
from benchmarks.servers import REPLICA, Asked, Running, running

ROUNDS: Final = 5
SECONDS: Final = 5
WARM_S: Final = 4
OPEN_S: Final = 10
_LOOK_S: Final = 2.0
_NOBODY: Final = json.dumps({"customer_ids": []})
_MB: Final = 2**20


@dataclass(frozen=True)
class Kind:
    """A server to measure.

    Attributes:
        command: of a port.
        first: what it must answer before it is ready.
        env: what its environment has beside ours.
        measure: its figures.
    """

    command: Callable[[int], Sequence[str]]
    first: Asked
    env: Mapping[str, str]
    measure: Callable[[Running], Figures]


def main() -> None:
    """Every server in turns; medians."""
    load.require()
    rounds = int(os.environ.get("MOTHERLODE_BENCH_ROUNDS", ROUNDS))
    features = asked_features()
    busy = psutil.cpu_percent(interval=_LOOK_S)
    runs: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="motherlode bench ") as name:
        with alone() as core, valkey() as server:
            made = company.make(Path(name), server, features=features)
            with redis.Redis(port=server.port) as client:
                store: Any = client.info("server")
            kinds = _kinds(Bench(made, int(store["process_id"]), core))
            for turn in range(rounds):
                for called, kind in kinds.items():
                    with running(kind.command, kind.first, kind.env) as found:
                        figures = {"cold start": found.cold_s, **kind.measure(found)}
                    runs.setdefault(called, []).append(figures)
                    told = ", ".join(f"{what} {value:.4g}" for what, value in figures.items())
                    print(f"round {turn + 1}: {called}: {told}", flush=True)
        medians = {called: _medians(each) for called, each in runs.items()}
        asked = [Row(f"features a customer, in {company.VIEWS} views", features, "")]
        beside = [Row("other work on the machine before it began", busy, "%")]
        publish(
            "serving",
            [*rows(medians, features), *asked, *beside, Row("rounds, of which these are medians", rounds, "")],
        )


def _medians(runs: Sequence[Figures]) -> Figures:
    return {what: median(run[what] for run in runs) for what in runs[0]}


@dataclass(frozen=True)
class Bench(Questions):
    """What is asked, and how.

    Attributes:
        valkey: the process of the Valkey that holds both stores.
        core: the load generator's.
    """

    valkey: int
    core: int

    def ours(self, server: Running) -> Figures:
        """All figures of our server."""
        self.check(server)
        closed(server.url(PATH), self.bodies(1), CLIENTS, WARM_S, self.core)
        found, full = self.full(server, PATH)
        found |= self.nothing(server, "empty", "/healthz", ())
        found |= self.nothing(server, "no customer", PATH, [_NOBODY])
        before = server.cpu_s()
        half = opened(Order(server.url(PATH), self.bodies(1), full.rate / 2, OPEN_S), self.core)
        found |= {"half CPU": (server.cpu_s() - before) / half.sent, "half failed": half.refused + half.failed}
        found |= {"half rate": half.rate, "half p50": half.ms(50), "half p99": half.ms(99)}
        return {**found, "stalled": half.stalled_s * 1e3, **memory(server)}

    def stock(self, server: Running) -> Figures:
        """All figures of the stock parts."""
        self.check(server, "/score")
        closed(server.url("/score"), self.bodies(1), CLIENTS, WARM_S, self.core)
        found, _ = self.full(server, "/score")
        return {**found, **memory(server)}

    def empty(self, server: Running) -> Figures:
        """What an empty endpoint takes."""
        closed(server.url("/"), (), CLIENTS, WARM_S, self.core)
        return {"single": closed(server.url("/"), (), CLIENTS, SECONDS, self.core).rate}

    def feast(self, server: Running) -> Figures:
        """What `feast serve` takes of a hundred customers a call."""
        self.check_features(server)
        url, bodies = server.url("/get-online-features"), [json.dumps(self.question(each)) for each in self.batches()]
        closed(url, bodies, BATCHING, WARM_S, self.core)
        return {"batch": closed(url, bodies, BATCHING, SECONDS, self.core).rate}

    def full(self, server: Running, path: str) -> tuple[Figures, Load]:
        """Full answers: rates, and CPU time a request."""
        before, beside = server.cpu_s(), self.valkey_s()
        full = closed(server.url(path), self.bodies(1), CLIENTS, SECONDS, self.core)
        spent, store = server.cpu_s() - before, self.valkey_s() - beside
        one = closed(server.url(path), self.bodies(1), 1, SECONDS, self.core)
        before = server.cpu_s()
        many = closed(server.url(path), self.bodies(BATCH), BATCHING, SECONDS, self.core)
        found = {"single": full.rate, "p99": full.p99_ms, "one p50": one.p50_ms, "batch": many.rate}
        found |= {"CPU": spent / full.requests, "batch CPU": (server.cpu_s() - before) / many.requests}
        return {**found, "Valkey CPU": store / full.requests}, full

    def nothing(self, server: Running, what: str, path: str, bodies: Sequence[str]) -> Figures:
        """Answers that need no features: their rate, and CPU time a request."""
        before = server.cpu_s()
        taken = closed(server.url(path), bodies, CLIENTS, SECONDS, self.core)
        return {what: taken.rate, f"{what} CPU": (server.cpu_s() - before) / taken.requests}

    def valkey_s(self) -> float:
        """CPU seconds of the Valkey so far."""
        times = psutil.Process(self.valkey).cpu_times()
        return float(times.user + times.system)

    def question(self, customers: Sequence[int]) -> dict[str, Any]:
        """What `feast serve` is asked."""
        return {"feature_service": SERVICE, "entities": {"customer_id": [str(each) for each in customers]}}

    def check_features(self, server: Running) -> None:
        """The same of `feast serve`."""
        customers = self.batches()[0]
        answer = server.ask(Asked("/get-online-features", self.question(customers)))
        named = [name for columns in self.made.columns.values() for name in columns]
        found = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
        values = np.array([found[name]["values"] for name in named], dtype=np.float32).T
        if not np.array_equal(values, self.made.x[customers]):
            sys.exit("feast serve answers other features than were written.")


def memory(server: Running) -> Figures:
    """MB of the replica's process, and of all."""
    return {"replica": server.pss(REPLICA) / _MB, "all": server.pss() / _MB}


def _kinds(bench: Bench) -> dict[str, Kind]:
    folder, count = str(bench.made.feast), str(replicas())
    tools = Path(sys.executable)
    score, threads = Asked("/score", {"customer_ids": [1]}, scored), {"OMP_NUM_THREADS": "1"}
    tuned = ["--workers", count, "--no-access-log", "--registry_ttl_sec", "600", "--max-requests", "0"]

    def on_ray(module: str, *arguments: str) -> Callable[[int], list[str]]:
        return lambda port: [str(tools), "-m", f"benchmarks.peers.{module}", count, *arguments, str(port)]

    def uvicorn(port: int) -> list[str]:
        factory = f"{uvicorn_stock.__name__}:{uvicorn_stock.build.__name__}"
        at = ["--port", str(port), "--workers", count, "--no-access-log"]
        return [str(tools), "-m", "uvicorn", "--factory", factory, *at]

    def feast(port: int) -> list[str]:
        return [str(tools.with_name("feast")), "-c", folder, "serve", "--port", str(port), *tuned]

    return {
        OURS: Kind(ours(bench.made, replicas()), FIRST, redis_of(bench.made), bench.ours),
        RAY: Kind(on_ray("ray_stock", folder), score, threads, bench.stock),
        UVICORN: Kind(uvicorn, score, {**threads, uvicorn_stock.FOLDER: folder}, bench.stock),
        EMPTY: Kind(on_ray("ray_empty"), Asked("/"), {}, bench.empty),
        FEAST: Kind(feast, Asked("/get-online-features", bench.question([1])), threads, bench.feast),
    }


if __name__ == "__main__":
    main()
