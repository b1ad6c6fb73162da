"""`project.create`: a commented project, or an example's, and a key; nothing is overwritten."""

import re
import stat
from pathlib import Path

import pytest

from feature_repo.warehouse import project
from feature_repo.warehouse.examples import examples
from feature_repo.warehouse.mapping import model
from feature_repo.warehouse.mapping.read import parse, read
from motherlode.errors import DataError
from motherlode.settings import Settings


def test_a_new_project_has_a_mapping_that_can_be_read(tmp_path: Path) -> None:
    written = project.create(tmp_path / "Müller's tea")
    assert {str(path) for path in written} == {"motherlode.yaml", "data", "README.md", ".gitignore", str(project.KEY)}
    assert read(tmp_path / "Müller's tea").mapping.company == "Müller's tea"


def test_every_line_of_the_template_that_is_switched_off_can_be_switched_on(tmp_path: Path) -> None:
    project.create(tmp_path / "new")
    file = tmp_path / "new" / "motherlode.yaml"
    text = re.sub(r"^( *)#(?=[^ \n])", r"\1", file.read_text(), flags=re.MULTILINE)
    mapping = parse(text.encode(), file).mapping
    assert len(mapping.tables) == 8


@pytest.mark.parametrize("block", [model.Mapping, model.Source, model.TableMap, model.ColumnMap, model.Key])
def test_the_template_shows_every_key(block: type[model.Mapping], tmp_path: Path) -> None:
    project.create(tmp_path / "new")
    text = (tmp_path / "new" / "motherlode.yaml").read_text()
    assert [key for key in block.__struct_encode_fields__ if not re.search(rf"\b{key}\b", text)] == []


def test_the_key_is_random_closed_to_others_and_taken_by_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        project.create(tmp_path / name)
    one, two = (tmp_path / name / project.KEY for name in ("one", "two"))
    assert one.read_text() != two.read_text()
    assert stat.S_IMODE(one.stat().st_mode) == 0o600
    assert len(bytes.fromhex(one.read_text().strip())) == 32
    monkeypatch.setenv("MOTHERLODE_PSEUDONYM_KEY_FILE", str(one))
    assert Settings.from_env(home=tmp_path).identity.keyed


def test_git_leaves_out_the_key_the_data_and_the_state(tmp_path: Path) -> None:
    project.create(tmp_path / "new")
    assert {"keys/", "data/", ".motherlode/"} <= set((tmp_path / "new" / ".gitignore").read_text().split())


@pytest.mark.parametrize("there", ["motherlode.yaml", "README.md", ".gitignore", "keys/pseudonym.key"])
def test_nothing_is_overwritten_and_nothing_written_beside_it(there: str, tmp_path: Path) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=re.escape(there)):
        project.create(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / there).read_text() == "mine"


@pytest.mark.parametrize("name", examples())
def test_an_example_is_copied_with_its_data(name: str, tmp_path: Path) -> None:
    project.create(tmp_path / "copy", name)
    assert read(tmp_path / "copy").mapping.company
    assert not (tmp_path / "copy" / "make_data.py").exists()
    assert (tmp_path / "copy" / "data").is_dir() == (name != "demo")


def test_an_unknown_example_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="online_shop"):
        project.create(tmp_path / "copy", "shop")
    assert not (tmp_path / "copy").exists()
