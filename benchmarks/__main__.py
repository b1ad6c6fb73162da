"""Runs every benchmark, or those named: `python -m benchmarks [NAME…]`."""

import importlib
import sys
from pathlib import Path

NOT_BENCHMARKS = {
    "__init__",
    "__main__",
    "asked",
    "curve",
    "full_answer",
    "load",
    "online_client",
    "open_loop",
    "people",
    "processes",
    "promise",
    "results",
    "servers",
    "sockets",
    "shops",
    "tills",
}


def main() -> None:
    """Run each benchmark's `main()`, in the order of their names."""
    known = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_BENCHMARKS)
    wanted = sys.argv[1:] or known
    for name in wanted:
        if name not in known:
            sys.exit(f"There is no benchmark {name!r}. Known: {', '.join(known)}.")
    for name in wanted:
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
