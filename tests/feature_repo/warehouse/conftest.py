"""A thin warehouse of the demo's own tables; a shop whose customers are erased."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from feature_repo.warehouse import demo, pipeline
from feature_repo.warehouse.quality import report
from feature_repo.warehouse.quality.measure import measure
from motherlode.settings import Settings
from tests.feature_repo.warehouse.forgetting import FILES, KEYED, Shop, copied, shop, silent

HOUSEHOLDS = 120


@pytest.fixture(scope="session")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The warehouse of 120 households. Read it; don't change it."""
    settings = Settings(home=tmp_path_factory.mktemp("thin home"), households=HOUSEHOLDS)
    pipeline.load(settings, demo.project(settings))
    return settings


Build = Callable[[bool, bool], Shop]


@pytest.fixture(scope="session")
def forgetting_build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The shop, loaded: keyed or not, with the bird or as if it had never known it. Copy it; don't change it."""

    @cache
    def built(keyed: bool, with_bird: bool) -> Shop:
        made = shop(tmp_path_factory.mktemp("built"), **(KEYED if keyed else {}))
        made.write(FILES if with_bird else {name: tuple(silent(lines)) for name, lines in FILES.items()})
        made.load()
        if with_bird:
            report.write(measure(made.settings), made.settings.home / "quality" / report.PAGE)
        return made

    return built


@pytest.fixture(params=[False, True], ids=["plain", "keyed"])
def home(request: pytest.FixtureRequest, forgetting_build: Build, tmp_path: Path) -> Shop:
    """A copy of the shop with everybody, without keys and with them."""
    return copied(forgetting_build(request.param, True), tmp_path / "copy")


@pytest.fixture
def keyed(forgetting_build: Build, tmp_path: Path) -> Shop:
    """A copy of the shop with everybody, under keys."""
    return copied(forgetting_build(True, True), tmp_path / "copy")


@pytest.fixture
def without(request: pytest.FixtureRequest, forgetting_build: Build, tmp_path: Path) -> Shop:
    """A copy of the shop that never knew the bird, with the keys of the other."""
    other = "home" if "home" in request.fixturenames else "keyed"
    return copied(forgetting_build(request.getfixturevalue(other).pseudonym != "none", False), tmp_path / "without")
