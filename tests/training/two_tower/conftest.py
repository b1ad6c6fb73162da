"""The demo's integrated tables, thinned to 200 households, their feature snapshots, and one fitted recommender."""

from datetime import timedelta
from typing import NamedTuple

import polars as pl
import pytest

from feature_repo.features import catalogue
from feature_repo.mart import words
from feature_repo.warehouse import demo, pipeline, tables
from motherlode import names
from motherlode.compute import Compute
from motherlode.settings import Settings
from training.two_tower.fit import FittedTower, fit
from training.two_tower.train import Options

CPU = Compute("cpu", "The CPU was asked for.")
KEYS = [names.CUSTOMER_ID, names.EVENT_TIMESTAMP]


class Frames(NamedTuple):
    transactions: pl.DataFrame
    items: pl.DataFrame
    features: pl.DataFrame


@pytest.fixture(scope="session")
def integrated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.LazyFrame]:
    settings = Settings(home=tmp_path_factory.mktemp("motherlode"), households=200)
    pipeline.load(settings, demo.project(settings))
    return tables.scan_all(settings)


@pytest.fixture(scope="session")
def frames(integrated: dict[str, pl.LazyFrame]) -> Frames:
    transactions = integrated[names.TRANSACTIONS].collect()
    last = transactions.select(pl.col(names.EVENT_TIMESTAMP).max()).item()
    snapshots = pl.LazyFrame({names.EVENT_TIMESTAMP: [last - timedelta(weeks=week) for week in range(48)]})
    known = {view.name: view for view in catalogue.views(words.find(integrated))}
    views = []
    for view in (known[names.RFM], known[names.AFFINITY]):
        rows = view.build(integrated, snapshots)
        rows = rows if view.across is None else view.across(rows)
        told = [pl.col(name).alias(f"{view.name}__{name}") for name, it in view.features.items() if it.is_numeric()]
        views.append(rows.select(*KEYS, *told).collect())
    features = views[0].join(views[1], on=KEYS, how="left")
    return Frames(transactions, integrated[names.ITEMS].collect(), features)


@pytest.fixture(scope="session")
def options() -> Options:
    """Narrow and short: the tests ask whether it is right, not how good it gets."""
    return Options(dim=64, epochs=2, recent=10, continued=2)


@pytest.fixture(scope="session")
def passes() -> list[tuple[int, int]]:
    """What the fit of `fitted` reported of its progress."""
    return []


@pytest.fixture(scope="session")
def fitted(frames: Frames, options: Options, passes: list[tuple[int, int]]) -> FittedTower:
    return fit(*frames, CPU, 0, lambda done, of: passes.append((done, of)), options)
