"""The files to inspect as sources: read into a folder that is gone afterwards, grouped, and named."""

import re
import tempfile
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from feature_repo.warehouse.inspect import profile, readings, vocabulary
from feature_repo.warehouse.inspect.profile import FileProfile
from feature_repo.warehouse.inspect.readings import Read, RefusedError
from feature_repo.warehouse.sources import cloud
from feature_repo.warehouse.sources.find import PACKAGE
from motherlode.settings import Settings

HEAD: Final = 64 << 20
"""Bytes of a source's text files that are looked at."""
_NUMBER: Final = re.compile(r"\d+")
_EXPLODE: Final = "explode"
_SQLITE: Final = "sqlite://"


@dataclass(frozen=True)
class Refused:
    """A file that cannot be read."""

    file: str
    problem: str
    remedy: str


def profiles(settings: Settings, files: Sequence[str], folder: Path) -> tuple[list[FileProfile], list[Refused]]:
    """What is in the files; those of equal columns whose names differ in numbers alone are one source.

    Args:
        settings: the raw key, where there is one, holds for the temporary files too.
        files: paths, URLs, databases' URLs, or `package:NAME/PATH`.
        folder: where the mapping will lie; files below it are named from there.

    Raises:
        DataError: a file is not there.
    """
    groups: dict[tuple[object, ...], list[Read]] = {}
    refused: list[Refused] = []
    with tempfile.TemporaryDirectory(prefix="motherlode-inspect-") as scratch:
        near = replace(settings, home=Path(scratch))
        series = {name: sum(_series(name) == _series(other) for other in files) for name in files}
        for name in files:
            try:
                read = readings.of_name(near, name, HEAD // series[name])
            except RefusedError as error:
                refused.append(Refused(cloud.shown(name), error.problem, error.remedy))
                continue
            for one in read:
                key = (_series(name), one.part, tuple(one.frame.schema.items()), tuple(one.options.items()))
                groups.setdefault(key, []).append(one)
    made: list[FileProfile] = []
    for group in groups.values():
        made.append(_profile(group, _source(group[0], {it.source for it in made}), folder, made))
    return made, refused


def _profile(group: Sequence[Read], source: str, folder: Path, before: Sequence[FileProfile]) -> FileProfile:
    frame = pl.concat([it.frame for it in group])
    first = group[0]
    complete = all(it.complete for it in group) and frame.height <= readings.ROWS
    files = () if "database" in first.options else _written([it.file for it in group], folder)
    made = profile.of_frame(source, files, frame.head(readings.ROWS), first.how, complete)
    made = replace(made, options=_stated(first.options, folder), notes=first.notes)
    if _EXPLODE not in first.options:
        return made
    plain = next((it.source for it in before if it.files == files and _EXPLODE not in it.options), "")
    return profile.exploded(made, first.part, plain)


def _stated(options: Mapping[str, object], folder: Path) -> dict[str, object]:
    """Options as the mapping states them: an SQLite file below its folder by its relative path."""
    url = str(options.get("database", ""))
    if not url.startswith(_SQLITE):
        return dict(options)
    path = Path(url.removeprefix(_SQLITE)).absolute()
    return {**options, "database": f"{_SQLITE}/{_from(folder, str(path))}"}


def _series(name: str) -> str:
    """A name without its numbers: what the files of one export have in common."""
    return _NUMBER.sub("#", name)


def _source(read: Read, taken: Set[str]) -> str:
    """A source's name for a file's: `orders_2025-03.csv` → orders; for a list's in it, orders_lines."""
    stem = read.file.rstrip("/").rsplit("/", 1)[-1].split(".")[0]
    name = stem if not read.part else f"{stem}_{read.part}" if _EXPLODE in read.options else read.part
    plain = re.sub(r"[\W_]+", "_", vocabulary.fold(re.sub(r"[\W_]*\d[\d\W_]*", "_", name))).strip("_") or "source"
    number = next(count for count in range(1, len(taken) + 2) if f"{plain}_{count}" not in taken or count == 1)
    return plain if plain not in taken else f"{plain}_{number + 1}"


def _written(files: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Files as the mapping names them: one glob where it means these files and no other."""
    named = tuple(_from(folder, name) for name in files)
    if len(named) == 1:
        return named
    pattern = re.sub(r"\*[\W_\d]*\*", "*", _NUMBER.sub("*", named[0].rsplit("/", 1)[-1]))
    above = named[0].rsplit("/", 1)[0] + "/" if "/" in named[0] else ""
    meant = {str(path) for path in Path(folder, above).glob(pattern)} if "*" in pattern else set()
    return (above + pattern,) if meant == {str(Path(folder, name)) for name in named} else named


def _from(folder: Path, name: str) -> str:
    if name.startswith(PACKAGE) or "://" in name:
        return name
    path = Path(name).absolute()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
