"""Where a company's own views are looked for."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from feature_repo.features import catalogue
from feature_repo.features.view import Words
from feature_repo.mart import manifest, views
from feature_repo.mart.manifest import Built, Manifest
from feature_repo.warehouse import state
from feature_repo.warehouse.state import State
from motherlode import names
from motherlode.errors import DataError
from motherlode.settings import Settings

MINE = '''"""Mine: none."""

import polars as pl

from feature_repo.features.view import Feature

READS = ("transactions",)
FEATURES = {"x": Feature(pl.Int64(), "things", "none")}


def build(tables, snapshots):
    return tables["transactions"]
'''


def put(folder: Path) -> None:
    (folder / "features").mkdir(parents=True)
    (folder / "features" / "mine.py").write_text(MINE)


@pytest.mark.parametrize("mapping", ["bank", "bank/other.yaml"])
def test_they_lie_beside_the_mapping_whether_it_or_its_folder_is_named(tmp_path: Path, mapping: str) -> None:
    put(tmp_path / "bank")
    (tmp_path / "bank" / "other.yaml").touch()
    settings = Settings(home=tmp_path / "elsewhere" / "home", mapping=tmp_path / mapping)
    assert [view.name for view in views.load(settings)] == [*catalogue.MODULES, "mine"]


def test_without_a_mapping_they_lie_beside_the_home_folder(tmp_path: Path) -> None:
    put(tmp_path)
    assert [view.name for view in views.load(Settings(home=tmp_path / ".motherlode"))][-1] == "mine"
    assert "mine" not in [view.name for view in views.load(Settings(home=tmp_path / "a" / ".motherlode"))]


def test_their_columns_follow_the_words_that_the_mart_keeps_unless_others_are_given(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ".motherlode")
    manifest.write(settings, Manifest(words=Words(purposes=("marketing",))))

    def asked(words: Words | None) -> set[str]:
        return next(set(view.meanings) for view in views.load(settings, words) if view.name == names.CONSENT_VIEW)

    assert asked(None) - asked(Words()) == {"consent_marketing"} | {it for it in asked(None) if "marketing" in it}
    assert any("profiling" in it for it in asked(Words(purposes=("profiling",))))


def test_a_view_that_left_the_catalogue_is_not_missed_and_one_of_their_own_is(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "elsewhere" / ".motherlode")
    built = Built(view="old", code="", pieces=(), rows=0, created_at=datetime(2024, 1, 1, tzinfo=UTC), seconds=0.0)
    state.write(settings, State(company="A shop of ours"))
    manifest.write(settings, Manifest(views={"old": built}))
    assert [view.name for view in views.load(settings)] == list(catalogue.MODULES)
    manifest.write(settings, Manifest(views={"old": msgspec.structs.replace(built, own=True)}))
    with pytest.raises(DataError, match="the company's own view 'old'"):
        views.load(settings)


def test_a_mistake_in_one_of_them_stops_before_anything_else(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "features" / "mine.py").write_text(MINE.replace("READS", "READ"))
    with pytest.raises(DataError, match=r"mine\.py has no READS"):
        views.load(Settings(home=tmp_path / ".motherlode"))
