"""docs/features.md: its catalogue is the code's, and its view of ten lines is what one gets by following it."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import polars as pl
import pytest

from feature_repo import store
from feature_repo.features import catalogue
from feature_repo.mart import manifest
from feature_repo.warehouse import pipeline, tables
from feature_repo.warehouse.mapping.read import read
from motherlode import names
from motherlode.cli.features import features
from motherlode.cli.features_list import PLACEHOLDERS, markdown
from motherlode.cli.main import COMMANDS, main
from motherlode.errors import DataError
from motherlode.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "features.md").read_text(encoding="utf-8")
MARKER = "<!-- From here on: motherlode features list --markdown -->\n\n"
COMPANY = Path(__file__).parents[2] / "examples" / "online_shop"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_the_catalogue_in_the_documentation_is_the_codes() -> None:
    assert TEXT.partition(MARKER)[2] == markdown(catalogue.views(PLACEHOLDERS)), (
        "print the part after the marker anew: motherlode features list --markdown"
    )


OWN = next(block for block in blocks("python") if "def build" in block)
(NAME,) = re.findall(r"`features/(\w+)\.py` beside", TEXT)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The example's company with the view of the text, copied as it stands, built by the commands that stand there."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "motherlode.yaml").write_bytes((COMPANY / "motherlode.yaml").read_bytes())
    (folder / "data").symlink_to(COMPANY / "data")
    settings = Settings(home=folder / ".motherlode", mapping=folder, device="cpu")
    pipeline.load(settings, read(folder))
    (folder / "features").mkdir()
    (folder / "features" / f"{NAME}.py").write_text(OWN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MOTHERLODE_DEVICE", "cpu")
        for command in ([], ["describe", NAME]):
            with pytest.raises(SystemExit) as left:
                main(["features", *command])
            assert left.value.code == 0
    return settings


def test_a_view_of_ones_own_takes_ten_lines_and_works_from_the_text_alone(shop: Settings) -> None:
    """Asked for as it says."""
    settings, name = shop, NAME
    lines = OWN.partition('"""\n')[2].splitlines()
    assert len([line for line in lines if line.strip()]) <= 10
    latest = manifest.read(settings).snapshots[-1]
    lines_ = tables.scan(settings, names.TRANSACTIONS).filter(pl.col(names.QUANTITY) > 0).collect()
    baskets = lines_.group_by(names.CUSTOMER_ID, names.BASKET_ID).agg(pl.col(names.LOCAL_TIMESTAMP).min())
    sunday = (pl.col(names.LOCAL_TIMESTAMP).dt.weekday() == 7).mean().alias("sunday")
    wanted = baskets.group_by(names.CUSTOMER_ID).agg(sunday).sort(names.CUSTOMER_ID)
    asked = wanted.select(names.CUSTOMER_ID, pl.lit(latest + timedelta(days=1)).alias(names.EVENT_TIMESTAMP))
    frame = store.training_frame(settings, asked, names.PORTRAIT)
    assert frame[f"{name}__sunday_share"].to_list() == pytest.approx(wanted["sunday"].to_list())
    feast = store.open_store(settings)
    answer = feast.get_historical_features(entity_df=asked.to_pandas(), features=[f"{name}:sunday_share"]).to_df()
    assert answer["sunday_share"].tolist() == pytest.approx(wanted["sunday"].to_list())


def outside_labels(settings: Settings) -> pl.DataFrame:
    """Labels as a company has them, by its own ids, at the newest snapshot."""
    ids = tables.outside_ids(settings)[names.OUTSIDE_ID].cast(pl.String).sort()
    at = pl.lit(manifest.read(settings).snapshots[-1]).alias(names.EVENT_TIMESTAMP)
    return pl.DataFrame({names.CUSTOMER_ID: ids}).with_columns(at, churned=pl.int_range(pl.len()) % 2 == 0)


def test_the_example_of_a_training_frame_gives_features_to_the_companys_own_ids(
    shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = (block for block in blocks("python") if "Settings.from_env()" in block)
    monkeypatch.setenv("MOTHERLODE_HOME", str(shop.home))
    monkeypatch.setenv("MOTHERLODE_MAPPING", str(shop.mapping))
    scope: dict[str, Any] = {"labels": outside_labels(shop)}
    exec(example, scope)
    assert scope["frame"]["rfm__recency_days"].is_not_null().sum() > scope["frame"].height / 2


def test_the_example_of_a_guarded_label_frame_runs_and_guards(shop: Settings) -> None:
    (example,) = (block for block in blocks("python") if "label_start" in block)
    keys = pl.Series(shop.identity.join_keys_of(outside_labels(shop)[names.CUSTOMER_ID]))
    labels = outside_labels(shop).with_columns(keys.alias(names.CUSTOMER_ID))
    scope: dict[str, Any] = {"labels": labels, "store": store, "settings": shop}
    exec(example, scope)
    assert scope["frame"].columns[: len(labels.columns) + 1] == [*labels.columns, names.LABEL_START]
    assert scope["frame"]["rfm__recency_days"].is_not_null().any()
    early = scope["labels"].with_columns(pl.col(names.LABEL_START) - timedelta(days=1))
    with pytest.raises(DataError, match="is measured from label_start"):
        store.training_frame(shop, early, names.SCORING, label="churned")


def test_every_command_and_option_that_is_named_exists() -> None:
    ctx = click.Context(features)
    commands = {name: features.get_command(ctx, name) for name in features.list_commands(ctx)}
    for line in re.findall(r"motherlode ([a-z][^\n`#]*)", " ".join(blocks("sh")) + TEXT.partition(MARKER)[0]):
        command, *rest = line.split()
        assert command in COMMANDS, line
        if command == "features" and rest and re.fullmatch("[a-z]+", rest[0]):
            assert rest[0] in commands, line
    known = {option for each in (features, *commands.values()) if each for it in each.params for option in it.opts}
    for option in re.findall(r"--[a-z]+", TEXT.partition(MARKER)[0]):
        assert option in known, option


@pytest.mark.parametrize("page", ["features.md", "scale.md"])
def test_links_lead_somewhere(page: str) -> None:
    anchors = {
        name: {
            re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", (DOCS / name).read_text(encoding="utf-8"), re.MULTILINE)
        }
        for name in ("features.md", "data.md", "scale.md")
    }
    for target in re.findall(r"\]\(([^)]+)\)", (DOCS / page).read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        assert not file or (DOCS / file).is_file(), target
        if anchor:
            assert anchor in anchors[file or page], target
