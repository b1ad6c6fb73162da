"""The parity suite's rooms, and the random histories that every view's own tests are held against too."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from motherlode import names
from motherlode.compute import Compute, Room, room

SHARED = Path(__file__).parents[1] / "feature_repo" / "features" / "conftest.py"

Tables = Mapping[str, pl.LazyFrame]


class InMemory:
    """Polars' other engine on the CPU: it shows that the suite compares what it says, where there is no GPU."""

    def collect(self, lf: pl.LazyFrame) -> pl.DataFrame:
        return lf.collect(engine="in-memory")


@dataclass(frozen=True)
class World:
    """Random histories of customers.

    Attributes:
        tables: seed → integrated tables by name, full of ties, nulls, returns and events on the windows' edges.
        views: every view, in the words of these histories.
        snapshots: the times asked about.
    """

    tables: Callable[[int], Tables]
    views: Mapping[str, Any]
    snapshots: pl.LazyFrame


@pytest.fixture(scope="session")
def gpu(gpu_room: Room) -> Room:
    return gpu_room


@pytest.fixture(scope="session")
def cpu() -> Room:
    return room(Compute("cpu", "a test"))


@pytest.fixture(scope="session")
def other(request: pytest.FixtureRequest) -> Any:
    """What the CPU room is compared with: the GPU room; or, in the suite's own check, Polars' other engine."""
    return InMemory() if request.param == "in-memory" else request.getfixturevalue("gpu_room")


@pytest.fixture(scope="session")
def world() -> World:
    shared = _shared()
    return World(
        tables=lru_cache(maxsize=None)(lambda seed: shared.as_tables(shared.random_rows(seed))),
        views={name: shared.declared(name) for name in shared.catalogue.MODULES},
        snapshots=shared.as_snapshots(shared.SNAPSHOTS),
    )


def _shared() -> ModuleType:
    """The views' own conftest, which pytest imports for its own folder alone."""
    spec = importlib.util.spec_from_file_location("gpu_histories", SHARED)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def coded(tables: Tables) -> Tables:
    """The tables as a partition has them: customers by number, not in the order of their ids."""
    keyed = {name: table.collect() for name, table in tables.items()}
    ids = pl.concat([each[names.CUSTOMER_ID] for each in keyed.values() if names.CUSTOMER_ID in each.columns])
    known = ids.drop_nulls().unique().sort(descending=True)
    codes = pl.DataFrame({names.CUSTOMER_ID: known, "code": pl.int_range(len(known), eager=True)})
    return {
        name: each.join(codes, on=names.CUSTOMER_ID, how="left", maintain_order="left")
        .with_columns(pl.col("code").alias(names.CUSTOMER_ID))
        .drop("code")
        .lazy()
        if names.CUSTOMER_ID in each.columns
        else each.lazy()
        for name, each in keyed.items()
    }


@pytest.fixture(scope="session")
def as_partition() -> Callable[[Tables], Tables]:
    return coded
