"""Claim: at twice its capacity a server keeps ≥ 90 % of its goodput, and twenty changes of bundle lose no request.

Full answers as in `benchmarks/serving.py`, of our server alone, the load generator on a core of its own. Requests come
at random times whether or not earlier ones were answered (`benchmarks/open_loop.py`).

*Overload*: capacity is wrk's closed-loop rate, measured again in each round right before; then requests come at that
rate, then at twice it. Goodput is answers of 200 within a second of when they were due. Whatever is not 200 is to be
429. The generator asks HAProxy's own answers at 20,000 requests/s, so it is not the one that is too slow; the longest
that it stood still is told.

*Swaps*: at half the capacity, stretches without and with swaps in turns. Two bundles of the same models, 1 replica a
core: each is made current in turn, and the next once fresh connections are answered by it alone, which is loading,
verifying, three seconds in shadow and the change. p99 is of all requests of all stretches of a kind. It is one round:
there are twenty swaps in it. `MOTHERLODE_BENCH_ROUNDS` names fewer rounds of overload, `MOTHERLODE_BENCH_FEATURES`
another number of features.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from benchmarks import load
from benchmarks.full_answer import FIRST, PATH, Questions, alone, asked_features, ours, redis_of, replicas
from benchmarks.load import closed
from benchmarks.online import valkey
from benchmarks.open_loop import Flow, Order, Taken, flowing, opened, together
from benchmarks.peers import company
from benchmarks.promise import CLIENTS
from benchmarks.results import Row, publish
from benchmarks.servers import Asked, Running, running
from motherlode import bundles

ROUNDS: Final = 5
STRETCHES: Final = 4
SWAPS: Final = 20
SECONDS: Final = 5
OPEN_S: Final = 6
STEADY_S: Final = 20
WARM_S: Final = 8
GOOD_S: Final = 1.0
"""An answer that comes later is none to whoever asked."""
_CONNECTIONS: Final = 512
_LONGEST_S: Final = 600.0
_SWAP_S: Final = 30.0
_LOOK_S: Final = 0.2
_BUSY_S: Final = 2.0


@dataclass(frozen=True)
class Overload:
    """One round.

    Attributes:
        peak: requests/s in a closed loop.
        once, twice: at that rate, and at twice it.
    """

    peak: float
    once: Taken
    twice: Taken


@dataclass(frozen=True)
class Swaps:
    """All stretches, in turns.

    Attributes:
        steady: without a swap.
        swapped: with swaps.
        took_s: of each swap that was seen, from the pointer's change until every answer was the new bundle's.
    """

    steady: Sequence[Taken]
    swapped: Sequence[Taken]
    took_s: Sequence[float]


def main() -> None:
    """One server: overload, then swaps."""
    load.require()
    rounds, features = int(os.environ.get("MOTHERLODE_BENCH_ROUNDS", ROUNDS)), asked_features()
    busy = psutil.cpu_percent(interval=_BUSY_S)
    with tempfile.TemporaryDirectory(prefix="motherlode bench ") as name, alone() as core, valkey() as store:
        made = company.make(Path(name), store, features=features, peers=False)
        company.publish_bundle(made, datetime.now(UTC) + timedelta(seconds=1))
        with running(ours(made, replicas()), FIRST, redis_of(made)) as server:
            bench = Bench(made, server, core)
            bench.check(server)
            closed(server.url(PATH), bench.bodies(1), CLIENTS, WARM_S, core)
            overloads = [bench.overload(turn) for turn in range(rounds)]
            swaps = bench.swaps(median(each.peak for each in overloads) / 2)
    asked = Row(f"features a customer, in {company.VIEWS} views", features, "")
    beside = Row("other work on the machine before it began", busy, "%")
    publish("faults", [*overload_rows(overloads), *swap_rows(swaps), asked, beside])


@dataclass(frozen=True)
class Bench(Questions):
    """What is asked, and of whom.

    Attributes:
        server: ours.
        core: the load generator's.
    """

    server: Running
    core: int

    def order(self, rate: float, seconds: float, seed: int) -> Order:
        """Full answers of one customer each."""
        return Order(self.server.url(PATH), self.bodies(1), rate, seconds, _CONNECTIONS, seed)

    def overload(self, turn: int) -> Overload:
        """One round."""
        peak = closed(self.server.url(PATH), self.bodies(1), CLIENTS, SECONDS, self.core).rate
        once, twice = (opened(self.order(times * peak, OPEN_S, turn), self.core) for times in (1, 2))
        told = f"{once.good(GOOD_S):.0f} of {peak:.0f}/s, {twice.good(GOOD_S):.0f} of {2 * peak:.0f}/s"
        print(f"round {turn + 1}: good answers {told}, {twice.refused} refused, {twice.failed} failed", flush=True)
        return Overload(peak, once, twice)

    def swaps(self, rate: float) -> Swaps:
        """All stretches."""
        steady: list[Taken] = []
        swapped: list[Taken] = []
        took_s: list[float] = []
        for turn in range(STRETCHES):
            steady.append(opened(self.order(rate, STEADY_S, turn), self.core))
            with flowing(self.order(rate, _LONGEST_S, turn), self.core) as flow:
                took_s += self._swapping(flow)
                swapped.append(flow.taken())
            told = f"p99 {steady[-1].ms(99):.1f} ms steady, {swapped[-1].ms(99):.1f} ms through swaps"
            print(f"stretch {turn + 1}: {told}, bundles {swapped[-1].bundles}", flush=True)
        return Swaps(steady, swapped, took_s)

    def _swapping(self, flow: Flow) -> Iterator[float]:
        for _ in range(SWAPS // STRETCHES):
            took_s = self._swap()
            if took_s is not None:
                yield took_s
        flow.stop()

    def _swap(self) -> float | None:
        """Make the other bundle current; seconds until it answers, None where it did not come to that."""
        models, before = self.made.settings.models, self._serving()
        (version,) = set(bundles.versions(models)) - {before}
        began = time.perf_counter()
        bundles.flip(models, version)
        while time.perf_counter() < began + _SWAP_S:
            time.sleep(_LOOK_S)
            if all(self._serving() == version for _ in range(3 * replicas())):
                return time.perf_counter() - began
        return None

    def _serving(self) -> str:
        """The version that a fresh connection is answered by."""
        return str(self.server.ask(Asked(PATH, FIRST.body))["bundle"])


def overload_rows(rounds: Sequence[Overload]) -> Iterator[Row]:
    """What is told of overload."""
    peak = median(each.peak for each in rounds)
    once, twice = (median(taken.good(GOOD_S) for taken in each) for each in zip(*map(_both, rounds), strict=True))
    share = median(each.twice.good(GOOD_S) / each.once.good(GOOD_S) for each in rounds)
    yield Row(f"peak, {CLIENTS} clients in a closed loop", peak, "requests/s")
    yield Row("good answers, asked at the peak's rate", once, "requests/s", "the peak", once / peak)
    what = "good answers, asked at twice the peak's rate"
    yield Row(what, twice, "requests/s", "asked at the peak's rate", share, "ratio >= 0.9")
    yield Row(what, twice, "requests/s", "the peak", median(each.twice.good(GOOD_S) / each.peak for each in rounds))
    yield Row("p99 of the good answers then", median(each.twice.good_ms(99) for each in rounds), "ms")
    yield Row("requests refused with 429 then", median(each.twice.refused / each.twice.sent for each in rounds), "")
    wrong = sum(taken.failed for each in rounds for taken in _both(each))
    yield Row("requests of both with another status, or no answer, in all rounds", wrong, "", goal="<= 0")
    stalled = max(taken.stalled_s for each in rounds for taken in _both(each))
    yield Row("longest pause of the load generator then", stalled * 1e3, "ms")
    yield Row("rounds of overload, of which these are medians", len(rounds), "")


def _both(each: Overload) -> tuple[Taken, Taken]:
    return each.once, each.twice


def swap_rows(swaps: Swaps) -> Iterator[Row]:
    """What is told of swaps."""
    steady, swapped = together(swaps.steady), together(swaps.swapped)
    times = swapped.ms(99) / steady.ms(99)
    peer = f"without swaps, {steady.ms(99):.3g} ms"
    yield Row("bundles swapped under load", len(swaps.took_s), "", goal=f">= {SWAPS}")
    lost, before = (f"{each.refused} of 429, {each.failed} failed" for each in (swapped, steady))
    what = f"requests without a 200 meanwhile: {lost}"
    yield Row(what, swapped.refused + swapped.failed, "", f"without swaps: {before}", goal="<= 0")
    what = f"p99 at half the peak, {swapped.rate:,.0f} requests/s, through swaps"
    yield Row(f"{what}, times that without", times, "×", peer, 1 / times, "<= 1.5")
    yield Row(what, swapped.ms(99), "ms", peer, 1 / times)
    longest = steady.good_ms(100)
    yield Row("longest wait for a 200 then", swapped.good_ms(100), "ms", f"without swaps, {longest:.3g} ms")
    worst = max(one.ms(99) / other.ms(99) for one, other in zip(swaps.swapped, swaps.steady, strict=True))
    yield Row("the same in the worst of the stretches, beside the one before it", worst, "×")
    yield Row("requests in these stretches", swapped.sent, "", f"without swaps, {steady.sent:,}")
    yield Row("longest pause of the load generator then", max(swapped.stalled_s, steady.stalled_s) * 1e3, "ms")
    if swaps.took_s:
        yield Row("from the pointer's change to the last answer of the old bundle", median(swaps.took_s), "s")


if __name__ == "__main__":
    main()
