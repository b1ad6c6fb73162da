"""Claim: 100 million purchase lines from Parquet to integrated within 8 minutes and 12 GB on 2 cores, in linear time.

`MOTHERLODE_BENCH_LINES` names other sizes: `1e6,1e7`, `MOTHERLODE_BENCH_INPUT` one of `parquet` and `csv`. A size needs
about 200 bytes of disk a line while it runs.
"""

import os
import tempfile
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks import tills
from benchmarks.processes import motherlode
from benchmarks.results import Row, publish
from feature_repo.warehouse import lineage, tables
from motherlode import names
from motherlode.settings import Settings

GOAL_SECONDS: Final = 480
GOAL_GB: Final = 12
SIZES: Final = "1e6,1e7,1e8"
KINDS: Final[tuple[tills.Format, ...]] = ("parquet", "csv")


def main() -> None:
    """Each size from Parquet and from CSV, in fresh folders; then one more file, and nothing new."""
    sizes = [int(float(size)) for size in os.environ.get("MOTHERLODE_BENCH_LINES", SIZES).split(",")]
    asked = os.environ.get("MOTHERLODE_BENCH_INPUT")
    for kind in KINDS:
        if asked not in (None, kind):
            continue
        rows: list[Row] = []
        smallest: float | None = None
        for lines in sizes:
            seconds, peak, again = _load(lines, kind)
            smallest = smallest or seconds / lines
            within = f"<= {GOAL_SECONDS}" if (kind, lines) == ("parquet", 10**8) else ""
            rows += [
                Row(f"{kind}, {lines:,} lines", seconds, "s", goal=within),
                Row(f"{kind}, {lines:,} lines, a line", seconds / lines * 1e6, "µs", f"{sizes[0]:,} lines",
                    smallest / (seconds / lines)),
                Row(f"{kind}, {lines:,} lines, peak memory", peak / 2**30, "GB", goal=f"<= {GOAL_GB}"),
                Row(f"{kind}, {lines:,} lines, the same again", again, "s"),
            ]  # fmt: skip
        publish(f"warehouse_{kind}", rows)


def _load(lines: int, kind: tills.Format) -> tuple[float, int, float]:
    """Seconds and peak bytes of the first load, and the seconds of a second that finds nothing new."""
    with tempfile.TemporaryDirectory(prefix="motherlode bench ") as folder:
        project, home = Path(folder) / "project", Path(folder) / ".motherlode"
        tills.write(project, lines, kind)
        command = ("ingest", "--mapping", str(project), "--home", str(home))
        seconds, peak = motherlode(*command)
        again, _ = motherlode(*command)
        _complete(Settings(home=home), lines)
    return seconds, peak, again


def _complete(settings: Settings, lines: int) -> None:
    """A fast load that loses rows is none."""
    (counted,) = (each for each in lineage.current(settings).tables if each.table == names.TRANSACTIONS)
    assert counted.balanced and counted.landed == lines, counted
    integrated = tables.scan(settings, names.TRANSACTIONS).select(pl.len()).collect().item()
    assert integrated == counted.integrated, counted


if __name__ == "__main__":
    main()
