"""A Feast client program that knows nothing of Motherlode: its own repo, its own files, and our store by its type."""

import subprocess
import sys
from pathlib import Path

YAML = """\
project: taxis
registry: data/registry.db
provider: local
offline_store:
  type: feature_repo.stores.offline.MotherlodeOfflineStore
online_store:
  type: sqlite
  path: data/online.db
entity_key_serialization_version: 3
"""

DEFINITIONS = """\
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
source = FileSource(
    name="stats_source",
    path="data/driver_stats.parquet",
    timestamp_field="event_timestamp",
    created_timestamp_column="created",
)
stats = FeatureView(
    name="driver_stats",
    entities=[driver],
    ttl=timedelta(days=1),
    schema=[Field(name="conv_rate", dtype=Float32), Field(name="trips", dtype=Int64)],
    source=source,
)


@on_demand_feature_view(sources=[stats], schema=[Field(name="rate_per_trip", dtype=Float64)])
def derived(inputs):
    inputs["rate_per_trip"] = inputs["conv_rate"] / inputs["trips"]
    return inputs[["rate_per_trip"]]


activity = FeatureService(name="activity", features=[stats, derived])
"""

PROGRAM = """\
from datetime import datetime, timedelta

import pandas as pd
from feast import FeatureStore
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

at = datetime(2024, 5, 1, 12)
stats = pd.DataFrame({
    "driver_id": [1001, 1001, 1002, 1003],
    "event_timestamp": [at, at + timedelta(hours=1), at - timedelta(days=9), at + timedelta(days=1)],
    "created": [at] * 4,
    "conv_rate": [0.5, 0.25, 0.75, 1.0],
    "trips": [10, 5, 7, 8],
}).astype({"conv_rate": "float32"})
stats.to_parquet("data/driver_stats.parquet")

from definitions import activity, derived, driver, stats as view

store = FeatureStore(repo_path=".")
store.apply([driver, view, derived, activity])
labels = pd.DataFrame({
    "driver_id": [1003, 1001, 1002, 1001, 9],
    "event_timestamp": [at, at + timedelta(hours=2), at, at, at],
    "y": [1, 2, 3, 4, 5],
})
job = store.get_historical_features(entity_df=labels, features=store.get_feature_service("activity"))
found = job.to_df()
assert list(found) == ["driver_id", "event_timestamp", "y", "conv_rate", "trips", "rate_per_trip"], list(found)
assert found["y"].tolist() == [1, 2, 3, 4, 5]
assert found["driver_id"].tolist() == labels["driver_id"].tolist()
assert str(found["event_timestamp"].dtype) == "datetime64[ns, UTC]", found.dtypes
assert str(found["trips"].dtype) == "Int64", found.dtypes
assert found["trips"].fillna(-1).tolist() == [-1, 5, -1, 10, -1]
assert found["conv_rate"].dtype == "float32"
assert found["conv_rate"].fillna(-1).tolist() == [-1, 0.25, -1, 0.5, -1]
assert abs(found["rate_per_trip"][1] - 0.05) < 1e-9
found.loc[0, "conv_rate"] = 3.0  # the user's own frame, to write to

store.create_saved_dataset(job, "may", SavedDatasetFileStorage("may.parquet"))
assert store.get_saved_dataset("may").to_df()["trips"].fillna(-1).tolist() == [-1, 5, -1, 10, -1]
ranged = store.get_historical_features(
    features=["driver_stats:trips"], start_date=at - timedelta(hours=1), end_date=at + timedelta(hours=3)
).to_df()
assert ranged[["driver_id", "trips"]].values.tolist() == [[1001, 5]], ranged
store.materialize(at - timedelta(days=1), at + timedelta(hours=3))
online = store.get_online_features(["driver_stats:trips"], [{"driver_id": 1001}]).to_dict()
assert online["trips"] == [5], online
print("right")
"""


def test_an_unmodified_feast_program_gets_right_answers(tmp_path: Path) -> None:
    """Joins, an on-demand view, saved data sets, a range without labels, materialisation by Feast's own engine."""
    repo = tmp_path / "a taxi company"
    (repo / "data").mkdir(parents=True)
    for name, text in (("feature_store.yaml", YAML), ("definitions.py", DEFINITIONS), ("program.py", PROGRAM)):
        (repo / name).write_text(text)
    done = subprocess.run([sys.executable, "program.py"], cwd=repo, capture_output=True, text=True, check=False)
    assert done.stdout.endswith("right\n"), done.stdout + done.stderr
