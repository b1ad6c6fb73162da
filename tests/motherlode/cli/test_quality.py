"""`motherlode quality` prints what stands, writes the report, and ends with 1 where something fails."""

from pathlib import Path

import msgspec
import pytest

from feature_repo.warehouse import pipeline
from feature_repo.warehouse.mapping.read import read
from motherlode.cli.main import main
from motherlode.errors import DataError
from motherlode.settings import Settings

SALES = {
    "from": "sales",
    "columns": {
        "customer_id": "who",
        "item_id": "what",
        "amount": {"from": "paid", "min": 0},
        "event_timestamp": "at",
    },
}
LINES = [f"{it % 7},bread,{it}.25,2025-03-01T{it % 24:02d}:00:00" for it in range(24)]


class Baker:
    """A company of one table, in a folder; its home beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "a home"
        self.blocks: dict[str, object] = {
            "company": "The [bold]Baker[/]",
            "privacy": {"pseudonym": "none"},
            "sources": {"sales": {"files": "sales*.csv"}},
            "tables": {"transactions": SALES},
        }

    def load(self, lines: list[str], name: str = "sales.csv") -> None:
        (self.folder / name).write_text("who,what,paid,at\n" + "\n".join(lines) + "\n")
        self.map()
        pipeline.load(Settings(home=self.home), read(self.folder))

    def map(self, **changes: object) -> None:
        self.blocks |= changes
        (self.folder / "motherlode.yaml").write_bytes(msgspec.json.encode(self.blocks))


@pytest.fixture
def baker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Baker:
    monkeypatch.setenv("COLUMNS", "220")
    return Baker(tmp_path)


def run(capsys: pytest.CaptureFixture[str], baker: Baker, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--home", str(baker.home)])
    printed = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, printed.out + printed.err


def test_it_prints_tables_and_findings_as_they_are_and_writes_the_report(
    baker: Baker, capsys: pytest.CaptureFixture[str]
) -> None:
    baker.load([*LINES, "1,bread,a lot,2025-03-02"])
    code, shown = run(capsys, baker, "quality")
    assert code == 0
    assert "Load 1 of The [bold]Baker[/]" in shown
    assert "rejected rows in the new files" in shown
    assert "1 of 25 (4.0 %), above 1.0 %" in shown
    assert "warn" in shown
    report = baker.home / "quality" / "report.html"
    assert str(report) in shown
    assert "The [bold]Baker[/]" in report.read_text()


def test_full_looks_at_every_row_and_the_report_goes_where_it_is_asked(
    baker: Baker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baker.load(LINES)
    code, _ = run(capsys, baker, "quality", "--full", "--html", str(tmp_path / "to" / "q.html"))
    assert code == 0
    assert "every row was looked at" in (tmp_path / "to" / "q.html").read_text()


def test_a_refused_load_ends_with_1_and_is_told(baker: Baker, capsys: pytest.CaptureFixture[str]) -> None:
    baker.load(LINES)
    with pytest.raises(DataError):
        baker.load(["1,bread,a lot,2025-03-02"] * 30, "sales-2.csv")
    code, shown = run(capsys, baker, "quality")
    assert code == 1
    assert "A later load was refused" in shown
    assert "fail" in shown


def test_where_nothing_was_loaded_it_says_what_to_do(baker: Baker, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = run(capsys, baker, "quality")
    assert code == 1
    assert "Nothing was loaded" in shown
    assert "motherlode ingest" in shown
