"""What HAProxy counts: it refuses what replicas never see. Asked by its socket, once a scrape.

Ray starts another HAProxy whenever replicas come or go: its counts then begin anew, as Prometheus expects of counters.
"""

import csv
import logging
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from serving.haproxy import SHED
from serving.sight import metrics as m
from serving.sight.counts import Series

_ASK: Final = f"show stat;get var {SHED}\n"
_CLASSES: Final = ("4xx", "5xx")
_BUSY: Final = "429"
_DOOR: Final = "http_frontend"
_PATIENCE_S: Final = 0.5
_log: Final = logging.getLogger(__name__)

Row = Mapping[str, str]


class HAProxy:
    """One HAProxy, asked by whichever replica is scraped.

    Args:
        path: of its socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told = False

    def series(self) -> dict[str, list[Series]]:
        """Its counts by the metric's name; nothing where it does not tell them: that is no 0."""
        try:
            found = counts(_ask(self._path))
            self._told = False
        except (OSError, ValueError, KeyError, StopIteration) as error:
            if not self._told:
                _log.warning("HAProxy does not tell its counts: %s.", type(error).__name__)
            self._told = True
            return {}
        return found


def counts(answer: str) -> dict[str, list[Series]]:
    """What HAProxy says as series, by the metric's name.

    Args:
        answer: what it says to `show stat`, as comma-separated values, and after an empty line to `get var`.

    Raises:
        KeyError: a column is not there.
        StopIteration: there is no such frontend.
        ValueError: a number is none.
    """
    table, _, rest = answer.partition("\n\n")
    rows = list(csv.DictReader(table.removeprefix("# ").splitlines()))
    door = next(row for row in rows if (row["pxname"], row["svname"]) == (_DOOR, "FRONTEND"))
    replicas = [row for row in rows if row["svname"] not in ("FRONTEND", "BACKEND")]
    shed = _shed(rest)
    own = {each: max(0, int(door[f"hrsp_{each}"]) - _sum(replicas, f"hrsp_{each}")) for each in _CLASSES}
    own["4xx"] = max(0, own["4xx"] - shed)
    return {
        m.HAPROXY_REQUESTS.name: [Series((), int(door["req_tot"]))],
        m.HAPROXY_RESPONSES.name: [Series((status,), value) for status, value in {_BUSY: shed, **own}.items()],
        m.HAPROXY_CONNECTIONS.name: [Series((), int(door["scur"]))],
    }


def _sum(rows: Iterable[Row], column: str) -> int:
    return sum(int(row[column]) for row in rows)


def _shed(told: str) -> int:
    """`proc.shed: type=sint value=<7>`; nothing where none was counted yet."""
    _, found, rest = told.partition("value=<")
    return int(rest.partition(">")[0]) if found else 0


def _ask(path: Path) -> str:
    """What it answers.

    Raises:
        OSError: it does not, or not in time.
    """
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(_PATIENCE_S)
        asked.connect(str(path))
        asked.sendall(_ASK.encode())
        parts = []
        while part := asked.recv(1 << 16):
            parts.append(part)
    return b"".join(parts).decode("ascii", "replace")
