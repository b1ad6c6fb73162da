"""One call of `get_historical_features` in a process of its own, on any offline store: `python asked.py WHAT.json`.

A Feast client and nothing else: it knows no Motherlode, so that it also runs where only a peer is installed. It reads
what to ask from a JSON file and writes one line of JSON: seconds, rows, bytes of the answer, and resident bytes before
the call and at its highest.
"""

import gc
import json
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.repo_config import RepoConfig
from feast.types import Float32


def main(what: dict[str, Any]) -> None:
    """Ask, and say what it took.

    Args:
        what: `offline_store`, `folder`, `labels` (a Parquet file), `views` (name → features), `ttl_days`, and
            `answer`, one of "arrow" and "df".
    """
    store, references = _store(what)
    labels = pd.read_parquet(what["labels"])
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
    job = store.get_historical_features(entity_df=labels, features=references)
    answer = job.to_arrow() if what["answer"] == "arrow" else job.to_df()
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    if what["answer"] == "arrow":
        size, rows = answer.nbytes, answer.num_rows
    else:
        size, rows = int(answer.memory_usage().sum()), len(answer)
    found = {"seconds": seconds, "rows": rows, "bytes": size, "before": before, "peak": max(peak, before)}
    print(json.dumps(found))


def _store(what: dict[str, Any]) -> tuple[FeatureStore, list[str]]:
    folder = Path(what["folder"])
    registry = folder / f"registry-{what['offline_store']['type'].rpartition('.')[2]}.db"
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(registry),
        offline_store=what["offline_store"],
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    views = [
        FeatureView(
            name=name,
            entities=[customer],
            ttl=timedelta(days=what["ttl_days"]),
            schema=[Field(name=feature, dtype=Float32) for feature in features],
            source=FileSource(
                name=f"{name}_source",
                path=str(folder / f"{name}.parquet"),
                timestamp_field="event_timestamp",
                created_timestamp_column="created",
            ),
        )
        for name, features in what["views"].items()
    ]
    store = FeatureStore(config=config)
    store.apply([customer, *views])
    return store, [f"{name}:{feature}" for name, features in what["views"].items() for feature in features]


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
