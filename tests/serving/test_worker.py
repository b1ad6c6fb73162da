"""A worker of Ray starts in one process, and without the libraries that no answer needs."""

import subprocess
import sys
from pathlib import Path

from serving import worker


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-P", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def test_a_workers_script_runs_in_the_process_that_was_started_with_its_own_arguments_alone(tmp_path: Path) -> None:
    script = tmp_path / "default_worker.py"
    script.write_text(
        "import http.client, os, sys\n"  # Python's own http, not this room's
        "if __name__ == '__main__':\n"
        "    print(os.getppid(), sys.argv[1:], sys.modules['pandas'])\n"
    )
    told = ["--language=PYTHON", str(script), "--serialized-runtime-env-context={}", "--node-id=1", "--webui="]
    code = (
        f"import os, runpy, sys; print(os.getppid()); sys.argv = ['', *{told!r}]; runpy.run_path({worker.__file__!r}, "
    )
    before, after = run("-c", code + "run_name='__main__')").splitlines()
    assert after == f"{before} ['--node-id=1', '--webui='] None"


def test_ray_serve_is_imported_without_pandas() -> None:
    code = (
        "from serving.worker import leave_out; leave_out(); import sys, ray.serve; print('pandas.core' in sys.modules)"
    )
    assert run("-c", code) == "False\n"
