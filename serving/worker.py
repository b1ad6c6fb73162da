"""Starts a Python worker of Ray; raylet runs this file (`RayParams.setup_worker_path`). Standard library alone.

Ray's own script imports all of Ray, .35 s of CPU, to find that it has no environment to set up, and then starts Python
anew for the worker, which imports Ray again. Here the worker runs in the process that raylet has started.
"""

import runpy
import sys

_OF_THE_SCRIPT = ("--language=", "--serialized-runtime-env-context=")
"""What raylet tells the script that starts a worker, and not the worker."""
_LEFT_OUT = ("pandas", "pyarrow")
"""Ray Serve tries to import them to encode what nobody answers with here: half a second of CPU and 60 MB a process."""


def leave_out() -> None:
    """Let this process find no library that answers do without. To be called before Ray is imported."""
    for name in _LEFT_OUT:
        sys.modules[name] = None  # type: ignore[assignment] # importing it is an ImportError then


def main(arguments: list[str]) -> None:
    """Be a worker.

    Args:
        arguments: those of Ray's script, among them the worker's own script, followed by the worker's.
    """
    leave_out()
    sys.argv = [each for each in arguments if not each.startswith(_OF_THE_SCRIPT)]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
