"""What the process may use, not what the machine has."""

import os
import subprocess
import sys

import pytest

from motherlode.machine import cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind a process to cores")
def test_a_process_that_is_bound_to_one_core_has_one() -> None:
    assert cores() == len(os.sched_getaffinity(0))
    bound = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    code = f"{bound}; from motherlode.machine import cores; print(cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
