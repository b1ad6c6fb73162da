"""Stands between Ray Serve and HAProxy: `RAY_SERVE_HAPROXY_BINARY_PATH` names a script that runs this file.

Ray 2.60 writes HAProxy's configuration itself and has no setting for what a server needs: its statistics and metrics
listen on every interface, it logs every request to a syslog that is not there, it lets any number of requests wait,
it outlives a Ray that was killed, keeping the port, it knows no TLS, and whoever sends a byte a minute keeps a
connection. The replicas listen where HAProxy is said to: so Ray is told 127.0.0.1, and where HAProxy listens is written
here. So the configuration is edited before each start, and the process is told to die with its parent. Runs with the
standard library alone.
"""

import ctypes
import json
import os
import re
import shlex
import signal
import stat
import sys
from pathlib import Path
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_LISTENER = re.compile(r"^(?P<indent>\s*)bind (?:\*)?:(?P<port>\d+)$", re.MULTILINE)
_FRONTEND = re.compile(
    r"^frontend http_frontend\n\s*bind .*\n(?!\s*http-request set-header x-request-disconnect)", re.MULTILINE
)
_BACKEND = re.compile(r"^backend (?P<name>http-\S+)$", re.MULTILINE)
_QUICK = "    http-request set-header x-request-disconnect-disabled ?1\n"
"""Spares Ray a task a request: whoever hangs up is found out when the answer is sent."""
_HUNG = re.compile(
    rf"^(?P<name>frontend http_frontend\n)\s*bind .*\n(?P<quick>{re.escape(_QUICK)})(?!\s*timeout client)", re.MULTILINE
)
_BUSY = (
    r"{\"error\":{\"path\":\"/v1\",\"message\":\"The server is busy.\","
    r"\"remedy\":\"Try again after the seconds of Retry-After.\"}}"
)
_LOG = re.compile(r"^\s*(?:log|log-format-sd|option httplog|option log-health-checks)\b.*\n", re.MULTILINE)

_CLIENT_S = 10
"""How long a client may take for a request's head and the first 16 KiB of its body; and for each later part of it."""
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
PEM = "tls.pem"
SOCKET = "admin.sock"


class Door(NamedTuple):
    """Where HAProxy listens.

    Attributes:
        host, port: the address.
        certificate, key: PEM files; empty: no TLS.
    """

    host: str
    port: int
    certificate: str = ""
    key: str = ""


def tame(configuration: str, folder: str, most: int) -> str:
    """The configuration without listeners on every interface and without logs, and with a bound on what waits.

    Args:
        configuration: as Ray wrote it.
        folder: where the sockets lie that stand for those listeners.
        most: requests in hand, above which others are refused with 429: here, since a replica would spend on a refusal
            half of what an answer costs.
    """
    bound = _LISTENER.sub(rf"\g<indent>bind unix@{folder}/\g<port> mode 600", configuration)
    bound = _FRONTEND.sub(lambda found: found[0] + _QUICK + _shed(configuration, most), bound)
    return _LOG.sub("", bound).replace(" mode 666 level admin", " mode 600 level admin")


def _shed(configuration: str, most: int) -> str:
    """Refuses calls while as many are in hand; nothing before there is a backend."""
    backend = _BACKEND.search(configuration)
    if backend is None:
        return ""
    busy = f"{{ path_beg /v1/ }} {{ be_conn({backend['name']}) ge {most} }}"
    return (
        "    http-request return status 429 content-type application/json hdr Retry-After 1 "
        f'string "{_BUSY}" if {busy}\n'
    )


def hang(configuration: str, door: Door, folder: str) -> str:
    """The configuration with the door that is asked for, and with bounds on how long a request may be in coming.

    Args:
        configuration: tamed.
        door: where to listen.
        folder: where the certificate and its key lie in one file, as `write_pem` writes it.
    """
    host = f"[{door.host}]" if ":" in door.host else door.host
    tls = f" ssl crt {folder}/{PEM} ssl-min-ver TLSv1.2 ciphers {_CIPHERS} alpn http/1.1" if door.certificate else ""
    bind = f"    bind {host}:{door.port}{tls}\n"
    bounds = (
        f"    timeout client {_CLIENT_S}s\n"
        f"    timeout http-request {_CLIENT_S}s\n"
        "    option http-buffer-request\n"
        # Who calls, for the audit log: nobody may say so of themselves.
        "    http-request set-header x-forwarded-for %[src]\n"
        # Ray's own paths tell what is deployed.
        "    http-request return status 404 if { path_beg -i /-/ } !{ src 127.0.0.0/8 ::1 }\n"
    )
    return _HUNG.sub(lambda found: found["name"] + bind + found["quick"] + bounds, configuration)


def write_pem(door: Door, folder: Path) -> None:
    """Write the certificate and its key as the one file that HAProxy takes, for this user alone."""
    made = folder / f"{PEM}.{os.getpid()}"
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR), "wb") as file:
        file.write(Path(door.certificate).read_bytes().rstrip() + b"\n" + Path(door.key).read_bytes())
    made.replace(folder / PEM)


def write_launcher(folder: Path, binary: Path, most: int, door: Door | None = None) -> Path:
    """An executable that runs this file for a HAProxy binary.

    Args:
        folder: where to put it.
        binary: the real HAProxy.
        most: see `tame`.
        door: where to listen; None: where Ray says.
    """
    launcher = folder / "haproxy"
    parts = (sys.executable, "-I", "-S", __file__, str(binary), str(most), json.dumps(door))
    command = " ".join(shlex.quote(part) for part in parts)
    launcher.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    launcher.chmod(stat.S_IRWXU)
    return launcher


def main(arguments: list[str]) -> None:
    """Become HAProxy.

    Args:
        arguments: the real binary, how many requests may be in hand, the door, then what Ray calls it with.
    """
    binary, most, told, *rest = arguments
    door = json.loads(told)
    if "-f" in rest:
        path = Path(rest[rest.index("-f") + 1])
        tamed = tame(path.read_text(), str(path.parent), int(most))
        if door is not None:
            if Door(*door).certificate:
                write_pem(Door(*door), path.parent)
            tamed = hang(tamed, Door(*door), str(path.parent))
        path.write_text(tamed)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.execv(binary, [binary, *rest])


if __name__ == "__main__":
    main(sys.argv[1:])
