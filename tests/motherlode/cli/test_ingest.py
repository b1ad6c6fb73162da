"""`motherlode ingest` loads a company's files; `motherlode lineage` says what became of them."""

from pathlib import Path

import pytest

from motherlode.cli.main import main

MAPPING = """
version: 1
company: A corner shop
privacy: { pseudonym: none }
sources:
  sales: { files: "sales*.csv" }
tables:
  transactions:
    from: sales
    columns: { customer_id: who, basket_id: receipt, item_id: what, amount: money, event_timestamp: sold }
"""
HEAD = "who,receipt,what,money,sold\n"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, with a file."""
    folder = tmp_path / "a shop"
    folder.mkdir()
    (folder / "motherlode.yaml").write_text(MAPPING)
    (folder / "sales_1.csv").write_text(
        HEAD + "anna,r1,tea,3.5,2024-01-05T10:00:00Z\nben,r2,tea,dear,2024-01-05T10:00:00Z\n"
    )
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("MOTHERLODE_HOME", str(tmp_path / "its home"))
    return folder


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    code = ended.value.code
    assert isinstance(code, int)
    return code


def test_ingest_tells_every_rows_fate_and_that_a_second_one_changes_nothing(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ingest") == 0
    told = capsys.readouterr().out
    assert "A corner shop" in told
    assert ["transactions", "2", "0", "1", "0", "0", "1"] in [line.split() for line in told.splitlines()]
    assert "Nothing has changed" not in told
    assert run("ingest", "--mapping", str(shop)) == 0
    assert "Nothing has changed" in capsys.readouterr().out
    assert run("ingest", "--rebuild", "clean") == 0
    assert "Nothing has changed" not in capsys.readouterr().out


def test_a_refused_file_is_listed_and_ends_with_one(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "sales_2.csv").write_text("who,receipt\nanna,r9\n")
    assert run("ingest") == 1
    told = capsys.readouterr().out
    assert "refused: sales_2.csv" in told
    assert run("ingest") == 1, "it is still there"
    (shop / "sales_2.csv").unlink()
    assert run("ingest") == 0


def test_without_a_mapping_the_remedies_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOTHERLODE_HOME", str(tmp_path / "home"))
    assert run("ingest") == 1
    told = capsys.readouterr().err
    assert "motherlode init" in told
    assert "motherlode demo" in told


def test_lineage_tells_files_tables_and_loads(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lineage") == 1
    assert "motherlode ingest" in capsys.readouterr().err
    run("ingest")
    capsys.readouterr()
    assert run("lineage", "transactions") == 0
    told = capsys.readouterr().out
    assert "sales_1.csv" in told
    assert "Mapping:" in told
    assert "customers" not in told
    assert run("lineage") == 0
    assert "customers" in capsys.readouterr().out
    assert run("lineage", "orders") == 1
    assert "Known: transactions" in capsys.readouterr().err
