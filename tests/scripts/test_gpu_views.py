"""Which plans the GPU check looks at: every view in every form that a build runs, and a company's own."""

from pathlib import Path
from textwrap import dedent

import polars as pl
import pytest

from feature_repo.features import catalogue
from motherlode import names
from motherlode.errors import DataError
from scripts.gpu_check import views

OWN = '''
    """Shoes: what a customer paid in the shop's own currency of loyalty points."""
    import polars as pl
    from feature_repo.features.frames import finish, seen, SNAPSHOT
    from feature_repo.features.view import Feature
    READS = ("transactions", "customers")
    FEATURES = {"points": Feature(pl.Float32(), "points", "points of the customer's file")}
    def build(tables, snapshots):
        lines = tables["transactions"].select("customer_id", "event_timestamp")
        points = tables["customers"].select("customer_id", "points")
        return finish(seen(lines, snapshots).join(points, on="customer_id").unique([SNAPSHOT, "customer_id"]), {
            name: feature.dtype for name, feature in FEATURES.items()
        })
'''


def test_every_view_is_listed_in_every_form_that_a_build_runs(tmp_path: Path) -> None:
    listed = [name for name, _ in views.plans(tmp_path)]
    assert len(listed) == len(set(listed))
    for view in catalogue.views(views.WORDS):
        forms = {name for name in listed if name == f"view {view.name}" or name.startswith(f"view {view.name},")}
        in_parts = bool(view.apart) or not view.whole
        assert len(forms) == 1 + in_parts + (in_parts and view.across is not None), view.name


def test_a_view_of_keys_apart_is_built_from_its_columns_alone_and_compared_with_what_it_hands_on(
    tmp_path: Path,
) -> None:
    known, tables = dict(views.plans(tmp_path)), views.tables(tmp_path)
    apart = [view for view in catalogue.views(views.WORDS) if view.apart]
    assert apart
    for view in apart:
        read = known[f"view {view.name}, some keys' rows"](tables)
        plain = [name for name in view.features if name not in view.compared]
        assert read.collect_schema().names() == [view.key, names.EVENT_TIMESTAMP, *plain, *view.beside]
        compared = known[f"view {view.name}, customers compared"](tables)
        assert compared.collect_schema().names() == [view.key, names.EVENT_TIMESTAMP, *view.features]
        table, columns = next(iter(view.apart.items()))
        less = {**tables, table: tables[table].drop(columns[-1])}
        with pytest.raises(pl.exceptions.ColumnNotFoundError, match=columns[-1]):
            known[f"view {view.name}, some keys' rows"](less).collect_schema()


def test_every_plan_is_made_without_looking_at_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables, known = views.tables(tmp_path), list(views.plans(tmp_path))

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a row was looked at")

    with monkeypatch.context() as patch:
        patch.setattr(pl.LazyFrame, "collect", refuse)
        made = {name: plan(tables) for name, plan in known}
    for name, plan in made.items():
        assert names.EVENT_TIMESTAMP in plan.collect().columns, name


def test_words_of_every_kind_make_columns() -> None:
    """A kind of word that is missing would leave plans unchecked."""
    assert views.WORDS.departments
    assert views.WORDS.campaign_types
    assert views.WORDS.channels
    assert views.WORDS.purposes
    assert {pl.String(), pl.Int64(), pl.Float64(), pl.Boolean()} == set(views._TYPES.values())
    assert set(views.WORDS.attributes.values()) == set(views._TYPES)


def test_a_view_of_ones_own_is_listed_and_finds_its_tables_own_columns(tmp_path: Path) -> None:
    folder, home = tmp_path / "features", tmp_path / "home"
    folder.mkdir()
    (folder / "shoes.py").write_text(dedent(OWN))
    (home / views.INTEGRATED / names.CUSTOMERS).mkdir(parents=True)
    file = home / views.INTEGRATED / names.CUSTOMERS / "all.parquet"
    pl.DataFrame({names.CUSTOMER_ID: ["a"], "points": [2.5]}).write_parquet(file)
    plan = dict(views.plans(tmp_path))["view shoes"]
    assert "points" in plan(views.tables(tmp_path, home)).collect().columns
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="points"):
        plan(views.tables(tmp_path)).collect()


def test_a_broken_view_of_ones_own_is_told_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "shoes.py").write_text('"""Shoes."""\n')
    with pytest.raises(DataError, match="shoes"):
        list(views.plans(tmp_path))
