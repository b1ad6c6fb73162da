"""A command as a whole: how long it takes, and the most memory that its processes hold.

Memory is the proportional set size (PSS) where the system tells it: what processes share counts once.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil


def motherlode(*arguments: str) -> tuple[float, int]:
    """Run `motherlode` with arguments; wall seconds, and the highest sum of bytes over its processes."""
    return run([str(Path(sys.executable).with_name("motherlode")), *arguments])


def run(command: Sequence[str]) -> tuple[float, int]:
    """Run a command to its end; wall seconds, and the highest sum of bytes over its processes.

    A command that fails ends the benchmark.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.5):
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
    """Bytes of a process and its children."""
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            held = process.memory_full_info()
            total += getattr(held, "pss", held.rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        pass
    return total
