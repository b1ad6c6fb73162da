"""What is landed after an erasure is held against the ledger, whichever file comes first."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from feature_repo.warehouse import erasure, lineage, pipeline, state, vault
from feature_repo.warehouse.mapping.read import read
from feature_repo.warehouse.owners.sift import sifting, words
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings

MAPPING = """
company: A shop
privacy: {{pseudonym: none}}
sources: {sources}
tables:
  transactions: {{from: lines, join: [{{source: orders, on: order}}], columns: {{customer_id: orders.who, item_id: item,
    amount: money, event_timestamp: orders.sold}}}}
"""
SOURCES = ("lines: {files: 'lines*.csv'}", "orders: {files: 'orders*.csv'}")
LINES = "order,item,money\n1,TEA,3.90\n2,TEA,3.90\n"
ORDERS = "order,who,sold\n1,K7001,2025-01-01\n2,K7002,2025-01-02\n"


@pytest.mark.parametrize("sources", [SOURCES, SOURCES[::-1]], ids=["lines first", "orders first"])
def test_the_lines_of_a_new_order_of_theirs_stay_out(tmp_path: Path, sources: tuple[str, ...]) -> None:
    project, settings = tmp_path / "project", Settings(home=tmp_path / "home")
    project.mkdir()
    (project / "motherlode.yaml").write_text(MAPPING.format(sources=f"{{{', '.join(sources)}}}"))
    (project / "lines.csv").write_text(LINES)
    (project / "orders.csv").write_text(ORDERS)
    pipeline.load(settings, read(project))
    assert sifting(settings, read(project)) is None
    Tombstones(settings).add(erasure.tombstones(settings, ["K7001"], datetime.now(UTC), "certificate"))
    erasure.erase(settings, ["K7001"])
    (project / "lines2.csv").write_text(LINES.replace("1,TEA", "8,TEA").replace("2,TEA", "9,TEA"))
    (project / "orders2.csv").write_text(ORDERS.replace("1,K", "8,K").replace("2,K", "9,K"))
    pipeline.load(settings, read(project))
    assert lineage.current(settings).balanced
    landed = {each.name: each for each in state.read(settings).raw}
    for name in ("lines2.csv", "orders2.csv"):
        assert landed[name].erased == 1
        with vault.reader(settings.home / landed[name].path, settings) as file:
            assert [row["order"] for row in file.read().to_pylist()] == ["9"]
    assert not pipeline.load(settings, read(project)).changed


@pytest.mark.parametrize(
    "line", ["K-7001;a;b", '"K-7001","x', "x|K-7001|y", '{"who": "K-7001", "at"', "a\tK-7001", "who: K-7001, more"]
)
def test_an_id_is_found_in_a_line_that_is_no_row(line: str) -> None:
    assert "K-7001" in words(line)


@pytest.mark.parametrize("id_", ["A/7%|{x}é", "shop:123", "K 7", "o'neil, anna", "(K7)", "#7", "a-b-c-d.e@f"])
@pytest.mark.parametrize("line", ["BAD;{};b", '{{"who": "{}", "at', "{}", "x {} y"])
def test_an_id_that_holds_separators_is_found_too(id_: str, line: str) -> None:
    assert id_ in words(line.format(id_))


def test_a_long_line_has_no_more_candidates_than_a_few_a_word() -> None:
    assert len(words("word1, word2; " * 1000)) < 2_000 * 30
