"""The checks, run in the environment of the RAPIDS wheels: a table of names and verdicts."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from motherlode.compute import gpu
from motherlode.compute.libraries import versions
from motherlode.errors import DataError
from scripts.gpu_check import calls, mutants, plans
from scripts.gpu_check.verdict import Verdict


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 where every check passed.

    Args:
        arguments: none, or those of a company's own views: its project's folder, and its home.
    """
    asked = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="check-gpu-") as name:
        folder = Path(name)
        project = asked.project or folder
        try:
            found = plans.examine(gpu, folder, project, asked.home)
        except DataError as error:
            print(f"check-gpu: {error}", file=sys.stderr)
            return 1
        if asked.project is None:
            found = [*calls.examine(gpu, folder), *found, *mutants.examine(gpu, folder)]
    return _told(found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/check_gpu.py")
    parser.add_argument(
        "project",
        nargs="?",
        type=Path,
        help="folder of a motherlode.yaml: its own views, features/*.py, beside the catalogue's; the plans alone",
    )
    parser.add_argument("--home", type=Path, help="its home, for columns that only its own tables have")
    return parser


def _told(verdicts: Sequence[Verdict]) -> int:
    """Print the table; exit status."""
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
    sys.exit(main(sys.argv[1:]))
