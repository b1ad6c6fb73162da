"""The figures of a benchmark: a table for people and a file for the record."""

import json
import operator
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent / "results"

_GOAL: Final = re.compile(r"(ratio )?(<=|>=|<|>) *([\d,]+(?:\.\d+)?)")
_HOLDS: Final = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: the thing measured.
        value, unit: the figure.
        peer: what it is compared with, in the same run; empty where there is none.
        ratio: how many times better than the peer; None without one.
        goal: what was promised, as text; empty where nothing was. A number with <= or >= before it, in the row's
            unit, is held against the figure; with `ratio` before that, against the ratio.
    """

    what: str
    value: float
    unit: str
    peer: str = ""
    ratio: float | None = None
    goal: str = ""

    @property
    def kept(self) -> str:
        """Whether a goal that is a number was "met" or "MISSED"; empty where there is none."""
        told = _GOAL.fullmatch(self.goal)
        if told is None:
            return ""
        reached = self.ratio if told[1] else self.value
        if reached is None:
            return ""
        return "met" if _HOLDS[told[2]](reached, float(told[3].replace(",", ""))) else "MISSED"


def publish(name: str, rows: Sequence[Row]) -> Path:
    """Print the rows, a missed goal in red, and write them to `results/<name>.json`, machine and date beside them."""
    table = Table(title=name)
    for heading in ("what", "value", "unit", "peer", "ratio", "goal", "kept"):
        table.add_column(heading, justify="right" if heading in ("value", "ratio") else "left")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(
            row.what,
            f"{row.value:,.3g}" if row.value < 100 else f"{row.value:,.0f}",
            row.unit,
            row.peer,
            ratio,
            row.goal,
            row.kept,
            style="bold red" if row.kept == "MISSED" else None,
        )
    Console().print(table)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
            "python": platform.python_version(),
            "system": platform.system(),
        },
        "rows": [asdict(row) | {"kept": row.kept} for row in rows],
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
