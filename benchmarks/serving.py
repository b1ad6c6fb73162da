"""Claim: a full answer at ≥ 30 × the requests/s of stock parts under Ray Serve, p99 ≤ 10 ms at half the peak load.

A full answer is a customer's features from Redis (4 views × 30 float32, 20,000 customers, one embedded Valkey), segment
(scaler, PCA, k-means) and two scores of 200 boosted trees each. The peers are in `benchmarks/peers/`, of public parts:
the stock parts under Ray Serve as it comes, the same under uvicorn, a Ray Serve endpoint that does nothing, and `feast
serve`, which fetches the same features and nothing else. Ours runs in its default profile. Before a server is timed its
answers are held, within 1e-5, to those of the libraries that trained the models: a fast wrong answer is none.

The load generator has the last of this process' cores to itself; the Valkey and whatever is measured share all the
others (on two cores: one), and every server answers by one process a core. In each round every server starts, is asked
for all its figures, and ends before the next starts, so nothing idle runs beside what is measured. Figures are medians
of the rounds. Rates are wrk's; p99 at half the peak is `benchmarks/open_loop.py`'s. Our own empty endpoint is `GET
/healthz` of the same server: the same front, Ray and replica, and an answer of one constant; beside it stands the least
that `POST /v1/score` does, for an empty batch. `MOTHERLODE_BENCH_ROUNDS` names fewer rounds, `MOTHERLODE_BENCH_WIDTH`
another number of features a view.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import psutil
import redis

from benchmarks import load
from benchmarks.load import Load, closed
from benchmarks.online import valkey
from benchmarks.open_loop import opened
from benchmarks.peers import company, uvicorn_stock
from benchmarks.peers.company import Company
from benchmarks.peers.stock import SERVICE
from benchmarks.promise import BATCH, BATCHING, CLIENTS, EMPTY, FEAST, OURS, RAY, UVICORN, Figures, rows
from benchmarks.results import Row, publish
from benchmarks.servers import REPLICA, Asked, Running, running

ROUNDS: Final = 5
SECONDS: Final = 5
WARM_S: Final = 5
OPEN_S: Final = 10
TOLERANCE: Final = 1e-5
_CHECKED: Final = 25
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
    width = int(os.environ.get("MOTHERLODE_BENCH_WIDTH", company.WIDTH))
    busy = psutil.cpu_percent(interval=_LOOK_S)
    runs: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="motherlode bench ") as name:
        with alone() as core, valkey() as server:
            made = company.make(Path(name), server, width=width)
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
        asked = [Row(f"features a customer, of {company.VIEWS} views", company.VIEWS * width, "")]
        beside = [Row("other work on the machine before it began", busy, "%")]
        publish("serving", [*rows(medians), *asked, *beside, Row("rounds, of which these are medians", rounds, "")])


def _medians(runs: Sequence[Figures]) -> Figures:
    return {what: median(run[what] for run in runs) for what in runs[0]}


@contextmanager
def alone() -> Iterator[int]:
    """A core that only the load generator uses: this process and whatever it starts keep to the others.

    It ends the benchmark where there is one core in all.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("The load generator needs a core of its own: there is one core in all.")
    os.sched_setaffinity(0, cores[:-1])
    try:
        yield cores[-1]
    finally:
        os.sched_setaffinity(0, cores)


@dataclass(frozen=True)
class Bench:
    """What is asked, and how.

    Attributes:
        made: the customers.
        valkey: the process of the Valkey that holds both stores.
        core: the load generator's.
    """

    made: Company
    valkey: int
    core: int

    def ours(self, server: Running) -> Figures:
        """All figures of our server."""
        self.check(server, "/v1/score")
        closed(server.url("/v1/score"), self.bodies(1), CLIENTS, WARM_S, self.core)
        found, full = self.full(server, "/v1/score")
        found |= self.nothing(server, "empty", "/healthz", ()) | self.nothing(
            server, "no customer", "/v1/score", [_NOBODY]
        )
        half = opened(server.url("/v1/score"), self.bodies(1), full.rate / 2, OPEN_S, self.core)
        waited = {"half rate": half.rate, "half p50": half.p50_ms, "half p99": half.p99_ms}
        return {**found, **waited, "half failed": half.failed, "stalled": half.stalled_ms, **memory(server)}

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

    def batches(self, size: int = BATCH) -> list[list[int]]:
        """A thousand customers by chance, or more, so many a call."""
        random = np.random.default_rng(size)
        asked: list[list[int]] = random.integers(0, len(self.made.x), (max(1000 // size, 50), size)).tolist()
        return asked

    def bodies(self, size: int) -> list[str]:
        """What is posted for full answers of so many customers."""
        return [json.dumps({"customer_ids": each}) for each in self.batches(size)]

    def question(self, customers: Sequence[int]) -> dict[str, Any]:
        """What `feast serve` is asked."""
        return {"feature_service": SERVICE, "entities": {"customer_id": [str(each) for each in customers]}}

    def check(self, server: Running, path: str) -> None:
        """End the benchmark where an answer is not what the models say: a fast wrong answer is none."""
        for asked in (*self.batches(1)[:_CHECKED], self.batches()[0]):
            answer = server.ask(Asked(path, {"customer_ids": asked}))
            for customer, found in zip(asked, answer["results"], strict=True):
                segment, scores = self.made.expected(customer)
                worst = max(abs(found["scores"][name] - score) for name, score in scores.items())
                if found["customer_id"] != customer or found["segment"]["id"] != segment or not worst <= TOLERANCE:
                    sys.exit(f"{server.url(path)} answers {found}, the models say {segment}, {scores}.")

    def check_features(self, server: Running) -> None:
        """The same of `feast serve`."""
        customers = self.batches()[0]
        answer = server.ask(Asked("/get-online-features", self.question(customers)))
        named = [name for columns in self.made.columns.values() for name in columns]
        found = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
        values = np.array([found[name]["values"] for name in named], dtype=np.float32).T
        if not np.array_equal(values, self.made.x[customers]):
            sys.exit("feast serve answers other features than were written.")


def scored(answer: Any) -> bool:
    """Whether an answer holds every score: without features there is one too, which says so."""
    return all(score is not None for each in answer["results"] for score in each["scores"].values())


def memory(server: Running) -> Figures:
    """MB of the replica's process, and of all."""
    return {"replica": server.pss(REPLICA) / _MB, "all": server.pss() / _MB}


def _kinds(bench: Bench) -> dict[str, Kind]:
    folder, home = str(bench.made.feast), str(bench.made.settings.home)
    tools = Path(sys.executable)
    replicas = str(len(os.sched_getaffinity(0)))
    score, threads = {"customer_ids": [1]}, {"OMP_NUM_THREADS": "1"}
    url = bench.made.settings.redis_url
    assert url is not None
    tuned = ["--workers", replicas, "--no-access-log", "--registry_ttl_sec", "600", "--max-requests", "0"]

    def ours(port: int) -> list[str]:
        options = ["--home", home, "--port", str(port), "--replicas", replicas]
        return [str(tools.with_name("motherlode")), "serve", *options]

    def on_ray(module: str, *arguments: str) -> Callable[[int], list[str]]:
        return lambda port: [str(tools), "-m", f"benchmarks.peers.{module}", replicas, *arguments, str(port)]

    def uvicorn(port: int) -> list[str]:
        factory = f"{uvicorn_stock.__name__}:{uvicorn_stock.build.__name__}"
        at = ["--port", str(port), "--workers", replicas, "--no-access-log"]
        return [str(tools), "-m", "uvicorn", "--factory", factory, *at]

    def feast(port: int) -> list[str]:
        return [str(tools.with_name("feast")), "-c", folder, "serve", "--port", str(port), *tuned]

    return {
        OURS: Kind(ours, Asked("/v1/score", score, scored), {"REDIS_URL": url}, bench.ours),
        RAY: Kind(on_ray("ray_stock", folder), Asked("/score", score, scored), threads, bench.stock),
        UVICORN: Kind(uvicorn, Asked("/score", score, scored), {**threads, uvicorn_stock.FOLDER: folder}, bench.stock),
        EMPTY: Kind(on_ray("ray_empty"), Asked("/"), {}, bench.empty),
        FEAST: Kind(feast, Asked("/get-online-features", bench.question([1])), threads, bench.feast),
    }


if __name__ == "__main__":
    main()
