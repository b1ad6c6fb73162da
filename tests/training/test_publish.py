"""Publishing: what was written is verified once more, made current, and old bundles go."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from motherlode import __version__, bundle
from motherlode.errors import BundleError
from motherlode.settings import Settings
from training import publish


def test_versions_sort_by_time() -> None:
    moments = [datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC) for second in (5, 6, 59)]
    versions = [publish.version_of(moment) for moment in moments]
    assert versions == sorted(versions)
    assert versions[0] == "20260102T030405Z"


def test_a_version_that_was_never_written_is_refused_with_those_that_were(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.models.mkdir()
    with pytest.raises(BundleError, match="no bundle 'nonsense'") as caught:
        publish.publish(settings, "nonsense")
    assert "none" in caught.value.remedy
    assert not (settings.models / bundle.CURRENT).exists()


def test_the_libraries_that_made_a_model_are_named_with_their_versions() -> None:
    found = publish.libraries()
    assert found["motherlode"] == __version__
    assert found["polars"].startswith("1.39.")
    assert found["torch"].startswith("2.13.0")


def test_the_revision_is_a_commit_or_nothing() -> None:
    revision = publish.git_revision()
    assert revision == "" or (len(revision) == 40 and int(revision, 16))
