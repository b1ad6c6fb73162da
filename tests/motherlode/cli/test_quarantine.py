"""`motherlode quarantine` counts, shows and releases the rows that are kept out."""

from pathlib import Path

import msgspec
import polars as pl
import pytest

from feature_repo.warehouse import pipeline, tables
from feature_repo.warehouse.mapping.read import read
from motherlode import audit
from motherlode.cli.main import main
from motherlode.errors import DataError
from motherlode.settings import Settings

COLUMNS = {"customer_id": "who", "item_id": "what", "event_timestamp": "at"}
GOOD = [f"{it % 7},bread,{it},2025-03-01T{it % 24:02d}:00:00" for it in range(24)]
COMMAS = ['8,bread,"1,5",2025-03-02', '8,cake,"2,5",2025-03-02', "9,[red]bun,a lot,2025-03-02"]


class Baker:
    """A company of one table, in a folder; its home beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.settings = folder, Settings(home=folder / "a home")

    def put(self, lines: list[str], name: str = "sales.csv") -> None:
        (self.folder / name).write_text("who,what,paid,at\n" + "\n".join(lines) + "\n")

    def map(self, **amount: str) -> None:
        """Say how `amount` is made."""
        blocks = {
            "company": "Baker",
            "privacy": {"pseudonym": "none"},
            "sources": {"sales": {"files": "sales*.csv"}},
            "tables": {"transactions": {"from": "sales", "columns": {**COLUMNS, "amount": {"from": "paid", **amount}}}},
        }
        (self.folder / "motherlode.yaml").write_bytes(msgspec.json.encode(blocks))

    def load(self) -> None:
        pipeline.load(self.settings, read(self.folder))

    @property
    def amounts(self) -> list[float]:
        found = tables.scan(self.settings, "transactions").filter(pl.col("customer_id") == "8").collect()
        return sorted(found["amount"])


@pytest.fixture
def baker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Baker:
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.chdir(tmp_path)
    company = Baker(tmp_path)
    company.put([*GOOD, *COMMAS])
    company.map(decimal=".")
    return company


def run(capsys: pytest.CaptureFixture[str], baker: Baker, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["quarantine", *arguments, "--home", str(baker.settings.home)])
    printed = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, printed.out + printed.err


def test_list_counts_by_table_file_rule_and_column(baker: Baker, capsys: pytest.CaptureFixture[str]) -> None:
    baker.load()
    for arguments in ((), ("list",)):
        code, shown = run(capsys, baker, *arguments)
        assert code == 0
        assert "3 rows in quarantine" in shown
        assert "sales.csv" in shown
        assert "amount" in shown


def test_show_prints_each_row_with_its_file_line_column_value_rule_and_remedy(
    baker: Baker, capsys: pytest.CaptureFixture[str]
) -> None:
    baker.load()
    code, shown = run(capsys, baker, "show", "transactions")
    assert code == 0
    assert "3 of 3 rows of transactions" in shown
    line = next(line for line in shown.splitlines() if "a lot" in line)
    assert "sales.csv" in line
    assert " 28 " in line, "the header is line 1, and 24 good rows come first"
    assert "amount" in line
    _, one = run(capsys, baker, "show", "transactions", "--limit", "1")
    assert "1 of 3 rows" in one


def test_show_of_a_table_or_rule_without_rows_names_those_that_have_some(
    baker: Baker, capsys: pytest.CaptureFixture[str]
) -> None:
    baker.load()
    code, shown = run(capsys, baker, "show", "transaction")
    assert code == 1
    assert "Tables with rows in quarantine: transactions." in shown
    code, shown = run(capsys, baker, "show", "transactions", "--rule", "nope")
    assert code == 1
    assert "by the rule 'nope'" in shown


def test_release_after_a_mapping_change_brings_rows_in_tells_what_remains_and_is_audited(
    baker: Baker, capsys: pytest.CaptureFixture[str]
) -> None:
    baker.load()
    assert baker.amounts == []
    baker.map(decimal=",")
    code, shown = run(capsys, baker, "release")
    assert code == 0, shown
    assert "2 of 3 rows have left quarantine" in shown
    assert baker.amounts == [1.5, 2.5]
    entry = [it for it in audit.read(baker.settings) if it.action == "release"][-1]
    assert (entry.details["before"], entry.details["released"], entry.details["remaining"]) == (3, 2, 1)
    code, shown = run(capsys, baker, "show", "transactions")
    assert "1 of 1 rows of transactions" in shown


def test_release_without_a_mapping_change_releases_nothing_and_says_why(
    baker: Baker, capsys: pytest.CaptureFixture[str]
) -> None:
    baker.load()
    code, shown = run(capsys, baker, "release", "--table", "transactions")
    assert code == 0
    assert "0 of 3 rows have left quarantine" in shown
    assert "The mapping has not changed" in shown


def test_release_tells_of_the_chosen_rows_alone(baker: Baker, capsys: pytest.CaptureFixture[str]) -> None:
    baker.load()
    baker.map(decimal=",")
    _, shown = run(capsys, baker, "release", "--rule", "no such rule")
    assert "0 of 0 rows have left quarantine" in shown
    assert baker.amounts == [1.5, 2.5], "the load itself takes in all that the mapping now lets in"


def test_a_refused_load_s_rows_are_shown_and_released(baker: Baker, capsys: pytest.CaptureFixture[str]) -> None:
    baker.load()
    baker.put([f'8,bread,"{it},5",2025-03-03T00:{it:02d}:00' for it in range(30)], "sales-2.csv")
    with pytest.raises(DataError, match="refused"):
        baker.load()
    _, shown = run(capsys, baker, "list")
    assert "3 rows in quarantine" in shown
    assert "quarantine list --refused" in shown
    _, shown = run(capsys, baker, "show", "transactions", "--refused", "--limit", "100")
    assert "33 of 33 rows" in shown
    baker.map(decimal=",")
    code, shown = run(capsys, baker, "release")
    assert code == 0
    assert "32 of 33 rows have left quarantine" in shown
    code, shown = run(capsys, baker, "list", "--refused")
    assert code == 1
    assert "was not refused" in shown


def test_a_refused_first_load_s_rows_are_shown_without_being_asked(
    baker: Baker, capsys: pytest.CaptureFixture[str]
) -> None:
    baker.put(COMMAS)
    with pytest.raises(DataError, match="refused"):
        baker.load()
    _, shown = run(capsys, baker, "list")
    assert "3 rows in quarantine" in shown


@pytest.mark.parametrize("command", [["list"], ["show", "transactions"], ["release"]])
def test_where_nothing_was_loaded_it_says_what_to_do(
    baker: Baker, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    code, shown = run(capsys, baker, *command)
    assert code == 1
    assert "motherlode ingest" in shown
