"""What a source of the mapping stands for: files, table folders, a query; here or in a cloud."""

import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final

from feature_repo.warehouse.mapping.model import Format, Source
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.sources import cloud, listing
from feature_repo.warehouse.sources.content import PACKED, MissingError, unreadable
from motherlode.errors import DataError
from motherlode.settings import environment

PACKAGE: Final = "package:"
_FORMATS: Final[Mapping[str, Format]] = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".xlsx": "excel",
    ".xlsm": "excel",
    ".xlsb": "excel",
    ".xls": "excel",
    ".ods": "excel",
}
FOLDERS: Final = ("delta", "iceberg")
"""Formats of tables that are folders."""
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_STATED: Final = "Write the file's path, a glob, or a URL under the source's `files`, relative to the mapping's folder."
_STATE: Final = "State the source's `format`, or narrow the glob."
_NARROW: Final = "Narrow the glob, or put a file in its place."


@dataclass(frozen=True)
class Found:
    """One file, table or query of a source.

    Attributes:
        source: the mapping's name for it.
        name: as the mapping's folder sees it, without secrets; for a query, the source's name.
        uri: an absolute path, or a URL. It may hold a password: never shown.
        format: how it is read.
        size: bytes; 0 where only reading tells.
        modified: when it was last written, UTC; None where only reading tells.
        problem, remedy: why what a glob matched is refused, unopened, and what to do; "" where it is read. Then
            `format` says nothing.
    """

    source: str
    name: str
    uri: str = field(repr=False)
    format: Format
    size: int = 0
    modified: datetime | None = None
    problem: str = ""
    remedy: str = ""

    @property
    def local(self) -> Path | None:
        """Where it lies on this machine; None: it does not, or is not to be opened."""
        return None if self.problem or self.format == "sql" or cloud.is_url(self.uri) else Path(self.uri)


def _raise(_: str, error: MissingError) -> None:
    raise error


def find(project: Project, source_name: str, on_missing: Callable[[str, MissingError], None] = _raise) -> list[Found]:
    """Everything that a source stands for, in the order of the mapping, then of the names.

    What a glob matches and cannot be read has a `problem`: a file whose ending tells no format where the source states
    none, a folder that is no table, a link to nothing, a pipe, a socket. `listing.listed` says which names a glob
    leaves out: hidden files, what editors and exports have not finished.

    Args:
        project: its mapping names the source.
        source_name: which.
        on_missing: told a name that nothing is there by, and the error that it is; if it does not raise, the source's
            other names count.

    Raises:
        MissingError: nothing is there by one of its names, unless `on_missing` lets that pass.
        DataError: a variable is not set, or a format cannot be told of a file that is named.
    """
    source = project.mapping.sources[source_name]
    if source.database is not None:
        return [Found(source_name, source_name, _database(project.folder, source.database, source_name), "sql")]
    patterns = [source.files] if isinstance(source.files, str) else source.files or []
    if not patterns:
        raise DataError(f"The source {source_name} names no files and no database.", _STATED)
    found: dict[str, Found] = {}
    for pattern in patterns:
        try:
            matches = _matches(project, source_name, source, pattern)
        except MissingError as error:
            on_missing(pattern, error)
            continue
        for each in matches:
            found.setdefault(each.uri, each)
    return list(found.values())


def _database(folder: Path, url: str, source_name: str) -> str:
    """A database's URL; a relative path of SQLite lies below the mapping's folder, `sqlite:///data.db`."""
    expanded = _expanded(url, source_name)
    scheme, _, path = expanded.partition("://")
    if scheme != "sqlite":
        return expanded
    relative = folder / path.removeprefix("/")
    whole = relative if relative.is_file() else Path(path if path.startswith("/") else f"/{path}")
    return f"{scheme}://{whole.absolute()}"


def _matches(project: Project, source_name: str, source: Source, pattern: str) -> list[Found]:
    folder = project.folder
    expanded = _expanded(pattern, source_name)
    if cloud.is_url(expanded) and source.format in FOLDERS:
        return [Found(source_name, cloud.shown(expanded), expanded, source.format)]
    if cloud.is_url(expanded):
        found = [_in_cloud(source_name, source, expanded, entry) for entry in cloud.entries(expanded, source_name)]
        if all(each is None for each in found):
            raise MissingError(
                f"The source {source_name} names {cloud.shown(expanded)}, and nothing is there.", _STATED
            )
        return [each for each in found if each is not None]
    packaged = expanded.startswith(PACKAGE)
    paths = {_packaged(expanded, source_name, project.packages): ""} if packaged else listing.listed(folder, expanded)
    if not paths:
        raise MissingError(f"The source {source_name} names {pattern!r}, and nothing is there.", _STATED)
    return [_found(folder, source_name, source, pattern, expanded, path, problem) for path, problem in paths.items()]


def _in_cloud(source_name: str, source: Source, pattern: str, entry: cloud.Entry) -> Found | None:
    """A file behind a URL; None: one that a glob leaves out."""
    name = cloud.shown(entry.uri)
    if cloud.is_glob(pattern) and listing.left_out(name.rpartition("/")[2]):
        return None
    made = _format(entry.uri, source, source_name, None)
    if made is None and not cloud.is_glob(pattern):
        raise _formatless(source_name, name)
    if made is None:
        return _unusable(source_name, name, entry.uri, f"{name}: its ending tells no format.", _STATE)
    return Found(source_name, name, entry.uri, made, entry.size, entry.modified)


def _found(
    folder: Path, source_name: str, source: Source, pattern: str, expanded: str, path: Path, problem: str
) -> Found:
    name = pattern if pattern.startswith(PACKAGE) else _name(folder, pattern, expanded, path)
    if problem:
        return _unusable(source_name, name, str(path.absolute()), f"{name} {problem}.", _NARROW)
    try:
        stat = path.stat()
    except OSError as error:  # it went while its folder was listed
        return _unusable(source_name, name, str(path.absolute()), unreadable(name, error).problem, _NARROW)
    size = stat.st_size if path.is_file() else 0
    modified = datetime.fromtimestamp(stat.st_mtime, UTC)
    made = _format(name, source, source_name, path)
    if made is None and not listing.is_glob(folder, expanded):
        raise _formatless(source_name, name)
    if made is None:
        return _unusable(source_name, name, str(path.resolve()), f"{name}: its ending tells no format.", _STATE)
    return Found(source_name, name, str(path.resolve()), made, size, modified)


def _unusable(source_name: str, name: str, uri: str, problem: str, remedy: str) -> Found:
    return Found(source_name, name, uri, "csv", problem=problem, remedy=remedy)


def _formatless(source_name: str, name: str) -> DataError:
    return DataError(
        f"The source {source_name} names {cloud.shown(name)}, whose ending tells no format.",
        "State the source's `format`: csv, tsv, parquet, jsonl, excel, delta, iceberg.",
    )


def _name(folder: Path, pattern: str, expanded: str, path: Path) -> str:
    """A path as the mapping's folder sees it; what a variable stands for stays hidden behind the variable."""
    variable = _VARIABLE.search(pattern)
    if variable is not None and variable.start() == 0:
        value = _expanded(variable.group(), "")
        if Path(value).is_absolute() and path.is_relative_to(value):
            return (
                f"{variable.group()}/{path.relative_to(value).as_posix()}" if path != Path(value) else variable.group()
            )
    return PurePosixPath(os.path.relpath(path, folder)).as_posix()


def _format(name: str, source: Source, source_name: str, path: Path | None) -> Format | None:
    """How a file or a table is read; None: its ending does not tell."""
    if source.format is not None:
        return source.format
    if path is not None and path.is_dir():
        table = listing.table_format(path)
        if table is None:
            raise DataError(
                f"The source {source_name} names the folder {name}, which is no Delta or Iceberg table.",
                f"Name its files: {name}/*.csv, or {name}/**/*.parquet.",
            )
        return table
    if name.endswith(".metadata.json"):
        return "iceberg"
    plain = PurePosixPath(name.split("?")[0].lower())
    if plain.suffix in PACKED:
        plain = plain.with_suffix("")
    return _FORMATS.get(plain.suffix)


def _packaged(path: str, source_name: str, stand_ins: Mapping[str, Path]) -> Path:
    """A file of an installed Python package, `package:NAME/PATH`; the package itself is not run."""
    name, _, rest = path.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    locations = [stand_ins[name]] if name in stand_ins else spec and spec.submodule_search_locations
    if not locations:
        raise DataError(
            f"The source {source_name} names a file of the Python package {name}, which is not installed.",
            f"Install it: pip install {name.replace('_', '-')}.",
        )
    for location in locations:
        if (Path(location) / rest).is_file():
            return Path(location) / rest
    raise DataError(f"The Python package {name} has no file {rest!r}.", "Check the path after the package's name.")


def _expanded(pattern: str, source_name: str) -> str:
    """A text whose `${VARIABLE}` are replaced by the environment's values."""
    values = environment({})

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise DataError(
                f"The source {source_name} needs the environment variable {match[1]}, which is not set.",
                f"Set {match[1]}, or write the value into the mapping.",
            )
        return values[match[1]]

    return _VARIABLE.sub(value, pattern)
