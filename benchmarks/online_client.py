"""One use of an online store in a process of its own, on any store: `python online_client.py WHAT.json`.

A Feast client and nothing else: it knows no Motherlode. It reads what to do from a JSON file and writes one line of
JSON.
"""

import gc
import json
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.repo_config import RepoConfig
from feast.types import Array, Bool, Float32, Int64, String, UnixTimestamp

TYPES: Final[dict[str, Any]] = {
    "float32": Float32,
    "int64": Int64,
    "bool": Bool,
    "string": String,
    "timestamp": UnixTimestamp,
    "floats": Array(Float32),
}
VIEW: Final = "mixed"
_WARM: Final = 20


def main(what: dict[str, Any]) -> None:
    """Do it, and say what it took.

    Args:
        what: `action`, one of "materialise" and "read"; `stores` (`offline_store`, `online_store` and, where it is not
            Feast's own, `batch_engine`), `folder` (of the registry), `source` (a Parquet file), `columns` (name → key
            of `TYPES`); to read: `calls` (a list of the entities of each call).
    """
    store = _store(what)
    found = _materialised(store) if what["action"] == "materialise" else _read(store, what)
    print(json.dumps(found))


def _materialised(store: FeatureStore) -> dict[str, Any]:
    end = datetime.now(UTC)
    seconds, before, peak = _watched(lambda: store.materialize(end - timedelta(days=30), end))
    return {"seconds": seconds, "before": before, "peak": peak}


def _read(store: FeatureStore, what: dict[str, Any]) -> dict[str, Any]:
    features = [f"{VIEW}:{name}" for name in what["columns"]]
    taken: dict[str, list[float]] = {"get": [], "to_dict": []}
    nulls = 0
    for i, ids in enumerate([*what["calls"][:_WARM], *what["calls"]]):
        rows = [{"customer_id": each} for each in ids]
        started = time.perf_counter()
        answer = store.get_online_features(features=features, entity_rows=rows)
        got = time.perf_counter()
        told = answer.to_dict()
        if i >= _WARM:
            taken["get"].append(got - started)
            taken["to_dict"].append(time.perf_counter() - started)
        nulls += sum(values.count(None) for values in told.values())
    return {**taken, "nulls": nulls}


def _watched(work: Callable[[], object]) -> tuple[float, int, int]:
    """Seconds, and resident bytes before and at their highest."""
    gc.collect()
    process = psutil.Process()
    before = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    return seconds, before, peak


def _store(what: dict[str, Any]) -> FeatureStore:
    config = RepoConfig(
        project="bench",
        provider="local",
        registry={"registry_type": "sql", "path": f"sqlite:///{what['folder']}/registry.db"},
        entity_key_serialization_version=3,
        **what["stores"],
    )
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name=VIEW,
        entities=[customer],
        ttl=timedelta(days=90),
        schema=[Field(name=name, dtype=TYPES[kind]) for name, kind in what["columns"].items()],
        source=FileSource(
            name="source",
            path=what["source"],
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        ),
    )
    store = FeatureStore(config=config)
    if what["action"] == "materialise":
        store.apply([customer, view])
    return store


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
