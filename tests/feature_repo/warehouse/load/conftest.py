"""A small company whose files a test writes, maps and loads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_repo.warehouse import lineage, pipeline, state, tables
from feature_repo.warehouse.lineage import Lineage
from feature_repo.warehouse.mapping.read import read
from feature_repo.warehouse.state import State
from motherlode.settings import Settings

HEAD = """
version: 1
company: A corner shop
privacy: {{ pseudonym: {pseudonym} }}
"""

SALES = """
sources:
  sales: { files: "sales*.csv" }
tables:
  transactions:
    from: sales
    key: [basket_id, line_id]
    columns:
      customer_id: customer
      basket_id: receipt
      line_id: line
      item_id: item
      quantity: pieces
      amount: money
      coupon_discount: coupon
      event_timestamp: sold
"""

COLUMNS = ("customer", "receipt", "line", "item", "pieces", "money", "coupon", "sold")


@dataclass
class Company:
    """A project's folder, and its warehouse.

    Attributes:
        folder: holds `motherlode.yaml` and the files.
        settings: of its warehouse.
    """

    folder: Path
    settings: Settings
    mapping: str = SALES
    pseudonym: str = "none"
    steps: list[str] = field(default_factory=list)

    def write(self, name: str, text: str) -> Path:
        """A file as the company exports it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def sales(self, name: str, *rows: Sequence[Any]) -> Path:
        """A file of till lines: customer, receipt, line, item, pieces, money, coupon, sold."""
        lines = [",".join(COLUMNS), *(",".join("" if cell is None else str(cell) for cell in row) for row in rows)]
        return self.write(name, "\n".join(lines) + "\n")

    def project(self) -> Any:
        """The mapping, read."""
        return read(self.write("motherlode.yaml", HEAD.format(pseudonym=self.pseudonym) + self.mapping))

    def load(self, **options: Any) -> Lineage:
        """Load what lies there."""
        found = pipeline.load(
            self.settings, self.project(), on_step=lambda what, *_: self.steps.append(what), **options
        )
        assert found.balanced, found.tables
        return found

    def keyed(self, key: str) -> "Company":
        """The same company under a pseudonym key."""
        return replace(self, settings=replace(self.settings, pseudonym_key=key), pseudonym="hmac-sha256")

    def table(self, name: str) -> pl.DataFrame:
        """An integrated table."""
        return tables.scan(self.settings, name).collect()

    def quarantine(self, table: str | None = None) -> pl.DataFrame:
        return tables.quarantine(self.settings, table).collect()

    def merged(self) -> pl.DataFrame:
        return tables.merged(self.settings).collect()

    @property
    def state(self) -> State:
        return state.read(self.settings)

    def count(self, table: str) -> Mapping[str, int]:
        """A table's row counts."""
        [row] = [row for row in lineage.current(self.settings).tables if row.table == table]
        names = ("landed", "excluded", "quarantined", "merged", "derived", "integrated")
        return {name: getattr(row, name) for name in names}


@pytest.fixture
def company(tmp_path: Path) -> Company:
    """A corner shop: no file yet, mapped by `SALES`."""
    folder = tmp_path / "a project"
    folder.mkdir()
    return Company(folder, Settings(home=tmp_path / "its home"))
