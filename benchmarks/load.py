"""wrk, pinned to a core: what a server takes when so many clients ask again as soon as they are answered."""

import math
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SHARE: Final = r"^\s+{}%\s+([\d.]+)(us|ms|s)"
_RATE: Final = re.compile(r"^Requests/sec:\s+([\d.]+)", re.MULTILINE)
_COUNT: Final = re.compile(r"^\s+(\d+) requests in", re.MULTILINE)
_WRONG: Final = re.compile(r"Non-2xx|Socket errors")
_UNITS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_SCRIPT: Final = """
local asked, next = {}, 0
function init(arguments)
  wrk.headers["Content-Type"] = "application/json"
  for body in io.lines(arguments[1]) do asked[#asked + 1] = wrk.format("POST", nil, nil, body) end
  if #asked == 0 then asked[1] = wrk.format("GET") end
end
function request()
  next = next % #asked + 1
  return asked[next]
end
"""


@dataclass(frozen=True)
class Load:
    """What a server took.

    Attributes:
        clients: at once.
        rate: requests/s.
        p50_ms, p99_ms: milliseconds that 50 and 99 % of them took at the most.
        requests: how many.
    """

    clients: int
    rate: float
    p50_ms: float
    p99_ms: float
    requests: int


def on_core(core: int | None) -> list[str]:
    """What to put before a command so that it runs on one core; nothing for None."""
    return [] if core is None else ["taskset", "--cpu-list", str(core)]


def require() -> None:
    """End the benchmark where wrk or taskset is missing."""
    for tool, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(tool) is None:
            sys.exit(f"There is no {tool} on the PATH: install Debian's package {package}.")


def closed(url: str, bodies: Sequence[str], clients: int, seconds: float, core: int | None = None) -> Load:
    """Load a server for some seconds: each client asks again once it is answered.

    An answer that is not 200 ends the benchmark.

    Args:
        url: where.
        bodies: what is posted, in turn; none for GET.
        clients: connections.
        seconds: how long, whole ones.
        core: where wrk runs, with one thread.
    """
    with tempfile.TemporaryDirectory() as name:
        script, asked = Path(name) / "ask.lua", Path(name) / "bodies"
        script.write_text(_SCRIPT)
        asked.write_text("".join(f"{body}\n" for body in bodies))
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--latency", "--timeout", "30s"]
        command = [*on_core(core), *command, "-s", str(script), url, "--", str(asked)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return read(done.stdout, clients)
    except ValueError:
        sys.exit(f"{url} did not answer:\n{done.stdout}{done.stderr}")


def read(said: str, clients: int) -> Load:
    """What wrk says.

    Raises:
        ValueError: some answers were wrong, or it says nothing.
    """
    rate, count = _RATE.search(said), _COUNT.search(said)
    if rate is None or count is None or _WRONG.search(said):
        raise ValueError(said)
    return Load(clients, float(rate[1]), _centile(said, 50), _centile(said, 99), int(count[1]))


def within(loads: Sequence[Load], p99_ms: float) -> list[Load]:
    """Those that keep within a p99."""
    return [each for each in loads if each.p99_ms <= p99_ms]


def best(loads: Sequence[Load]) -> Load:
    """That of the highest rate; one of nothing where there is none."""
    return max(loads, key=lambda each: each.rate, default=Load(0, 0.0, 0.0, 0.0, 0))


def best_of(servers: Mapping[str, Sequence[Load]], p99_ms: float = math.inf) -> tuple[str, Load]:
    """Of several servers that which takes most within a p99, and what it takes; nothing where none keeps within it."""
    found = {called: best(within(loads, p99_ms)) for called, loads in servers.items()}
    called = max(found, key=lambda each: found[each].rate)
    return called, found[called]


def _centile(said: str, share: int) -> float:
    found = re.search(_SHARE.format(share), said, re.MULTILINE)
    if found is None:
        raise ValueError(said)
    return float(found[1]) * _UNITS[found[2]]
