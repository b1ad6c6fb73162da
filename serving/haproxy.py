"""Stands between Ray Serve and HAProxy: `RAY_SERVE_HAPROXY_BINARY_PATH` names a script that runs this file.

Ray 2.60 writes HAProxy's configuration itself and has no setting for what a server needs: its statistics and metrics
listen on every interface, it logs every request to a syslog that is not there, it lets any number of requests wait,
it outlives a Ray that was killed, keeping the port, it knows no TLS, whoever sends a byte a minute keeps a connection,
one sender may have them all, callers may tell Ray by headers what to do, and what went wrong is told as 500, in plain
text. The replicas listen where HAProxy is said to: so Ray is told 127.0.0.1, and where HAProxy listens is written here.
So the configuration is edited before each start, and the process is told to die with its parent. Runs with the standard
library alone.
"""

import ctypes
import json
import os
import re
import shlex
import signal
import stat
import sys
from collections.abc import Sequence
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
_ERROR_FILE = re.compile(r"^\s*errorfile \d+ .*\n", re.MULTILINE)
"""Ray's: "500" in plain text where no replica gave an answer."""
_NO_BACKEND = re.compile(r"^(?P<indent>\s*)http-request return status 404 .* not found\. Ping .*$", re.MULTILINE)
"""Ray's answer to all while there is no application, or none any more."""
_MAXCONN = re.compile(r"^\s*maxconn (?P<most>\d+)$", re.MULTILINE)
_SOCKETS = re.compile(r"^global\n(?!    stats socket \S+ mode 600 level admin\n)", re.MULTILINE)
_LOG = re.compile(r"^\s*(?:log|log-format-sd|option httplog|option log-health-checks)\b.*\n", re.MULTILINE)

_CLIENT_S = 10
"""How long a client may take for a request's head and the first 16 KiB of its body; and for each later part of it."""
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_REQUEST_ID = "^[A-Za-z0-9._:-]{1,128}$"
"""What a caller may call a request: it stands in logs, and Ray's replica fails on what is no UTF-8."""
_RAYS_HEADERS = (
    "x-request-timeout-seconds",
    "x-session-id",
    "x_session_id",
    "serve- -m beg",
    "serve_ -m beg",
)
"""What a caller could tell Ray to do by; it reads them with underscores for hyphens as well."""
SHED = "proc.shed"
"""The variable in which HAProxy counts what it refuses with 429; its own counters know no status, but classes."""
PEM = "tls.pem"
SOCKET = "admin.sock"
"""HAProxy's own, in the launcher's folder: for a renewed certificate, and for what it counts (`show stat`)."""
SOCKET_VARIABLE = "RAY_SERVE_HAPROXY_SOCKET_PATH"
"""Of the environment of the server and of its replicas: where that socket is. Ray's own is beside its other files."""


class Door(NamedTuple):
    """Where HAProxy listens, and what it lets through.

    Attributes:
        host, port: the address.
        certificate, key: PEM files; empty: no TLS.
        paths: those that there are, as they are written; another is answered 404 here.
        below: how others begin.
    """

    host: str
    port: int
    certificate: str = ""
    key: str = ""
    paths: Sequence[str] = ()
    below: Sequence[str] = ()


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
    bound = _LOG.sub("", bound).replace(" mode 666 level admin", " mode 600 level admin")
    return _NO_BACKEND.sub(lambda found: found["indent"] + _answer("return", 503), _ERROR_FILE.sub("", bound))


def _shed(configuration: str, most: int) -> str:
    """Refuses calls while as many are in hand; nothing before there is a backend."""
    backend = _BACKEND.search(configuration)
    if backend is None:
        return ""
    busy = f"{{ path_beg /v1/ }} {{ be_conn({backend['name']}) ge {most} }}"
    count = f"http-request set-var({SHED}) var({SHED},0),add(1)"
    return f"    {count} if {busy}\n    {_answer('return', 429)} if {busy}\n"


_SAID = {
    404: ("%[path,json(utf8s)]", "There is nothing at this path.", "See /docs."),
    408: (r"\$", "The request did not come in time.", "Send it in one go."),
    429: ("/v1", "The server is busy.", "Try again after the seconds of Retry-After."),
    502: ("/v1", "The answer broke off.", "Try again; the server's log says what happened."),
    503: ("/v1", "Nobody answers now.", "Try again after the seconds of Retry-After."),
    504: ("/v1", "The answer did not come in time.", "Try again, or ask for less at once."),
}
"""What HAProxy answers itself, as the replicas say it (`motherlode.api.ErrorAnswer`): path, message, remedy."""
_WAIT = (429, 503)


def _answer(kind: str, status: int) -> str:
    """A directive that answers a status: `return`, or `error` for what HAProxy finds wrong by itself."""
    path, message, remedy = (part.replace('"', r"\"") for part in _SAID[status])
    problem = rf"{{\"path\":\"{path}\",\"message\":\"{message}\",\"remedy\":\"{remedy}\"}}"
    body = rf"{{\"error\":{problem},\"request_id\":\"%[var(txn.id)]\"}}"
    verb = "http-request return" if kind == "return" else "http-error"
    wait = " hdr Retry-After 1" if status in _WAIT else ""
    return f'{verb} status {status} content-type application/json{wait} lf-string "{body}"'


def hang(configuration: str, door: Door, folder: str) -> str:
    """The configuration with the door that is asked for, and with bounds on how long a request may be in coming.

    Args:
        configuration: tamed.
        door: where to listen.
        folder: the launcher's: where the certificate and its key lie in one file, as `write_pem` writes it, and where
            HAProxy's own socket is to be.
    """
    host = f"[{door.host}]" if ":" in door.host else door.host
    tls = f" ssl crt {folder}/{PEM} ssl-min-ver TLSv1.2 ciphers {_CIPHERS} alpn http/1.1" if door.certificate else ""
    # `proto h1`: else whoever begins as HTTP/2 does is answered by it, and one connection asks for a hundred things.
    bind = f"    bind {host}:{door.port}{tls} proto h1\n"
    bounds = (
        f"    timeout client {_CLIENT_S}s\n"
        f"    timeout http-request {_CLIENT_S}s\n"
        "    option http-buffer-request\n"
        + _share(configuration)
        + "".join(f"    {_answer('error', status)}\n" for status in (408, 502, 503, 504))
        + f"    acl ml_id req.hdr(x-request-id) -m reg {_REQUEST_ID}\n"
        "    http-request set-var(txn.id) req.hdr(x-request-id) if ml_id\n"
        "    http-request set-var(txn.id) uuid() if !{ var(txn.id) -m found }\n"
        "    http-request set-header x-request-id %[var(txn.id)]\n"
        "    http-after-response set-header x-request-id %[var(txn.id)] if { var(txn.id) -m found }\n"
        "    http-response del-header server\n"
        # Who calls, for the audit log: nobody may say so of themselves.
        "    http-request set-header x-forwarded-for %[src]\n"
        + "".join(f"    http-request del-header {each}\n" for each in _RAYS_HEADERS)
        # Asked a second time, a word would be newer than one that came between.
        + "    http-request disable-l7-retry if { path /v1/consent }\n"
        + _only(door)
    )
    hung = _HUNG.sub(lambda found: found["name"] + bind + found["quick"] + bounds, configuration)
    own = f"global\n    stats socket {folder}/{SOCKET} mode 600 level admin\n"
    return _SOCKETS.sub(lambda _: own, hung)


def _share(configuration: str) -> str:
    """One address has half of the connections at most; a proxy on this machine stands for all its callers."""
    found = _MAXCONN.search(configuration)
    if found is None:
        return ""
    return (
        "    stick-table type ipv6 size 100k expire 60s store conn_cur\n"
        "    tcp-request connection track-sc0 src if !{ src 127.0.0.0/8 ::1 }\n"
        f"    tcp-request connection reject if {{ sc0_conn_cur gt {int(found['most']) // 2} }}\n"
    )


def _only(door: Door) -> str:
    """Answers every path that is not the application's: Ray's own tell what is deployed.

    They are compared as they are written: whoever writes one by another spelling gets nothing, whatever a server behind
    would make of it.
    """
    if not door.paths:
        return ""
    known = [f"    acl ml_path path {each}\n" for each in door.paths]
    known += [f"    acl ml_path path_beg {each}\n" for each in door.below]
    return f"{''.join(known)}    {_answer('return', 404)} unless ml_path\n"


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
    parts = (sys.executable, "-I", "-S", __file__, str(binary), str(most), str(folder), json.dumps(door))
    command = " ".join(shlex.quote(part) for part in parts)
    launcher.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    launcher.chmod(stat.S_IRWXU)
    return launcher


def main(arguments: list[str]) -> None:
    """Become HAProxy.

    Args:
        arguments: the real binary, how many requests may be in hand, the launcher's folder, the door, then what Ray
            calls it with.
    """
    binary, most, folder, told, *rest = arguments
    door = json.loads(told)
    if "-f" in rest:
        path = Path(rest[rest.index("-f") + 1])
        tamed = tame(path.read_text(), str(path.parent), int(most))
        if door is not None:
            if Door(*door).certificate:
                write_pem(Door(*door), Path(folder))
            # Ray puts its own files in a folder of the node's, whose name nobody knows beforehand.
            tamed = hang(tamed, Door(*door), folder)
        path.write_text(tamed)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.execv(binary, [binary, *rest])


if __name__ == "__main__":
    main(sys.argv[1:])
