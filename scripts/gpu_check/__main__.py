"""The checks, run in the environment of the RAPIDS wheels: a table of names and verdicts."""

import sys
import tempfile
from pathlib import Path

from motherlode.compute import gpu
from motherlode.compute.libraries import versions
from scripts.gpu_check import calls, mutants, plans


def main() -> int:
    """Exit status: 0 where every check passed."""
    with tempfile.TemporaryDirectory(prefix="check-gpu-") as name:
        folder = Path(name)
        verdicts = [*calls.examine(gpu, folder), *plans.examine(gpu, folder), *mutants.examine(gpu, folder)]
    checked_with = versions(("cudf-polars-cu13", "cuml-cu13", "polars", "xgboost"))
    print("Without a GPU:", ", ".join(f"{name} {version}" for name, version in checked_with.items()))
    width = max(len(verdict.name) for verdict in verdicts)
    for verdict in verdicts:
        print(f"{verdict.name:<{width}}  {'ok' if verdict.passed else 'FAILED'}")
    failed = [verdict for verdict in verdicts if not verdict.passed]
    for verdict in failed:
        print(f"\nFAILED {verdict.name}: {verdict.problem}")
    print(f"\n{len(verdicts) - len(failed)} of {len(verdicts)} checks passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
