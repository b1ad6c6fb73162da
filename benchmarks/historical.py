"""Claim: 10 million labels × 3 views joined at ≥ 1 million rows/s on 2 cores; 1,000 features of 17,000 labels in 5 s.

Every figure is the median of rounds in which the stores take turns, each call in a process of its own, through Feast's
interface (`benchmarks/asked.py`). The peers are far slower, so they are asked about fewer labels, and rows a second are
compared. Memory is what the call adds to the process, its answer included. `MOTHERLODE_BENCH_ROUNDS` and
`MOTHERLODE_BENCH_LABELS` name fewer.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks import asked
from benchmarks.peers import environment
from benchmarks.results import Row, publish

ROUNDS: Final = 5
LABELS: Final = 10_000_000
CUSTOMERS, WEEKS, VIEWS, FEATURES = 20_000, 52, 3, 10
WIDE_LABELS, WIDE_WEEKS, WIDE_VIEWS, WIDE_FEATURES = 17_000, 12, 10, 100
TTL_DAYS: Final = 90
PEERS: Final[Mapping[str, tuple[str, int, float]]] = {
    "duckdb": ("Feast's DuckDB store", 500_000, 5.0),
    "file": ("Feast's default file store", 30_000, 100.0),
}
"""Offline store → what it is called, how many labels it is asked about, and how many times faster is promised."""
_WEEK: Final = 7 * 86_400
_START: Final = 1_704_067_200
_TIME: Final = pl.Datetime("us", "UTC")

Found = Mapping[str, float]


def main() -> None:
    """The three stores on one set of files, then the wide one; medians."""
    rounds = int(os.environ.get("MOTHERLODE_BENCH_ROUNDS", ROUNDS))
    labels = int(float(os.environ.get("MOTHERLODE_BENCH_LABELS", LABELS)))
    with tempfile.TemporaryDirectory(prefix="motherlode bench ") as name:
        folder = Path(name)
        narrow, wide = _files(folder)
        calls: dict[str, dict[str, Any]] = {
            "arrow": _call(folder, _ours(folder), narrow, labels, "arrow"),
            "df": _call(folder, _ours(folder), narrow, labels, "df"),
            "wide": _call(folder, _ours(folder), wide, WIDE_LABELS, "df"),
        }
        for store, (_, most, _) in PEERS.items():
            calls[store] = _call(folder, {"type": store}, narrow, min(most, labels), "arrow")
        runs: dict[str, list[Found]] = {name: [] for name in calls}
        for turn in range(rounds):
            for name, call in calls.items():
                runs[name].append(_ask(name, call))
                print(f"round {turn + 1}: {name} took {runs[name][-1]['seconds']:.2f} s")
    publish("historical", _rows(calls, runs, rounds))


def _rows(calls: Mapping[str, Mapping[str, Any]], runs: Mapping[str, Sequence[Found]], rounds: int) -> list[Row]:
    rows = []
    speed = _speed(calls["arrow"], runs["arrow"])
    for answer, what in (("arrow", "to_arrow()"), ("df", "to_df()")):
        asked_of = f"{calls[answer]['rows']:,} labels × {VIEWS} views × {FEATURES} features, {what}"
        more = [(run["peak"] - run["before"]) / run["bytes"] for run in runs[answer]]
        rows += [
            Row(asked_of, _speed(calls[answer], runs[answer]), "rows/s", goal=">= 1,000,000"),
            Row(f"{asked_of}, memory added", median(more), "× the answer", goal="<= 2"),
        ]
    for store, (called, _, times) in PEERS.items():
        theirs = _speed(calls[store], runs[store])
        lost = calls[store]["rows"] - min(run["rows"] for run in runs[store])
        what = f"{called}, {calls[store]['rows']:,} of these labels" + (f", loses {lost:,.0f}" if lost else "")
        rows.append(Row(what, theirs, "rows/s", "to_arrow() above", speed / theirs, f"ratio >= {times:.0f}"))
    wide = f"{WIDE_LABELS:,} labels × {WIDE_VIEWS * WIDE_FEATURES:,} features of {WIDE_VIEWS} views, to_df()"
    rows += [
        Row(wide, median(run["seconds"] for run in runs["wide"]), "s", goal="<= 5"),
        Row(f"{wide}, memory added", median(run["peak"] - run["before"] for run in runs["wide"]) / 1e9, "GB"),
        Row(f"{wide}, whole process", median(run["peak"] for run in runs["wide"]) / 1e9, "GB", goal="<= 1"),
        Row("rounds, of which these are medians", rounds, ""),
    ]
    return rows


def _speed(call: Mapping[str, Any], runs: Sequence[Found]) -> float:
    return float(call["rows"] / median(run["seconds"] for run in runs))


def _ours(folder: Path) -> dict[str, str]:
    return {"type": "feature_repo.stores.offline.MotherlodeOfflineStore", "home": str(folder), "device": "cpu"}


def _call(
    folder: Path, store: Mapping[str, str], views: Mapping[str, Sequence[str]], rows: int, answer: str
) -> dict[str, Any]:
    """What `benchmarks/asked.py` is told; its labels are written where they are not there yet."""
    labels = folder / f"labels {rows}.parquet"
    if not labels.exists():
        random = np.random.default_rng(rows)
        ids = pl.Series("customer_id", _ids(CUSTOMERS))
        times = _START + random.integers(0, WEEKS * _WEEK, rows)
        pl.DataFrame({
            "customer_id": ids.gather(random.integers(0, CUSTOMERS, rows)),
            "event_timestamp": pl.Series(times * 1_000_000).cast(_TIME),
        }).write_parquet(labels)  # fmt: skip
    return {
        "offline_store": store, "folder": str(folder), "labels": str(labels), "views": views, "ttl_days": TTL_DAYS,
        "answer": answer, "rows": rows,
    }  # fmt: skip


def _ask(name: str, call: Mapping[str, Any]) -> Found:
    """One call, in a process of its own."""
    what = Path(call["folder"]) / f"{name}.json"
    what.write_text(json.dumps(call))
    python = str(environment.python()) if name in PEERS else sys.executable
    done = subprocess.run([python, asked.__file__, str(what)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    found: Found = json.loads(done.stdout.splitlines()[-1])
    # A fast join that loses rows is none.
    assert name in PEERS or found["rows"] == call["rows"], found
    return found


def _files(folder: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The views' Parquet files; each view's name and features."""
    narrow = {f"view_{v}": [f"view_{v}_{i}" for i in range(FEATURES)] for v in range(VIEWS)}
    wide = {f"wide_{v}": [f"wide_{v}_{i}" for i in range(WIDE_FEATURES)] for v in range(WIDE_VIEWS)}
    for views, customers, weeks in ((narrow, CUSTOMERS, WEEKS), (wide, WIDE_LABELS, WIDE_WEEKS)):
        for seed, (name, features) in enumerate(views.items()):
            _write(folder / f"{name}.parquet", features, customers, weeks, seed)
    return narrow, wide


def _write(path: Path, features: Sequence[str], customers: int, weeks: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    times = pl.Series(_START + np.repeat(np.arange(weeks), customers) * _WEEK) * 1_000_000
    pl.DataFrame({
        "customer_id": _ids(customers) * weeks,
        "event_timestamp": times.cast(_TIME),
        "created": times.cast(_TIME),
        **{name: random.random(customers * weeks, dtype=np.float32) for name in features},
    }).write_parquet(path)  # fmt: skip


def _ids(customers: int) -> list[str]:
    return [f"customer_{i:06d}" for i in range(customers)]


if __name__ == "__main__":
    main()
