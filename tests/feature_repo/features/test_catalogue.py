"""What holds for every view of the catalogue."""

import ast
import inspect
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from feature_repo.features import catalogue, own
from feature_repo.features.view import Words
from feature_repo.warehouse.contract import TABLES
from motherlode import names

Rows = dict[str, list[dict[str, Any]]]
Build = Callable[[str, Rows, list[datetime]], pl.DataFrame]

SOME = Words(
    departments={"drug_gm": "DRUG GM", "食品": "食品"},
    campaign_types={"type_a": "Type A"},
    channels={"web": "web", "call_centre": "Call Centre"},
    attributes={"age": "Int64", "income": "String", "member": "Boolean"},
    purposes=("marketing",),
)
MOMENT = timedelta(microseconds=1)
DATED = {name: table.time for name, table in TABLES.items() if table.time is not None}

every_view = pytest.mark.parametrize("view", catalogue.MODULES)
# An event stands at the moment that is looked at, so a look ahead is wrong in each world; the order of rows is held in
# all six by each view's own tests.
three_worlds = pytest.mark.parametrize("rows", range(3), indirect=True)


def snapshot_inside(rows: Rows) -> datetime:
    times = sorted(line[names.EVENT_TIMESTAMP] for line in rows[names.TRANSACTIONS])
    found = times[len(times) * 2 // 3]
    assert isinstance(found, datetime)
    return found


@every_view
@three_worlds
def test_an_event_at_the_snapshot_or_later_never_changes_it(view: str, rows: Rows, build: Build) -> None:
    at = snapshot_inside(rows)
    past = {
        **rows,
        **{name: [row for row in rows[name] if row[time] is None or row[time] < at] for name, time in DATED.items()},
    }
    assert all(len(past[name]) < len(rows[name]) for name in (names.TRANSACTIONS, names.INTERACTIONS, names.FEEDBACK))
    assert_frame_equal(build(view, past, [at]), build(view, rows, [at]), check_exact=True)


@every_view
@three_worlds
def test_an_event_a_microsecond_before_the_snapshot_is_seen(view: str, rows: Rows, build: Build) -> None:
    at = snapshot_inside(rows)

    def with_new(moment: datetime) -> pl.DataFrame:
        """A customer and an item that are new at the moment, and have done all there is to do."""
        extended = dict(rows)
        for name in DATED:
            like = next(row for row in rows[name] if row.get(names.QUANTITY, 1) > 0)
            new: dict[str, Any] = {
                column: f"new {column}"
                for column in (names.BASKET_ID, names.SESSION_ID, names.FEEDBACK_ID)
                if column in like
            }
            new |= {names.CUSTOMER_ID: "new", DATED[name]: moment}
            if names.ITEM_ID in like:
                new[names.ITEM_ID] = "new"
            extended[name] = [*rows[name], like | new]
        extended[names.CUSTOMERS] = [*rows[names.CUSTOMERS], {names.CUSTOMER_ID: "new", names.REGISTERED_AT: moment}]
        found = build(view, extended, [at])
        return found.filter(pl.col(found.columns[0]) == "new")

    assert with_new(at).is_empty()
    assert with_new(at - MOMENT).height == 1


@every_view
@three_worlds
def test_rows_in_any_order_give_the_same_bits(view: str, rows: Rows, build: Build) -> None:
    at = snapshot_inside(rows)
    shuffled = {name: random.Random(7).sample(table, len(table)) for name, table in rows.items()}
    assert_frame_equal(build(view, shuffled, [at]), build(view, rows, [at]), check_exact=True)


@every_view
def test_empty_tables_make_no_rows(view: str, build: Build) -> None:
    assert build(view, {}, [datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC)]).is_empty()


@every_view
@pytest.mark.parametrize("words", [Words(), SOME], ids=["no words", "some words"])
def test_a_view_is_declared_as_a_companys_own_would_have_to_be(view: str, words: Words) -> None:
    module = catalogue.MODULES[view]
    path = Path(inspect.getfile(module))
    own.check(view, module, path)
    declared = next(it for it in catalogue.views(words) if it.name == view)
    if declared.meanings or words is SOME:
        own.check_features(declared.meanings, path)
    assert set(declared.compared) <= set(declared.meanings)
    assert all(it.unit for it in declared.meanings.values())
    assert declared.summary.endswith(".")


@every_view
def test_a_view_imports_what_a_gpu_machine_has(view: str) -> None:
    tree = ast.parse(inspect.getsource(catalogue.MODULES[view]))
    modules = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {it.split(".")[0] for it in modules} - set(sys.stdlib_module_names) <= {
        "polars",
        "motherlode",
        "feature_repo",
    }
    assert {it for it in modules if it.startswith("feature_repo")} <= {
        it for it in modules if it == "feature_repo.features" or it.startswith("feature_repo.features.")
    }


def test_every_view_has_a_name_that_the_other_rooms_know() -> None:
    known = {value for name, value in vars(names).items() if name.isupper()}
    assert set(catalogue.MODULES) <= known
    assert [view.name for view in catalogue.views(Words())] == list(catalogue.MODULES)


def test_what_models_are_made_of_are_single_precision_or_small_integers() -> None:
    scoring = (names.RFM, names.SPENDING, names.PRICE_SENSITIVITY, names.AFFINITY, names.CAMPAIGN_HISTORY)
    for view in catalogue.views(SOME):
        if view.name in scoring:
            assert set(view.features.values()) <= {pl.Float32(), pl.Int32(), pl.String()}, view.name
