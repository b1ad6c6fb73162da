"""`make check-gpu`: hold the GPU code against the real RAPIDS wheels, on a machine without a GPU.

`scripts/check_gpu.py FOLDER [--home HOME]` checks the plans alone, with the views of one's own in `FOLDER/features`.

Makes an environment of those wheels at their locked versions, or finds the one made before, and runs
`scripts.gpu_check` in it. Needs the standard library alone.
"""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.gpu_check import environment  # noqa: E402 - found by the line above, also where nothing is installed


def main() -> int:
    """Exit status: 0 where every check passed."""
    try:
        lock = environment.locked((ROOT / "constraints.txt").read_text())
        python = environment.ensure(environment.cache_folder(os.environ), lock, partial(print, flush=True))
    except environment.EnvironmentNotMade as error:
        print(f"check-gpu: {error}", file=sys.stderr)
        return 1
    # No GPU is looked at even where there is one: what passes here passes everywhere.
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1"}
    # Paths are the caller's: the child works elsewhere.
    given = [each if each.startswith("-") else str(Path(each).absolute()) for each in sys.argv[1:]]
    command = [str(python), "-m", "scripts.gpu_check", *given]
    return subprocess.run(command, env=variables, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
