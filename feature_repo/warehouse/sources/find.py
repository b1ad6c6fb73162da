"""What a source of the mapping stands for: files, table folders, a query; here or in a cloud."""

import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import Final

from feature_repo.warehouse.mapping.model import Format, Source
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.sources import cloud
from feature_repo.warehouse.sources.content import PACKED
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
    """

    source: str
    name: str
    uri: str = field(repr=False)
    format: Format
    size: int = 0
    modified: datetime | None = None

    @property
    def local(self) -> Path | None:
        """Where it lies on this machine; None: it does not."""
        return None if self.format == "sql" or cloud.is_url(self.uri) else Path(self.uri)


def find(project: Project, source_name: str) -> list[Found]:
    """Everything that a source stands for, in the order of the mapping, then of the names.

    Raises:
        DataError: nothing is there, a variable is not set, or a format cannot be told.
    """
    source = project.mapping.sources[source_name]
    if source.database is not None:
        return [Found(source_name, source_name, _database(project.folder, source.database, source_name), "sql")]
    patterns = [source.files] if isinstance(source.files, str) else source.files or []
    if not patterns:
        raise DataError(f"The source {source_name} names no files and no database.", _STATED)
    found: dict[str, Found] = {}
    for pattern in patterns:
        for each in _matches(project, source_name, source, pattern):
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
        return [_in_cloud(source_name, source, entry) for entry in cloud.entries(expanded, source_name)]
    packaged = expanded.startswith(PACKAGE)
    paths = [_packaged(expanded, source_name, project.packages)] if packaged else _local(folder, expanded)
    if not paths:
        raise DataError(f"The source {source_name} names {pattern!r}, and nothing is there.", _STATED)
    return [_found(folder, source_name, source, pattern, expanded, path) for path in paths]


def _in_cloud(source_name: str, source: Source, entry: cloud.Entry) -> Found:
    made = _format(entry.uri, source, source_name, None)
    return Found(source_name, cloud.shown(entry.uri), entry.uri, made, entry.size, entry.modified)


def _local(folder: Path, pattern: str) -> list[Path]:
    """Files and table folders that a path or a glob names, in natural order."""
    whole = folder / pattern
    if whole.exists() or not has_magic(pattern):
        return [whole] if whole.exists() else []
    # Not pathlib's: its ** goes into hidden folders, and so into the home folder that lies beside the mapping.
    paths = [Path(each) for each in glob(str(whole), recursive=True)]  # noqa: PTH207
    return sorted((each for each in paths if _wanted(each)), key=lambda each: _natural(each.as_posix()))


def _wanted(path: Path) -> bool:
    """Files and table folders, but for what a program has left open or unfinished."""
    if path.name.startswith((".", "~$", "_")) or path.name.endswith((".tmp", ".part", ".crc", "~")):
        return False
    return path.is_file() or _table_folder(path) is not None


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _found(folder: Path, source_name: str, source: Source, pattern: str, expanded: str, path: Path) -> Found:
    stat = path.stat()
    name = pattern if pattern.startswith(PACKAGE) else _name(folder, pattern, expanded, path)
    size = stat.st_size if path.is_file() else 0
    modified = datetime.fromtimestamp(stat.st_mtime, UTC)
    return Found(source_name, name, str(path.resolve()), _format(name, source, source_name, path), size, modified)


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


def _format(name: str, source: Source, source_name: str, path: Path | None) -> Format:
    if source.format is not None:
        return source.format
    if path is not None and path.is_dir():
        table = _table_folder(path)
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
    made = _FORMATS.get(plain.suffix)
    if made is None:
        raise DataError(
            f"The source {source_name} names {cloud.shown(name)}, whose ending tells no format.",
            "State the source's `format`: csv, tsv, parquet, jsonl, excel, delta, iceberg.",
        )
    return made


def _table_folder(path: Path) -> Format | None:
    if (path / "_delta_log").is_dir():
        return "delta"
    return "iceberg" if path.is_dir() and any((path / "metadata").glob("*.metadata.json")) else None


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
