"""The company of the serving benchmark: 20,000 customers, 30 float32 in 4 views, in both stores of one Valkey.

Made by the product's own code: the rows are packed and written by `motherlode.online`, the bundle is written and
verified by `training.publish`. Feast's own Redis store gets the same rows by `materialize`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
import yaml
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float32

from benchmarks.online import Server
from benchmarks.peers.models import Models
from benchmarks.peers.stock import SERVICE
from motherlode import names, packed, redis_server
from motherlode.compute import Compute
from motherlode.manifest import Input, ItemTable, Model, Popular, Segment, Service, Tower
from motherlode.online.reader import ViewRequest
from motherlode.online.tombstones import Tombstones
from motherlode.online.writer import OnlineWriter, Target
from motherlode.packed import Column, Schema, Values
from motherlode.settings import Settings
from training import publish
from training.two_tower import export as tower_export
from training.two_tower.model import Shape, UserTower

CUSTOMERS: Final = 20_000
VIEWS: Final = 4
FEATURES: Final = 30
"""Of a customer, in all views together."""
_ITEMS: Final = 1_000
_DIM: Final = 64
_HISTORY: Final = 50
_FACTORS: Final = 8
"""Tastes that all features come from."""
_TTL: Final = timedelta(days=90)
_COMPUTE: Final = Compute("cpu", "The benchmark is of the CPU.")

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Company:
    """Where it lies.

    Attributes:
        settings: our home, bound to the Valkey.
        feast: the folder of Feast's repository; the peers' models lie there too.
        x: shape (customers, features), the features of customer i in row i.
        columns: view → its features' names, in the order of `x`.
        models: what answers.
    """

    settings: Settings
    feast: Path
    x: Matrix
    columns: Mapping[str, tuple[str, ...]]
    models: Models

    def expected(self, customer: int) -> tuple[int, dict[str, float]]:
        """A customer's segment and scores, as the libraries that trained the models answer."""
        x = self.x[[customer]]
        scores = {name: float(each.probability(x)[0]) for name, each in self.models.scorers.items()}
        return int(self.models.segmenter.label(x)[0]), scores


def make(
    folder: Path, valkey: Server, customers: int = CUSTOMERS, features: int = FEATURES, *, peers: bool = True
) -> Company:
    """Features, models, bundle, and both stores filled.

    Args:
        folder: an empty one.
        valkey: an empty server.
        customers: how many; they are called 0, 1, ...
        features: of a customer, in all views together.
        peers: fill Feast's own store as well, which takes a minute.
    """
    columns = {
        f"view_{i}": tuple(f"view_{i}_{j:02d}" for j in range(width)) for i, width in enumerate(widths(features))
    }
    x = amounts(customers, features)
    medians = np.median(x, axis=0).tolist()
    named = [(view, name) for view, each in columns.items() for name in each]
    inputs = [Input(view, name, each) for (view, name), each in zip(named, medians, strict=True)]
    models = Models.fit(x, inputs, _COMPUTE)
    # By the Unix socket, as the embedded Valkey is reached; Feast's store knows TCP alone.
    settings = Settings(home=folder / "home", redis_url=f"unix://{valkey.socket}", device="cpu")
    made = Company(settings, folder / "feast", x, columns, models)
    made.feast.mkdir(parents=True)
    models.save(made.feast)
    publish_bundle(made, datetime.now(UTC))
    at = datetime.now(UTC) - timedelta(hours=1)
    _write_packed(made, at)
    if peers:
        _write_feast(made, at, valkey.port)
    return made


def widths(features: int) -> list[int]:
    """Features of each view, as even as they can be, the wider ones first; each has one at least."""
    if features < VIEWS:
        raise ValueError(f"{features} features cannot be in {VIEWS} views.")
    least, more = divmod(features, VIEWS)
    return [least + (i < more) for i in range(VIEWS)]


def amounts(customers: int, width: int) -> Matrix:
    """Amounts between 0.6 and 32 that hang together, float32 of shape (customers, width)."""
    random = np.random.default_rng(0)
    tastes = random.normal(size=(customers, _FACTORS))
    loadings = random.normal(size=(_FACTORS, width)) / np.sqrt(_FACTORS)
    values = tastes @ loadings + 0.3 * random.normal(size=(customers, width))
    found: Matrix = np.expm1(2.0 + 1.5 * np.tanh(values)).astype(np.float32)
    return found


def publish_bundle(made: Company, created: datetime) -> str:
    """Write the models as a bundle and make it current; its version, which is named by when it was made."""
    schemas = _schemas(made)
    requests = {view: ViewRequest(view, each.columns, int(_TTL.total_seconds())) for view, each in schemas.items()}
    lists = (
        Column("latest_items", "list<string>"),
        Column("top_items", "list<string>"),
        Column("top_weights", "list<float32>"),
    )
    history = ViewRequest(names.HISTORY, lists, int(_TTL.total_seconds()))
    purchases = ViewRequest(names.PURCHASES, (Column("purchased_items", "list<string>"),), None)
    views = tuple(requests.values())
    services = {
        names.SCORING: Service(names.SCORING, views),
        names.RECOMMENDATION: Service(names.RECOMMENDATION, (history, purchases, views[0])),
    }
    fitted = made.models.fitted()
    counts = np.bincount(made.models.segmenter.label(made.x)).tolist()
    segments = [Segment(i, f"Segment {i}", n / len(made.x), "", n) for i, n in enumerate(counts)]
    origin = publish.Origin(created, "", "", services)
    folder = publish.write(
        made.settings, _COMPUTE, origin, fitted, segments, _recommender(made), (), {}, lambda _: "<html></html>"
    )
    publish.publish(made.settings, folder.name)
    return folder.name


def _recommender(made: Company) -> publish.Recommender:
    """A tower that nobody trained: a bundle has one, and here nobody asks it."""
    torch.manual_seed(0)
    inputs = made.models.inputs[: len(next(iter(made.columns.values())))]
    tower = UserTower(Shape(_ITEMS, (), len(inputs), _HISTORY, _DIM)).eval()
    random = np.random.default_rng(2)
    history = random.integers(0, _ITEMS + 1, (16, _HISTORY))
    x = np.ascontiguousarray(made.x[:16, : len(inputs)])
    with torch.no_grad():
        answer = tower(torch.from_numpy(history), torch.from_numpy(x)).numpy()
    ids = tuple(range(_ITEMS))
    keys = tuple(map(str, ids))
    return publish.Recommender(
        tower=Tower(Model(tower_export.FILE, inputs, tower_export.USER), _HISTORY, 0.0),
        onnx=tower_export.to_onnx(tower),
        items=ItemTable(ids, keys, tuple(f"Item {key}" for key in keys), keys),
        vectors=random.normal(size=(_ITEMS, answer.shape[1])).astype(np.float32),
        queries=answer,
        popular=Popular(tuple((row, 100.0 - row) for row in range(100)), {}),
        history=history,
        features=x,
        answer=answer,
    )


def _schemas(made: Company) -> dict[str, Schema]:
    return {
        view: Schema(view, tuple(Column(name, "float32") for name in columns)) for view, columns in made.columns.items()
    }


def _write_packed(made: Company, at: datetime) -> None:
    with redis_server.connect(made.settings) as client:
        writer = OnlineWriter(client, made.settings.project, Tombstones(made.settings).of_entity)
        entities = [str(i) for i in range(len(made.x))]
        times = np.full(len(made.x), int(at.timestamp() * 1e6))
        valid = np.ones(len(made.x), dtype=np.bool_)
        start = 0
        for view, schema in _schemas(made).items():
            values = {
                column.name: Values(np.ascontiguousarray(made.x[:, start + j]), valid)
                for j, column in enumerate(schema.columns)
            }
            start += len(schema.columns)
            target = Target(view, owned=True)
            writer.declare(schema, target)
            writer.write(target, entities, packed.encode(schema, values, times, times))


def _write_feast(made: Company, at: datetime, port: int) -> None:
    config: dict[str, Any] = {
        "project": "peers",
        "provider": "local",
        "registry": {"path": str(made.feast / "registry.db"), "cache_ttl_seconds": 600},
        "offline_store": {"type": "file"},
        "online_store": {"type": "redis", "connection_string": f"127.0.0.1:{port}"},
        "entity_key_serialization_version": 3,
    }
    (made.feast / "feature_store.yaml").write_text(yaml.safe_dump(config))
    store = FeatureStore(repo_path=str(made.feast))
    customer = Entity(name="customer", join_keys=[names.CUSTOMER_ID], value_type=ValueType.STRING)
    views = []
    start = 0
    for view, columns in made.columns.items():
        path = made.feast / f"{view}.parquet"
        rows = {name: made.x[:, start + j] for j, name in enumerate(columns)}
        ids = [str(i) for i in range(len(made.x))]
        pl.DataFrame({names.CUSTOMER_ID: ids, names.EVENT_TIMESTAMP: [at] * len(ids), **rows}).write_parquet(path)
        start += len(columns)
        source = FileSource(name=f"{view}_source", path=str(path), timestamp_field=names.EVENT_TIMESTAMP)
        schema = [Field(name=name, dtype=Float32) for name in columns]
        views.append(FeatureView(name=view, entities=[customer], ttl=_TTL, schema=schema, source=source))
    service: Any = FeatureService
    store.apply([customer, *views, service(name=SERVICE, features=views)])
    started = time.perf_counter()
    store.materialize(at - timedelta(days=1), at + timedelta(minutes=1))
    print(f"Feast materialised {len(made.x):,} customers in {time.perf_counter() - started:.0f} s.")
