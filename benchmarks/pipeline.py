"""Claim: from raw tables to a published bundle within 4 minutes and 6 GB on 2 cores."""

import json
import tempfile
from pathlib import Path

from benchmarks.processes import motherlode
from benchmarks.results import Row, publish

GOAL_SECONDS = 240
GOAL_GB = 6


def main() -> None:
    """Run `motherlode demo` in a fresh folder, then again, and watch its processes' memory."""
    with tempfile.TemporaryDirectory(prefix="motherlode bench ") as folder:
        home = Path(folder) / ".motherlode"
        first, peak = motherlode("demo", "--home", str(home))
        stages = json.loads((home / "logs" / "stages.json").read_text())
        second, _ = motherlode("demo", "--home", str(home))
    rows = [Row(f"stage {title}", seconds, "s") for title, seconds in stages.items()]
    rows += [
        Row("whole pipeline", first, "s", goal=f"<= {GOAL_SECONDS}"),
        Row("peak memory, all processes", peak / 2**30, "GB", goal=f"<= {GOAL_GB}"),
        Row("second run, everything still valid", second, "s", "first run", first / second),
    ]
    publish("pipeline", rows)


if __name__ == "__main__":
    main()
