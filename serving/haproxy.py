"""Stands between Ray Serve and HAProxy: `RAY_SERVE_HAPROXY_BINARY_PATH` names a script that runs this file.

Ray 2.60 writes HAProxy's configuration itself and has no setting for three things that a server on this machine
needs: its statistics and metrics listen on every interface, it logs every request to a syslog that is not there, and
it outlives a Ray that was killed, keeping the port. So the configuration is edited before each start, and the process
is told to die with its parent. Runs with the standard library alone.
"""

import ctypes
import os
import re
import shlex
import signal
import stat
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LISTENER = re.compile(r"^(?P<indent>\s*)bind (?:\*)?:(?P<port>\d+)$", re.MULTILINE)
_FRONTEND = re.compile(r"^frontend http_frontend\n(?P<bind>\s*bind .*\n)", re.MULTILINE)
_QUICK = "    http-request set-header x-request-disconnect-disabled ?1\n"
_LOG = re.compile(r"^\s*(?:log|log-format-sd|option httplog|option log-health-checks)\b.*\n", re.MULTILINE)


def tame(configuration: str, folder: str) -> str:
    """The configuration without listeners on every interface and without logs.

    Args:
        configuration: as Ray wrote it.
        folder: where the sockets lie that stand for those listeners.
    """
    bound = _LISTENER.sub(rf"\g<indent>bind unix@{folder}/\g<port> mode 600", configuration)
    bound = _FRONTEND.sub(rf"\g<0>{_QUICK}", bound)
    return _LOG.sub("", bound).replace(" mode 666 level admin", " mode 600 level admin")


def write_launcher(folder: Path, binary: Path) -> Path:
    """An executable that runs this file for a HAProxy binary.

    Args:
        folder: where to put it.
        binary: the real HAProxy.
    """
    launcher = folder / "haproxy"
    command = " ".join(shlex.quote(part) for part in (sys.executable, "-I", "-S", __file__, str(binary)))
    launcher.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    launcher.chmod(stat.S_IRWXU)
    return launcher


def main(arguments: list[str]) -> None:
    """Become HAProxy.

    Args:
        arguments: the real binary, then what Ray calls it with.
    """
    binary, *rest = arguments
    if "-f" in rest:
        path = Path(rest[rest.index("-f") + 1])
        path.write_text(tame(path.read_text(), str(path.parent)))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.execv(binary, [binary, *rest])


if __name__ == "__main__":
    main(sys.argv[1:])
