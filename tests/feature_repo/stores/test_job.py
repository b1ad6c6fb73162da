"""The retrieval job: pandas with integers intact, on-demand features, saved data sets."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from feast import Field
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_integers_with_nulls_stay_integers_in_arrow_and_in_pandas(repo: Any) -> None:
    big = 2**53 + 1
    view = repo.view("v", repo.history(("a", NOON, big), ("b", NOON, None), x=pl.Int64))
    job = repo.ask(view, ["v:x"], repo.labels(("a", NOON), ("b", NOON), ("c", NOON)))
    assert job.to_arrow()["x"].type == pa.int64()
    frame = job.to_df()
    assert str(frame["x"].dtype) == "Int64"
    assert frame["x"][0] == big
    assert frame["x"].isna().tolist() == [False, True, True]


def test_on_demand_views_are_computed_on_the_answer(repo: Any) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.5)))

    @on_demand_feature_view(sources=[view], schema=[Field(name="twice", dtype=Float64)])  # type: ignore[untyped-decorator]
    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"twice": inputs["x"] * 2})

    repo.apply(view, doubled)
    answer = repo.store.get_historical_features(repo.labels(("a", NOON)).to_pandas(), ["v:x", "doubled:twice"]).to_df()
    assert answer["twice"].tolist() == [3.0]


def test_a_saved_data_set_lies_in_the_state_folder_and_comes_back(repo: Any) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.0), ("b", NOON, 2.0)))
    repo.apply(view)
    job = repo.store.get_historical_features(repo.labels(("b", NOON), ("a", NOON)).to_pandas(), ["v:x"])
    storage = SavedDatasetFileStorage("spring.parquet")
    repo.store.create_saved_dataset(job, "spring", storage)
    assert (repo.home / "saved" / "spring.parquet").is_file()
    assert repo.store.get_saved_dataset("spring").to_df()["x"].tolist() == [2.0, 1.0]
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        repo.store.create_saved_dataset(job, "spring", storage)
    repo.store.create_saved_dataset(job, "spring", storage, allow_overwrite=True)
