"""docs/features.md: its catalogue is the code's, and its view of ten lines is what one gets by following it."""

import re
from datetime import timedelta
from pathlib import Path

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


def test_a_view_of_ones_own_takes_ten_lines_and_works_from_the_text_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copied as it stands, built by the command that stands there, and asked for as it says."""
    (code,) = (block for block in blocks("python") if "def build" in block)
    lines = code.partition('"""\n')[2].splitlines()
    assert len([line for line in lines if line.strip()]) <= 10
    (name,) = re.findall(r"`features/(\w+)\.py` beside", TEXT)
    (tmp_path / "motherlode.yaml").write_bytes((COMPANY / "motherlode.yaml").read_bytes())
    (tmp_path / "data").symlink_to(COMPANY / "data")
    settings = Settings(home=tmp_path / ".motherlode", mapping=tmp_path, device="cpu")
    pipeline.load(settings, read(tmp_path))
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOTHERLODE_DEVICE", "cpu")
    for command in ([], ["describe", name]):
        with pytest.raises(SystemExit) as left:
            main(["features", *command])
        assert left.value.code == 0
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


def test_the_example_of_a_guarded_label_frame_runs() -> None:
    (example,) = (block for block in blocks("python") if "label_start" in block)
    labels = pl.DataFrame({names.EVENT_TIMESTAMP: [1], "churned": [True]})
    scope = {"labels": labels, "store": _Asked(), "settings": None}
    exec(example, scope)
    assert _Asked.labels.columns == [names.EVENT_TIMESTAMP, "churned", names.LABEL_START]


class _Asked:
    """What the example hands to `training_frame`."""

    labels = pl.DataFrame()

    @classmethod
    def training_frame(cls, settings: None, labels: pl.DataFrame, service: str, *, label: str) -> None:
        assert (service, label) == (names.SCORING, "churned")
        cls.labels = labels


def test_every_command_and_option_that_is_named_exists() -> None:
    for line in re.findall(r"motherlode ([a-z][^\n`#]*)", " ".join(blocks("sh")) + TEXT.partition(MARKER)[0]):
        command, *rest = line.split()
        assert command in COMMANDS, line
        if command == "features" and rest and re.fullmatch("[a-z]+", rest[0]):
            assert rest[0] in features.commands, line
    known = {option for each in (features, *features.commands.values()) for it in each.params for option in it.opts}
    for option in re.findall(r"--[a-z]+", TEXT.partition(MARKER)[0]):
        assert option in known, option


def test_links_lead_somewhere() -> None:
    anchors = {
        name: {
            re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", (DOCS / name).read_text(encoding="utf-8"), re.MULTILINE)
        }
        for name in ("features.md", "data.md")
    }
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        file, _, anchor = target.partition("#")
        assert not file or (DOCS / file).is_file(), target
        if anchor:
            assert anchor in anchors[file or "features.md"], target
