"""Where a process that Feast started finds its state."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from feature_repo.stores.state import here, locate, place, settings_of
from motherlode.errors import StoreError


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MOTHERLODE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "feature_repo").mkdir()
    (tmp_path / "feature_repo" / "feature_store.yaml").touch()
    return tmp_path


@pytest.mark.parametrize("home", [None, ".motherlode", "states/one"])
def test_inside_a_feature_repo_the_home_is_the_one_beside_it(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    """`feast apply` changes into the feature repo, `feast materialize` does not: both mean one place."""
    if home is not None:
        monkeypatch.setenv("MOTHERLODE_HOME", home)
    for folder in (checkout, checkout / "feature_repo"):
        monkeypatch.chdir(folder)
        assert here().home == checkout / (home or ".motherlode")


def test_an_absolute_home_is_itself_everywhere(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTHERLODE_HOME", str(checkout / "state"))
    monkeypatch.chdir(checkout / "feature_repo")
    assert here().home == checkout / "state"


def test_the_configuration_wins_over_the_environment(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTHERLODE_HOME", "/elsewhere")
    monkeypatch.setenv("MOTHERLODE_DEVICE", "gpu")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    settings = settings_of(repo.config)
    assert (settings.home, settings.device, settings.project) == (repo.home, "cpu", repo.project)
    assert settings.redis_url == repo.config.online_store.redis_url
    repo.config._online_store = repo.config._offline_store = None
    repo.config.online_config = {"type": repo.config.online_config["type"]}
    repo.config.offline_config = {"type": repo.config.offline_config["type"]}
    settings = settings_of(repo.config)
    assert (str(settings.home), settings.device, settings.redis_url) == ("/elsewhere", "gpu", "redis://elsewhere")


def test_a_relative_source_is_looked_for_in_the_mart_then_among_the_saved_then_in_the_repo(repo: Any) -> None:
    places = [repo.home / "x.parquet", repo.home / "saved" / "x.parquet", repo.mart / "x.parquet"]
    for found in places:
        with pytest.raises(StoreError) if found is places[0] else nullcontext():
            locate(repo.config, "x.parquet")
        found.parent.mkdir(exist_ok=True)
        found.touch()
        assert locate(repo.config, "x.parquet") == found


def test_absolute_paths_and_uris_are_themselves(repo: Any) -> None:
    assert locate(repo.config, "/data/x.parquet") == Path("/data/x.parquet")
    assert locate(repo.config, "s3://bucket/x.parquet") == "s3://bucket/x.parquet"
    assert place(repo.config, "/data/x.parquet") == Path("/data/x.parquet")
    assert place(repo.config, "x.parquet") == repo.home / "saved" / "x.parquet"
