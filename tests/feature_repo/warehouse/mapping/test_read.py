"""A project is its mapping's file, or the folder that holds it."""

import hashlib
from pathlib import Path

import pytest

from feature_repo.warehouse.mapping.read import read
from motherlode.errors import DataError


def test_a_folder_is_read_by_its_motherlode_yaml(tmp_path: Path, shop_text: str) -> None:
    folder = tmp_path / "a company"
    folder.mkdir()
    (folder / "motherlode.yaml").write_text(shop_text, encoding="utf-8")
    project = read(folder)
    assert project == read(folder / "motherlode.yaml")
    assert project.folder == folder
    assert project.text.decode() == shop_text
    assert project.digest == hashlib.sha256(project.text).hexdigest()
    assert project.mapping.sources["crm"].database == "postgresql://reader:${PASSWORD}@db/crm"


def test_no_mapping_is_told_with_the_way_to_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no mapping .*motherlode\.yaml") as caught:
        read(tmp_path)
    assert "motherlode init" in caught.value.remedy


def test_an_error_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("company: C\nsources: {}\ntables: {}\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read(file)
    assert caught.value.problem == f"{file}, line 3: tables: it maps no table."
