"""The registry's file lies in the state folder, whatever folder Feast has changed to."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from motherlode.errors import StoreError


def write() -> None:
    with create_engine("motherlode:///registry.db").begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS t (x)"))


def test_it_is_one_file_from_the_checkout_and_from_the_feature_repo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "50% of what?"
    (checkout / "feature_repo").mkdir(parents=True)
    (checkout / "feature_repo" / "feature_store.yaml").touch()
    (checkout / ".motherlode").mkdir()
    monkeypatch.delenv("MOTHERLODE_HOME", raising=False)
    for folder in (checkout, checkout / "feature_repo"):
        monkeypatch.chdir(folder)
        write()
    assert [str(path.relative_to(checkout)) for path in checkout.rglob("*.db")] == [".motherlode/registry.db"]


def test_without_a_state_folder_it_says_where_to_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTHERLODE_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(StoreError, match=r"no state folder .*nowhere\. Stand where"):
        write()
    assert list(tmp_path.iterdir()) == []
