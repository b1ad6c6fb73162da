"""Claim: from raw tables to a published bundle within 4 minutes and 6 GB on 2 cores."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from benchmarks.results import Row, publish

GOAL_SECONDS = 240
GOAL_GB = 6


def main() -> None:
    """Run `motherlode demo` in a fresh folder, then again, and watch its processes' memory."""
    with tempfile.TemporaryDirectory(prefix="motherlode bench ") as folder:
        home = Path(folder) / ".motherlode"
        first, peak = _run(home)
        stages = json.loads((home / "logs" / "stages.json").read_text())
        second, _ = _run(home)
    rows = [Row(f"stage {title}", seconds, "s") for title, seconds in stages.items()]
    rows += [
        Row("whole pipeline", first, "s", goal=f"<= {GOAL_SECONDS}"),
        Row("peak memory, all processes", peak / 2**30, "GB", goal=f"<= {GOAL_GB}"),
        Row("second run, everything still valid", second, "s", "first run", first / second),
    ]
    publish("pipeline", rows)


def _run(home: Path) -> tuple[float, int]:
    """Wall seconds, and the highest sum of resident bytes over the command's processes."""
    started = time.perf_counter()
    command = [str(Path(sys.executable).with_name("motherlode")), "demo", "--home", str(home)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            peak = max(peak, _resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        sys.exit(f"`{' '.join(command)}` ended with {code}.")
    return time.perf_counter() - started, peak


def _resident(pid: int) -> int:
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


if __name__ == "__main__":
    main()
