"""Stands where Ray wants an agent of a node, and does nothing until its parent ends. Standard library alone.

Ray 2.60's raylet starts two agents, waits until they have told their ports, and ends when they end. One tells of the
node on a dashboard, the other makes environments for workers; nobody here asks either, and they cost 1.6 s of CPU
before the first answer.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PORTS = {
    "agent.py": ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port"),
    "main.py": ("runtime_env_agent_port",),
}
"""The agent's script → the ports that raylet waits for."""
_NONE = "-1"
_PR_SET_PDEATHSIG = 1
_LOOK_S = 10.0


def main(arguments: list[str]) -> None:
    """Say that there are no such ports, and wait.

    Args:
        arguments: the agent's script, and what raylet starts it with.
    """
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    told = dict(each.removeprefix("--").split("=", 1) for each in arguments[1:] if "=" in each)
    for name in PORTS[Path(arguments[0]).name]:
        path = Path(told["session-dir"]) / f"{name}_{told['node-id']}"
        scratch = path.with_suffix(".new")
        scratch.write_text(_NONE)
        scratch.replace(path)
    while os.getppid() == parent:
        time.sleep(_LOOK_S)  # where nothing tells of a parent's death, it is looked for


if __name__ == "__main__":
    main(sys.argv[1:])
