"""`motherlode inspect`: prints a proposal, or writes it into a file that is not there yet."""

from pathlib import Path

import pytest

from feature_repo.warehouse.mapping.read import parse
from motherlode.cli.main import main

FILE = "customer_id;since;city\nK1;31.01.2024;Köln\nK2;01.02.2024;Bonn\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a file of customers."""
    (tmp_path / "customers.csv").write_text(FILE, encoding="latin-1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_printed_is_a_mapping(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "customers.csv", "--company", "Ours"])
    assert ended.value.code == 0
    mapping = parse(capsys.readouterr().out.encode(), folder / "motherlode.yaml").mapping
    assert (mapping.company, list(mapping.tables)) == ("Ours", ["customers"])


def test_a_proposal_is_written_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for code in (0, 1):
        with pytest.raises(SystemExit) as ended:
            main(["inspect", "customers.csv", "--out", "proposal.yaml"])
        assert ended.value.code == code
    assert "there already" in capsys.readouterr().err
    assert "files: customers.csv" in (folder / "proposal.yaml").read_text()


def test_files_that_are_no_table_give_their_columns_to_go_on_with(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "regions.csv").write_text("code,words\n1,East\n2,West\n")
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "regions.csv"])
    said = capsys.readouterr()
    assert ended.value.code == 0
    assert "regions is nearest to" in said.err
    assert "#   words: word, 2 different" in said.out
    assert "files: regions.csv" in said.out


def test_a_file_that_is_no_table_is_left_out_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "README.pdf").write_bytes(b"%PDF-1.7")
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "README.pdf", "customers.csv"])
    said = capsys.readouterr()
    assert ended.value.code == 0
    assert "README.pdf is left out" in said.err
    assert "customer_id: customer_id" in said.out


def test_nothing_but_files_that_cannot_be_read_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "README.pdf").write_bytes(b"%PDF-1.7")
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "README.pdf"])
    assert ended.value.code == 1
    assert "README.pdf" in capsys.readouterr().err
