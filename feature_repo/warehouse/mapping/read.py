"""Reads a project's `motherlode.yaml`, and refuses what cannot be meant before any data is touched."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from feature_repo.warehouse.mapping import model, shape, validate
from feature_repo.warehouse.mapping.shape import Place, Places
from motherlode.errors import DataError

FILE: Final = "motherlode.yaml"

_REMEDIES: Final[Mapping[Place, str]] = {
    ("privacy", "pseudonym"): (
        "A plain hash can be searched through: whoever guesses the ids hashes them all and compares. Use hmac-sha256, "
        "whose key is read from MOTHERLODE_PSEUDONYM_KEY; none is for made-up data."
    )
}


@dataclass(frozen=True)
class Project:
    """A company's mapping, checked.

    Attributes:
        mapping: what it says.
        folder: relative paths of sources begin here.
        path: its file.
        text: the file's content.
        digest: the content's SHA-256, hex.
        places: where in the file things stand, for errors.
        packages: folders that stand in the place of installed Python packages, for `package:` files.
    """

    mapping: model.Mapping
    folder: Path
    path: Path
    text: bytes
    digest: str
    places: Places
    packages: Mapping[str, Path] = field(default_factory=dict)


def read(path: Path) -> Project:
    """A project's mapping.

    Args:
        path: the file, or the folder with `motherlode.yaml`.

    Raises:
        DataError: there is none, or it says something that cannot be; the error names file, line, keys and value.
    """
    file = path / FILE if path.is_dir() else path
    try:
        text = file.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"There is no mapping {file}.", "`motherlode init` writes one.") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.", "Check its permissions.") from error
    return parse(text, file)


def parse(text: bytes, file: Path) -> Project:
    """A mapping's content; `file` says where it lies.

    Raises:
        DataError: as `read`.
    """
    mapping, places = shape.read(text, file, model.Mapping, _REMEDIES)
    validate.validate(mapping, places)
    return Project(mapping, file.parent, file, text, hashlib.sha256(text).hexdigest(), places)
