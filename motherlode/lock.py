"""One process at a time: a lock on the home folder that the kernel lets go of when its process dies."""

import fcntl
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from motherlode.errors import StoreError
from motherlode.settings import Settings


@contextmanager
def exclusive(settings: Settings, name: str = "pipeline") -> Iterator[None]:
    """Hold the home folder for the length of the block.

    Args:
        settings: whose home.
        name: of the lock, `<name>.lock`. Locks of two names do not exclude each other: a command holds `pipeline`
            while the load that it runs holds `warehouse`.

    Raises:
        StoreError: another process, or another thread of this one, holds it, naming that.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / f"{name}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StoreError(
                f"{settings.home} is being changed by process {file.read().strip() or 'that has just started'}.",
                "Wait for it to end, or name another folder by --home.",
            ) from None
        file.truncate(0)
        # The command without what it was given: `erase` is given whom nothing may tell of afterwards.
        file.write(f"{os.getpid()}: {shlex.join(sys.argv[:2])}\n")
        file.flush()
        yield
