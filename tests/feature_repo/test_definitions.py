"""What Feast sees, and Feast's own commands in a checkout whose path has spaces."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from feast.repo_operations import get_repo_files, parse_repo

from feature_repo import definitions, store
from feature_repo.features.catalogue import VIEWS
from motherlode import names
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

FEAST = Path(sys.executable).with_name("feast")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(Settings(home=tmp_path_factory.mktemp("valkey"))) as bound:
        yield bound


def test_feast_sees_the_definitions_alone() -> None:
    """Feast would import every other module as a top-level one."""
    assert get_repo_files(store.REPO) == [(store.REPO / "definitions.py").resolve()]


def test_feast_finds_every_view_and_service_of_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store.REPO)
    monkeypatch.syspath_prepend(str(store.REPO))
    found = parse_repo(store.REPO)
    assert {view.name for view in found.feature_views} == {view.name for view in VIEWS}
    assert {service.name for service in found.feature_services} == {names.SCORING, names.RECOMMENDATION}
    assert [entity.name for entity in found.entities if not entity.name.startswith("__")] == ["customer"]


def test_each_view_is_declared_as_the_catalogue_has_it() -> None:
    for view in VIEWS:
        declared = definitions.FEATURE_VIEWS[view.name]
        assert [field.name for field in declared.features] == list(view.features)
        assert (declared.ttl, declared.join_keys or [names.CUSTOMER_ID]) == (view.ttl, [names.CUSTOMER_ID])
        assert declared.batch_source is not None
        assert declared.batch_source.created_timestamp_column == names.CREATED_TIMESTAMP
        assert declared.description == view.doc


def test_the_configuration_has_no_variables() -> None:
    """Feast makes an unset ${VAR} a file of that literal name."""
    text = (store.REPO / "feature_store.yaml").read_text()
    assert "$" not in "".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def test_feasts_own_commands_work_in_a_path_with_spaces(tmp_path: Path, server: Settings) -> None:
    """`apply` before there is any data, then `materialize-incremental`: one registry, in the state folder."""
    checkout = tmp_path / "a check out"
    shutil.copytree(store.REPO, checkout / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    home = checkout / ".motherlode"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MOTHERLODE_")}
    environment["REDIS_URL"] = server.redis_url or ""

    def feast(*arguments: str) -> None:
        command = [str(FEAST), "-c", "feature_repo", *arguments]
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    feast("apply")
    assert [path.relative_to(checkout) for path in checkout.rglob("*.db")] == [Path(".motherlode/registry.db")]
    now = datetime.now(UTC)
    (home / "mart").mkdir()
    for view in VIEWS:
        row = {names.CUSTOMER_ID: ["1"], names.EVENT_TIMESTAMP: [now - timedelta(days=1)]}
        empty = {name: pl.lit(None, dtype) for name, dtype in view.features.items()}
        frame = pl.DataFrame(row).with_columns(**empty, created_timestamp=pl.lit(now))
        frame.write_parquet(home / "mart" / f"{view.name}.parquet")
    feast("materialize-incremental", now.isoformat())
    with connect(server) as client:
        written = {key.decode().split("/")[1] for key in client.scan_iter("motherlode/*/{1}")}
    assert written == {view.name for view in VIEWS}
    assert sorted(path.name for path in checkout.iterdir()) == [".motherlode", "feature_repo"]
