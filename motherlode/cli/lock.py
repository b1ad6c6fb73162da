"""One command at a time changes what lies in a home folder."""

import fcntl
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from motherlode.errors import StoreError
from motherlode.settings import Settings


@contextmanager
def exclusive(settings: Settings) -> Iterator[None]:
    """Hold the home folder for the length of the block. The kernel lets go of it when the process dies.

    Raises:
        StoreError: another command holds it, naming that.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "pipeline.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StoreError(
                f"{settings.home} is being changed by process {file.read().strip() or 'that has just started'}.",
                "Wait for it to end, or name another folder by --home.",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}: {shlex.join(sys.argv)}\n")
        file.flush()
        yield
