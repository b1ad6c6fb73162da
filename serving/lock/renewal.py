"""A certificate that is renewed while HAProxy runs: handed over by its admin socket, no connection is lost."""

import logging
import socket
import time
from pathlib import Path
from typing import Final

from motherlode.errors import SettingsError
from serving.haproxy import PEM, SOCKET, Door, write_pem
from serving.lock.policy import require_pair

_EVERY_S: Final = 5.0
_TIMEOUT_S: Final = 5.0
_DONE: Final = "Success!"

_log: Final = logging.getLogger(__name__)


class Renewal:
    """Looks for another certificate.

    Args:
        door: with the files.
        folder: of HAProxy's socket and of the file that it took.
    """

    def __init__(self, door: Door, folder: Path) -> None:
        self._door = door
        self._folder = folder
        self._mark = self._stamps()
        self._looked = time.monotonic()

    def look(self) -> None:
        """Hand the certificate to HAProxy where its files are others; those that do not fit are left alone.

        To be called as often as you like: it looks every five seconds.
        """
        now = time.monotonic()
        if not self._door.certificate or now - self._looked < _EVERY_S:
            return
        self._looked = now
        mark = self._stamps()
        if mark is None or mark == self._mark:
            return
        try:
            require_pair(Path(self._door.certificate), Path(self._door.key))
            self._hand_over()
        except (SettingsError, OSError) as error:
            # Both files may be on their way: it is tried again until they fit.
            _log.warning("The certificate that was served stays: %s", error)
            return
        self._mark = mark
        _log.warning("Another certificate is served from now on.")

    def _hand_over(self) -> None:
        write_pem(self._door, self._folder)
        path = self._folder / PEM
        # A blank line would end the content early.
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        for command in (f"set ssl cert {path} <<\n" + "\n".join(lines) + "\n\n", f"commit ssl cert {path}\n"):
            answer = self._tell(command)
            if command.startswith("commit") and _DONE not in answer:
                raise OSError(f"HAProxy does not take it: {' '.join(answer.split())[:200]}")

    def _tell(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(self._folder / SOCKET))
            connection.sendall(command.encode())
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts).decode(errors="replace")

    def _stamps(self) -> tuple[tuple[int, int], ...] | None:
        try:
            found = [Path(each).stat() for each in (self._door.certificate, self._door.key)]
        except OSError:
            return None
        return tuple((each.st_ino, each.st_mtime_ns) for each in found)
