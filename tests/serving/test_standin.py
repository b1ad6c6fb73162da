"""What stands where Ray wants an agent tells that there is none, and goes when its parent goes."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from serving import standin


@pytest.mark.parametrize(("script", "ports"), standin.PORTS.items())
def test_it_tells_every_port_that_raylet_waits_for_and_goes_with_its_parent(
    script: str, ports: tuple[str, ...], tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-IS",
        standin.__file__,
        f"/ray/{script}",
        "--node-id=ab",
        f"--session-dir={tmp_path}",
        "-x",
    ]
    code = f"import subprocess; subprocess.Popen({command!r}); input()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    files = {tmp_path / f"{port}_ab" for port in ports}
    until = time.monotonic() + 10
    while {path for path in tmp_path.iterdir() if path.suffix != ".new"} != files:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert {path.read_text() for path in files} == {"-1"}
    (child,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.communicate()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running()
