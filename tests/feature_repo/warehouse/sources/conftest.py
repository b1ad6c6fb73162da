"""A company's folder: files are put into it, landed, and read back."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_repo.warehouse import raw
from feature_repo.warehouse.mapping.model import Mapping, Source
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.mapping.shape import Places
from feature_repo.warehouse.sources import find
from feature_repo.warehouse.state import Landed
from motherlode.settings import Settings

NAME = "till"


@dataclass(frozen=True)
class Company:
    """A mapping's folder with one source, and a home."""

    folder: Path
    settings: Settings

    def project(self, **source: Any) -> Project:
        mapping = Mapping(company="a company", sources={NAME: Source(**source)}, tables={})
        path = self.folder / "motherlode.yaml"
        return Project(mapping, self.folder, path, b"", "0" * 64, Places(path))

    def find(self, **source: Any) -> list[find.Found]:
        return find.find(self.project(**source), NAME)

    def land(self, name: str, content: bytes | None = None, **source: Any) -> Landed:
        """Put a file into the folder, if its content is given, and land it."""
        if content is not None:
            (self.folder / name).write_bytes(content)
        project = self.project(files=name, **source)
        (found,) = find.find(project, NAME)
        return raw.land(self.settings, project, found, 1, datetime(2025, 1, 1, tzinfo=UTC))

    def rows(self, landed: Landed) -> pl.DataFrame:
        """All rows of a landed file."""
        assert landed.status == "active", f"{landed.problem} {landed.remedy}"
        empty = pl.DataFrame(schema={"_row": pl.UInt32, "_line": pl.UInt32, **raw.schema(self.settings, landed)})
        return pl.concat([empty, *raw.batches(self.settings, landed)])

    def malformed(self, landed: Landed) -> list[tuple[int, str, str]]:
        """Line, text and rule of what is no row."""
        return raw.malformed(self.settings, landed).select("line", "value", "rule").rows()


@pytest.fixture
def company(tmp_path: Path) -> Company:
    """A company without any file."""
    (tmp_path / "a project").mkdir()
    return Company(tmp_path / "a project", Settings(home=tmp_path / "home"))


@pytest.fixture
def make_company(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Company]:
    """Companies, as many as wanted."""

    def make() -> Company:
        folder = tmp_path_factory.mktemp("company")
        return Company(folder, Settings(home=folder / "home"))

    return make
