"""What Feast sees, and Feast's own commands in a checkout whose path has spaces."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from feast.repo_operations import get_repo_files, parse_repo

from feature_repo import store
from feature_repo.declared import declare
from feature_repo.features import catalogue
from feature_repo.features.view import Words
from feature_repo.mart import manifest
from feature_repo.mart.manifest import Manifest
from motherlode import names
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

WORDS = Words(
    departments={"drug_gm": "DRUG GM"},
    campaign_types={"type_a": "Type A"},
    channels={"web": "web"},
    attributes={"age": "Int64"},
    purposes=("marketing",),
)
VIEWS = catalogue.views(WORDS)
SERVICES = {names.SCORING, names.RECOMMENDATION, names.PORTRAIT}
OWN = '''"""Mine: a view of the company's own."""

import polars as pl

from feature_repo.features.view import Feature

READS = ("transactions",)
FEATURES = {"x": Feature(pl.Int64(), "things", "none")}


def build(tables, snapshots):
    return tables["transactions"]
'''
FEAST = Path(sys.executable).with_name("feast")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(Settings(home=tmp_path_factory.mktemp("valkey"))) as bound:
        yield bound


def test_feast_sees_the_definitions_alone() -> None:
    """Feast would import every other module as a top-level one."""
    assert get_repo_files(store.REPO) == [(store.REPO / "definitions.py").resolve()]


def test_feast_finds_every_view_and_service_of_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the words of the mart, and with the view that the company has beside its mapping."""
    home = tmp_path / ".motherlode"
    manifest.write(Settings(home=home), Manifest(words=WORDS))
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "mine.py").write_text(OWN)
    monkeypatch.setenv("MOTHERLODE_HOME", str(home))
    monkeypatch.chdir(store.REPO)
    monkeypatch.syspath_prepend(str(store.REPO))
    monkeypatch.delitem(sys.modules, "definitions", raising=False)
    found = parse_repo(store.REPO)
    sys.modules.pop("definitions", None)
    assert {view.name for view in found.feature_views} == {"mine", names.LIVE, *(view.name for view in VIEWS)}
    assert {service.name for service in found.feature_services} == SERVICES
    told = {entity.name: entity.join_key for entity in found.entities if not entity.name.startswith("__")}
    assert told == {entity.name: entity.join_key for entity in declare(VIEWS).entities.values()}
    assert told["customer"] == names.CUSTOMER_ID
    columns = {view.name: [field.name for field in view.features] for view in found.feature_views}
    assert "consent_marketing" in columns[names.CONSENT_VIEW]


def test_our_own_code_declares_without_a_look_at_the_environment() -> None:
    """Feast gives `definitions` no other moment; nobody else imports it."""
    program = (
        "import os, sys\n"
        "class Deaf(dict):\n"
        "    def get(self, key, default=None):\n"
        "        assert not str(key).startswith(('MOTHERLODE', 'REDIS')), key\n"
        "        return super().get(key, default)\n"
        "import feast\n"
        "os.environ = Deaf(os.environ)\n"
        "import feature_repo.store, feature_repo.declared\n"
        "print('feature_repo.definitions' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


def test_each_view_is_declared_as_the_catalogue_has_it() -> None:
    declared = declare(VIEWS)
    assert list(declared.views) == [*(view.name for view in VIEWS), names.LIVE]
    for view in VIEWS:
        made = declared.views[view.name]
        assert [(it.name, it.description) for it in made.features] == [(n, m.doc) for n, m in view.meanings.items()]
        assert (made.ttl, made.online) == (view.ttl, True)
        assert [declared.entities[name].join_key for name in made.entities] == [view.key]
        assert made.batch_source is not None
        assert made.batch_source.created_timestamp_column == names.CREATED_TIMESTAMP
        assert made.description == view.doc


def test_the_services_are_what_models_and_applications_ask_for() -> None:
    declared = declare(VIEWS).services
    views = {name: [it.name for it in service.feature_view_projections] for name, service in declared.items()}
    assert views[names.SCORING] == [
        names.RFM,
        names.SPENDING,
        names.PRICE_SENSITIVITY,
        names.AFFINITY,
        names.CAMPAIGN_HISTORY,
    ]
    assert views[names.RECOMMENDATION] == [names.HISTORY, names.PURCHASES, names.RFM, names.AFFINITY]
    assert views[names.PORTRAIT] == [view.name for view in VIEWS if view.key == names.CUSTOMER_ID]
    assert views.keys() == SERVICES


def test_an_item_has_its_own_entity_and_is_in_no_portrait() -> None:
    items = replace(VIEWS[0], name="of_items", key=names.ITEM_ID)
    declared = declare([*VIEWS, items])
    assert declared.entities["item"].join_key == names.ITEM_ID
    assert declared.views["of_items"].entities == ["item"]
    portrait = declared.services[names.PORTRAIT].feature_view_projections
    assert "of_items" not in [projection.name for projection in portrait]


def test_a_view_whose_columns_follow_words_that_there_are_none_of_is_left_out() -> None:
    """Feast would take the columns from the file, which nobody declared."""
    empty = replace(VIEWS[0], name="empty", meanings={})
    assert "empty" not in declare([*VIEWS, empty]).views


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

    manifest.write(Settings(home=home), Manifest(words=WORDS))
    feast("apply")
    assert [path.relative_to(checkout) for path in checkout.rglob("*.db")] == [Path(".motherlode/registry.db")]
    now = datetime.now(UTC)
    for view in VIEWS:
        row = {view.key: ["1"], names.EVENT_TIMESTAMP: [now - timedelta(days=1)]}
        empty = {name: pl.lit(None, dtype) for name, dtype in view.features.items()}
        frame = pl.DataFrame(row).with_columns(**empty, created_timestamp=pl.lit(now))
        frame.write_parquet(home / "mart" / f"{view.name}.parquet")
    feast("materialize-incremental", now.isoformat())
    with connect(server) as client:
        written = {key.decode().split("/")[1] for key in client.scan_iter("motherlode/*/*}1")}
    assert written == {view.name for view in VIEWS}
    assert sorted(path.name for path in checkout.iterdir()) == [".motherlode", "feature_repo"]
