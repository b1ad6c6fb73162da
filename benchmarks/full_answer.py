"""What the benchmarks of serving ask: full answers of one company's customers, and how our server for it is started."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.peers import company
from benchmarks.peers.company import Company
from benchmarks.promise import BATCH
from benchmarks.servers import Asked, Running

PATH: Final = "/v1/score"
TOLERANCE: Final = 1e-5
_CHECKED: Final = 25
_CUSTOMERS: Final = 1000


def asked_features() -> int:
    """Of a customer, in all views: the issue's thirty, or as many as `MOTHERLODE_BENCH_FEATURES` says."""
    return int(os.environ.get("MOTHERLODE_BENCH_FEATURES", company.FEATURES))


def scored(answer: Any) -> bool:
    """Whether an answer holds every score: without features there is one too, which says so."""
    return all(score is not None for each in answer["results"] for score in each["scores"].values())


FIRST: Final = Asked(PATH, {"customer_ids": [1]}, scored)
"""What our server must answer before it is ready."""


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


def replicas() -> int:
    """One a core that is not the load generator's."""
    return len(os.sched_getaffinity(0))


def ours(made: Company, count: int) -> Callable[[int], list[str]]:
    """Our server's command, of a port; in its default profile.

    Args:
        made: whose bundle it serves; its environment has `REDIS_URL`.
        count: replicas.
    """
    serve = [str(Path(sys.executable).with_name("motherlode")), "serve", "--home", str(made.settings.home)]
    return lambda port: [*serve, "--port", str(port), "--replicas", str(count)]


def redis_of(made: Company) -> dict[str, str]:
    """What our server's environment has beside ours."""
    assert made.settings.redis_url is not None
    return {"REDIS_URL": made.settings.redis_url}


@dataclass(frozen=True)
class Questions:
    """What is asked of a server.

    Attributes:
        made: the customers.
    """

    made: Company

    def batches(self, size: int = BATCH) -> list[list[int]]:
        """A thousand customers by chance, or more, so many a call."""
        random = np.random.default_rng(size)
        shape = (max(_CUSTOMERS // size, 50), size)
        asked: list[list[int]] = random.integers(0, len(self.made.x), shape).tolist()
        return asked

    def bodies(self, size: int) -> list[str]:
        """What is posted for full answers of so many customers."""
        return [json.dumps({"customer_ids": each}) for each in self.batches(size)]

    def check(self, server: Running, path: str = PATH) -> None:
        """End the benchmark where an answer is not what the models say: a fast wrong answer is none."""
        for asked in (*self.batches(1)[:_CHECKED], self.batches()[0]):
            answer = server.ask(Asked(path, {"customer_ids": asked}))
            for customer, found in zip(asked, answer["results"], strict=True):
                segment, scores = self.made.expected(customer)
                worst = max(abs(found["scores"][name] - score) for name, score in scores.items())
                if found["customer_id"] != customer or found["segment"]["id"] != segment or not worst <= TOLERANCE:
                    sys.exit(f"{server.url(path)} answers {found}, the models say {segment}, {scores}.")
