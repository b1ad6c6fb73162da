"""A thin warehouse of the demo's own tables."""

import pytest

from feature_repo.warehouse import demo, pipeline
from motherlode.settings import Settings

HOUSEHOLDS = 120


@pytest.fixture(scope="session")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The warehouse of 120 households. Read it; don't change it."""
    settings = Settings(home=tmp_path_factory.mktemp("thin home"), households=HOUSEHOLDS)
    pipeline.load(settings, demo.project(settings))
    return settings
