"""Files that are whole or not there: staged under a temporary name, then renamed into place."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_STAGING: Final = ".staging-"


@contextmanager
def staging(home: Path) -> Iterator[Path]:
    """A folder to write into; when the block ends well its files move below `home`, else they vanish.

    A file `<staging>/integrated/items.parquet` replaces `<home>/integrated/items.parquet` in one step.
    What a killed run left behind is cleared first.
    """
    home.mkdir(parents=True, exist_ok=True)
    for left_over in home.glob(f"{_STAGING}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=_STAGING, dir=home))
    try:
        yield scratch
        for path in sorted(path for path in scratch.rglob("*") if path.is_file()):
            target = home / path.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write(path: Path, content: bytes) -> None:
    """Replace a file's content in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
