"""A new project's folder: a commented mapping or an example, a place for data, a key."""

import os
import secrets
import shutil
from pathlib import Path
from typing import Final

from feature_repo.warehouse.examples import example
from feature_repo.warehouse.mapping.read import FILE
from motherlode.errors import DataError

KEY: Final = Path("keys", "pseudonym.key")
"""The pseudonym key, below the project's folder: 32 random bytes as hex, one line."""
DATA: Final = "data"

_TEMPLATE: Final = Path(__file__).parent / "template"
_COMPANY: Final = "COMPANY"
_GITIGNORE: Final = ".gitignore"
_README: Final = "README.md"
_KEY_BYTES: Final = 32


def create(folder: Path, name: str | None = None) -> list[Path]:
    """Write a project; what is there already is never overwritten.

    Args:
        folder: made where it is not there.
        name: of an example to copy; None: the commented template.

    Returns:
        what was written, below `folder`.

    Raises:
        DataError: a file of the project is there already, or there is no such example.
    """
    source = None if name is None else example(name)
    there = [path for path in (FILE, _README, _GITIGNORE, KEY) if (folder / path).exists()]
    if source is not None and (source / DATA).is_dir() and (folder / DATA).exists():
        there.append(DATA)
    if there:
        raise DataError(f"{folder / there[0]} is there already.", "Name a new folder; nothing was written.")
    folder.mkdir(parents=True, exist_ok=True)
    if source is None:
        _fill(folder)
    else:
        _copy(source, folder)
    shutil.copyfile(_TEMPLATE / "gitignore.txt", folder / _GITIGNORE)
    _key(folder / KEY)
    return [Path(each) for each in (FILE, DATA, _README, _GITIGNORE, KEY) if (folder / each).exists()]


def _fill(folder: Path) -> None:
    company = folder.absolute().name
    for name, template in ((FILE, "motherlode.txt"), (_README, "readme.txt")):
        text = (_TEMPLATE / template).read_text(encoding="utf-8")
        written = text.replace(_COMPANY, company if name == _README else _quoted(company))
        (folder / name).write_text(written, encoding="utf-8")
    (folder / DATA).mkdir(exist_ok=True)


def _copy(source: Path, folder: Path) -> None:
    for name in (FILE, _README):
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)
    if (source / DATA).is_dir():
        shutil.copytree(source / DATA, folder / DATA)


def _quoted(company: str) -> str:
    """A name as YAML text, whatever signs it has."""
    return "'" + company.replace("'", "''") + "'"


def _key(path: Path) -> None:
    """A random key that its owner alone can read, from its first moment on."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(f"{secrets.token_hex(_KEY_BYTES)}\n")
