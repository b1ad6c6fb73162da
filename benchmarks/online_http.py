"""Claim: features over HTTP at ≥ 4 × the requests/s of a tuned `feast serve`, at the same p99.

The demo's scoring features of one customer: `POST /v1/features` of `motherlode serve` as it is (HAProxy, Ray, a replica
a core; `OPTIONS` may say otherwise), and `/get-online-features` of `feast serve`, with one worker and with two, on its
own Redis store, filled with the same rows. All run at once, and wait while another is asked. wrk asks each with every
number of clients, in turns; rates and p99 are medians of the rounds.

They are compared at equal p99, in both directions: our best rate among the numbers of clients whose p99 keeps within
that of `feast serve` at its best rate, with the better number of workers; and its best rate within the p99 of ours at
our best. `MOTHERLODE_HOME` names the demo's home, `MOTHERLODE_BENCH_ROUNDS` fewer rounds.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

import polars as pl
import yaml
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp

from benchmarks import load
from benchmarks.load import Load, best, best_of, within
from benchmarks.online import valkey
from benchmarks.results import Row, publish
from benchmarks.sockets import free_port
from feature_repo.mart import manifest
from motherlode import bundle, bundles, names
from motherlode.settings import Settings

ROUNDS: Final = 5
SECONDS: Final = 5
CLIENTS: Final = (1, 2, 4, 8, 16, 32)
WORKERS: Final = (1, 2)
"""Processes of `feast serve`: the better of them is the peer."""
OPTIONS: Final[tuple[str, ...]] = ()
"""Of `motherlode serve`, beside its home and port."""
OURS: Final = "motherlode serve"
TYPES: Final[Mapping[str, Any]] = {
    "float32": Float32,
    "float64": Float64,
    "int32": Int32,
    "int64": Int64,
    "bool": Bool,
    "string": String,
    "timestamp": UnixTimestamp,
}


def main() -> None:
    """Both servers in turns, with every number of clients; the best of each."""
    load.require()
    rounds = int(os.environ.get("MOTHERLODE_BENCH_ROUNDS", ROUNDS))
    home = Path(os.environ.get("MOTHERLODE_HOME", ".motherlode")).absolute()
    motherlode = str(Path(sys.executable).with_name("motherlode"))
    subprocess.run([motherlode, "demo", "--home", str(home)], check=True, stdout=subprocess.DEVNULL)
    settings = Settings(home=home)
    views = bundle.load(bundles.current(settings.models)).manifest.services[names.SCORING].views
    features = [(view.view, column.name, column.dtype) for view in views for column in view.columns]
    runs: dict[str, list[Load]] = {}
    with tempfile.TemporaryDirectory(prefix="motherlode bench ") as name, valkey() as server:
        folder = Path(name)
        _feast(settings, folder, server.port, features)
        feast = {"features": [f"{view}:{column}" for view, column, _ in features], "entities": {"customer_id": ["1"]}}
        own = {"customer_ids": [1], "service": names.SCORING}
        with ExitStack() as stack:
            servers = {
                f"feast serve, {workers} workers": stack.enter_context(
                    _serving(_feast_command(folder, workers), "/get-online-features", feast)
                )
                for workers in WORKERS
            }
            serve = [motherlode, "serve", "--home", str(home), *OPTIONS, "--port"]
            servers[OURS] = stack.enter_context(_serving(lambda at: [*serve, str(at)], "/v1/features", own))
            for turn in range(rounds):
                for clients in CLIENTS:
                    for called, asked in servers.items():
                        runs.setdefault(called, []).append(load.closed(asked.url, [asked.body], clients, SECONDS))
                        print(f"round {turn + 1}: {called} {runs[called][-1]}")
    publish("online_http", [*rows(runs, len(features)), Row("rounds, of which these are medians", rounds, "")])


def rows(runs: Mapping[str, Sequence[Load]], features: int) -> Iterator[Row]:
    """Every median, and the two comparisons.

    Args:
        runs: server → what it took, in every round with every number of clients.
        features: how many were asked for.
    """
    medians = {called: [_median(loads, clients) for clients in CLIENTS] for called, loads in runs.items()}
    for called, loads in medians.items():
        for each in loads:
            what = f"{called}, {each.clients} clients"
            yield Row(f"{what}, {features} features of 1 customer", each.rate, "requests/s")
            yield Row(f"{what}, p99", each.p99_ms, "ms")
    feast = {called: loads for called, loads in medians.items() if called != OURS}
    peer, theirs = best_of(feast)
    mine = best(within(medians[OURS], theirs.p99_ms))
    what = f"{OURS} within the p99 of feast serve at its best, {mine.clients} clients"
    yield Row(what, mine.rate, "requests/s", _told(peer, theirs), mine.rate / theirs.rate, "ratio >= 4")
    ours = best(medians[OURS])
    peer, theirs = best_of(feast, ours.p99_ms)
    ratio = ours.rate / theirs.rate if theirs.rate else None
    told = _told(peer, theirs) if theirs.rate else "feast serve, with no number of clients"
    what = f"{OURS} at its best, {ours.clients} clients, p99 {ours.p99_ms:.3g} ms; feast serve within that"
    yield Row(what, ours.rate, "requests/s", told, ratio)


def _told(called: str, taken: Load) -> str:
    return f"{called}, {taken.clients} clients, p99 {taken.p99_ms:.3g} ms: {taken.rate:,.0f} requests/s"


def _median(loads: Sequence[Load], clients: int) -> Load:
    mine = [each for each in loads if each.clients == clients]
    rate, p99_ms = median(each.rate for each in mine), median(each.p99_ms for each in mine)
    return replace(mine[0], rate=rate, p50_ms=median(each.p50_ms for each in mine), p99_ms=p99_ms)


@dataclass(frozen=True)
class _Server:
    """A server that runs: where it is asked, and what."""

    url: str
    body: str


@contextmanager
def _serving(command: Any, path: str, body: Mapping[str, Any]) -> Iterator[_Server]:
    """A server on a port of its own, once it answers what it will be asked."""
    port = free_port()
    process = subprocess.Popen(command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = _Server(f"http://127.0.0.1:{port}{path}", json.dumps(body))
    try:
        _wait(server)
        yield server
    finally:
        process.terminate()  # a job in the background does not hear SIGINT
        process.wait(60)


def _wait(server: _Server) -> None:
    request = urllib.request.Request(server.url, server.body.encode(), {"Content-Type": "application/json"})
    until = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                answer.read()
                return
        except OSError as error:
            if time.monotonic() > until:
                sys.exit(f"{server.url} was not ready within two minutes: {error}")
            time.sleep(0.3)


def _feast_command(folder: Path, workers: int) -> Any:
    feast = str(Path(sys.executable).with_name("feast"))
    tuned = ["--workers", str(workers), "--no-access-log", "--registry_ttl_sec", "600", "--max-requests", "0"]
    return lambda at: [feast, "-c", str(folder), "serve", "--host", "127.0.0.1", "--port", str(at), *tuned]


def _feast(settings: Settings, folder: Path, port: int, features: Sequence[tuple[str, str, str]]) -> None:
    """Feast's own stores, filled with each customer's newest rows."""
    config = {
        "project": "bench",
        "provider": "local",
        "registry": {"path": str(folder / "registry.db"), "cache_ttl_seconds": 600},
        "offline_store": {"type": "file"},
        "online_store": {"type": "redis", "connection_string": f"127.0.0.1:{port}"},
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config))
    store = FeatureStore(repo_path=str(folder))
    customer = Entity(name="customer", join_keys=[names.CUSTOMER_ID], value_type=ValueType.STRING)
    views = []
    for view in dict.fromkeys(view for view, _, _ in features):
        fields = {column: dtype for of, column, dtype in features if of == view}
        path = folder / f"{view}.parquet"
        rows = manifest.scan(settings, view).sort(names.EVENT_TIMESTAMP)
        rows.group_by(names.CUSTOMER_ID).last().select(
            names.CUSTOMER_ID, names.EVENT_TIMESTAMP, names.CREATED_TIMESTAMP, *fields
        ).collect().write_parquet(path)
        source = FileSource(
            name=f"{view}_source",
            path=str(path),
            timestamp_field=names.EVENT_TIMESTAMP,
            created_timestamp_column=names.CREATED_TIMESTAMP,
        )
        schema = [Field(name=column, dtype=TYPES[dtype]) for column, dtype in fields.items()]
        views.append(FeatureView(name=view, entities=[customer], ttl=timedelta(0), schema=schema, source=source))
    store.apply([customer, *views])
    now = datetime.now(UTC)
    store.materialize(now - timedelta(days=400), now + timedelta(days=1))
    held = pl.read_parquet(folder / f"{features[0][0]}.parquet")
    print(f"Feast's store holds {held.height:,} customers, {len(features)} features.")


if __name__ == "__main__":
    main()
