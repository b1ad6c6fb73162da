"""What `inspect` proposes for the examples' files, against the mappings that a person wrote for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from feature_repo.warehouse import pipeline
from feature_repo.warehouse.contract import TABLES
from feature_repo.warehouse.examples import example
from feature_repo.warehouse.inspect import propose, read, write
from feature_repo.warehouse.mapping.expressions import references
from feature_repo.warehouse.mapping.model import ColumnMap, TableMap
from feature_repo.warehouse.mapping.read import Project, parse
from feature_repo.warehouse.mapping.read import read as read_mapping
from feature_repo.warehouse.sources.find import find
from motherlode.settings import Settings

Column = tuple[str, str]
"""A file's name and a column's."""


@dataclass(frozen=True)
class Agreement:
    """How far two mappings of the same files make the same of their columns.

    Attributes:
        right: columns that the first makes nothing else of than the second does, or that neither uses.
        wrong: the others → what the first makes of it, and the second.
    """

    right: int
    wrong: Mapping[Column, tuple[frozenset[str], frozenset[str]]]

    @property
    def share(self) -> float:
        return self.right / (self.right + len(self.wrong))


def agreement(proposed: Project, by_hand: Project, columns: set[Column]) -> Agreement:
    """Canonical columns with their format and unit; the company's own with their type and class."""
    ours, theirs = _targets(proposed), _targets(by_hand)
    none = frozenset[str]()
    pairs = {column: (ours.get(column, none), theirs.get(column, none)) for column in columns}
    wrong = {column: (a, b) for column, (a, b) in pairs.items() if a != b and not (a and a <= b)}
    return Agreement(len(pairs) - len(wrong), wrong)


def proposal(home: Path, files: list[Path]) -> tuple[Project, set[Column]]:
    """The mapping proposed for files, and all their columns."""
    profiles, refused = read.profiles(Settings(home=home), [str(file) for file in files], Path("/"))
    assert not refused
    text = write.mapping(propose.propose(profiles), "Company")
    columns = {(Path("/", it.files[0]).name.split("*")[0], name) for it in profiles for name in it.columns}
    return parse(text.encode(), Path("/motherlode.yaml")), {(_plain(file), name) for file, name in columns}


def files_of(project: Project) -> list[Path]:
    """The files that a mapping names."""
    return [Path(found.uri) for name in project.mapping.sources for found in find(project, name)]


@pytest.mark.parametrize(("name", "least"), [("online_shop", 0.9), ("bank_calls", 0.8), ("demo", 0.9)])
def test_most_columns_of_the_examples_are_proposed_as_a_person_mapped_them(
    name: str, least: float, tmp_path: Path
) -> None:
    by_hand = read_mapping(example(name))
    proposed, columns = proposal(tmp_path, files_of(by_hand))
    found = agreement(proposed, by_hand, columns)
    assert found.share >= least, found.wrong


@pytest.mark.parametrize("name", ["online_shop", "bank_calls"])
def test_what_is_proposed_loads_as_it_stands(name: str, tmp_path: Path) -> None:
    proposed, _ = proposal(tmp_path / "near", files_of(read_mapping(example(name))))
    settings = Settings(home=tmp_path / "home", pseudonym_key="a key of sixteen bytes or more")
    lineage = pipeline.load(settings, proposed)
    assert all(row.balanced for row in lineage.tables)
    rejected = sum(row.quarantined for row in lineage.tables) / sum(row.landed for row in lineage.tables)
    assert rejected < 0.01


def _plain(file: str) -> str:
    return file.rstrip("0123456789-_.*").split(".")[0].rstrip("0123456789-_")


def _targets(project: Project) -> dict[Column, frozenset[str]]:
    first = {name: _plain(Path(find(project, name)[0].uri).name) for name in project.mapping.sources}
    found: dict[Column, set[str]] = {}
    for table, of in project.mapping.tables.items():
        for entry in of if isinstance(of, list) else [of]:
            for name, made in entry.columns.items():
                spec = made if isinstance(made, ColumnMap) else ColumnMap(from_=made)
                for reference in _raw(spec):
                    source, column = _lies(reference, entry)
                    found.setdefault((first[source], column), set()).add(_what(table, name, spec))
    people = project.mapping.tables.get("customers")
    if project.mapping.matching is not None and isinstance(people, TableMap):
        for name, made in project.mapping.matching.columns.items():
            spec = made if isinstance(made, ColumnMap) else ColumnMap(from_=made)
            for reference in _raw(spec):
                found.setdefault((first[people.from_], reference), set()).add(f"matching.{name}")
    return {column: frozenset(what) for column, what in found.items()}


def _raw(spec: ColumnMap) -> tuple[str, ...]:
    named = references(spec.sql) if spec.sql is not None else (spec.from_,) if spec.from_ is not None else ()
    return tuple(name for name in named if name != "_row")


def _lies(reference: str, entry: TableMap) -> Column:
    for join in entry.join:
        if reference.startswith(f"{join.source}."):
            return join.source, reference.removeprefix(f"{join.source}.")
    return entry.from_, reference


def _what(table: str, name: str, spec: ColumnMap) -> str:
    if name not in TABLES[table].columns:
        return f"{table}: own {spec.type}, {spec.class_ or 'none'}"
    formats = [spec.format] if isinstance(spec.format, str) else spec.format or []
    iso = [written for written in formats if not written.startswith("%Y-%m-%d")]
    return " ".join([f"{table}.{name}", *iso, *([str(spec.unit)] if spec.unit is not None else [])])
