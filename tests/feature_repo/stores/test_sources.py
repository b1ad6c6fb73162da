"""Sources: where a file may lie, and how its columns are named and read."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast.types import Array, Float64, String

from feature_repo.mart.manifest import Manifest
from feature_repo.stores import historical
from feature_repo.stores.labels import read
from feature_repo.stores.state import steadily
from motherlode.errors import DataError, StoreError

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("zone", [None, "UTC", "+05:30"])
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_feature_times_of_every_unit_and_zone_mean_the_same_instant(repo: Any, unit: str, zone: Any) -> None:
    stamps = pa.array([NOON.replace(tzinfo=None)], pa.timestamp(unit)).cast(pa.timestamp(unit, zone))
    view = repo.view("v", repo.history(("a", NOON, 1.0)))
    pq.write_table(pa.table({"k": ["a"], "t": stamps, "x": [1.0], "created": stamps}), repo.mart / "v.parquet")
    assert repo.xs(repo.ask(view, ["v:x"], repo.labels(("a", NOON), ("a", NOON - HOUR)))) == [1.0, None]


def test_field_mappings_rename_keys_features_and_times(repo: Any) -> None:
    rows = repo.history(("a", NOON, 1.0)).rename({"k": "customer", "x": "value", "t": "stamp"})
    mapping = {"customer": "k", "value": "x", "stamp": "t"}
    view = repo.view("v", rows, mapping=mapping)
    assert repo.xs(repo.ask(view, ["v:x"], repo.labels(("a", NOON)))) == [1.0]


@pytest.mark.parametrize("name", ["plain.parquet", "with space.parquet", "odd[1]*?.parquet", "a folder", "folder[1]"])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_source_may_be_a_file_or_a_folder_anywhere(repo: Any, tmp_path: Path, name: str, absolute: bool) -> None:
    """A stock Feast user's paths: absolute, or relative to feature_store.yaml."""
    folder = tmp_path / "data" if absolute else repo.home
    place = folder / name
    files = [place] if place.suffix else [place / "one.parquet", place / "more" / "two.parquet"]
    for i, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        repo.history(("abc"[i], NOON, float(i))).write_parquet(file)
    view = repo.view("v", None, path=str(place) if absolute else name, dtypes={"k": String, "x": Float64})
    found = repo.xs(repo.ask(view, ["v:x"], repo.labels(("a", NOON), ("b", NOON))))
    assert found == [0.0, 1.0 if len(files) > 1 else None]


def test_a_missing_source_is_named_with_the_places_that_were_looked_in(repo: Any) -> None:
    view = repo.view("v", None, dtypes={"k": String, "x": Float64})
    with pytest.raises(StoreError, match=r"no 'v.parquet' in .*a home/mart, .*a home/saved, .*a home\. Run"):
        repo.ask(view, ["v:x"], repo.labels(("a", NOON))).to_arrow()


def test_a_missing_column_and_a_broken_file_are_named(repo: Any) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.0)))
    repo.history(("a", NOON, 1.0)).drop("x").write_parquet(repo.mart / "v.parquet")
    with pytest.raises(DataError, match="'v_source' has no column 'x'; it has k, t, created"):
        repo.ask(view, ["v:x"], repo.labels(("a", NOON))).to_arrow()
    (repo.mart / "v.parquet").write_bytes((repo.mart / "v.parquet").read_bytes()[:100])
    with pytest.raises(DataError, match="'v_source' cannot be read"):
        repo.ask(view, ["v:x"], repo.labels(("a", NOON))).to_arrow()


@pytest.mark.parametrize("path", ["v", "v.parquet"])
def test_a_view_in_the_mart_is_read_from_the_files_that_its_manifest_names(repo: Any, path: str) -> None:
    """Of two rows of one key and time that were created together the later piece's is the newer."""
    repo.history(("a", NOON, 9.0)).write_parquet(repo.mart / "v.parquet")  # as older versions had it
    view = repo.view("v", None, path=path, dtypes={"k": String, "x": Float64})
    repo.build("v", repo.history(("a", NOON, 1.0), ("b", NOON, 2.0)), repo.history(("a", NOON, 3.0)), repo.history())
    (repo.mart / "v" / "stray.parquet").write_bytes(b"a build that was killed")
    assert repo.xs(repo.ask(view, ["v:x"], repo.labels(("a", NOON), ("b", NOON), ("c", NOON)))) == [3.0, 2.0, None]


def test_a_view_that_was_built_without_a_row_answers_nulls_of_its_types(repo: Any) -> None:
    view = repo.view("v", None, dtypes={"k": String, "x": Float64, "l": Array(String)})
    repo.build("v")
    answer = repo.ask(view, ["v:x", "v:l"], repo.labels(("a", NOON))).to_arrow()
    assert answer.select(["x", "l"]).to_pylist() == [{"x": None, "l": None}]
    assert answer.schema.types[2:] == [pa.float64(), pa.list_(pa.string())]


def test_a_mart_that_is_replaced_while_it_is_read_is_read_again_and_never_mixed(repo: Any) -> None:
    """The first view is opened in the old mart; then a build ends, and the old files are gone."""
    views = [repo.view(name, None, dtypes={"k": String, "x": Float64}) for name in ("v", "w")]
    for name in ("v", "w"):
        repo.build(name, repo.history(("a", NOON, 1.0)))
    asked, wanted = read(repo.labels(("a", NOON))), historical.parts(views, ["v:x", "w:x"], full=True)
    marts: list[Manifest] = []

    def work(mart: Manifest) -> pa.Table:
        if not marts:
            for name in ("v", "w"):
                old = [repo.mart / piece.path for piece in mart.views[name].pieces]
                repo.build(name, repo.history(("a", NOON, 2.0)))
                if name == "w":
                    for file in old:
                        file.unlink()
        marts.append(mart)
        return historical.by_search(repo.config, asked, wanted, mart, by_created=False)

    assert steadily(repo.config, work).to_pylist() == [{"v__x": 2.0, "w__x": 2.0}]
    assert len(marts) == 2


def test_a_file_that_is_missing_from_the_mart_is_an_error_and_not_waited_for(repo: Any) -> None:
    view = repo.view("v", None, dtypes={"k": String, "x": Float64})
    repo.build("v", repo.history(("a", NOON, 1.0)))
    next((repo.mart / "v").iterdir()).unlink()
    with pytest.raises(DataError, match=r"'v_source' cannot be read.*No such file"):
        repo.ask(view, ["v:x"], repo.labels(("a", NOON))).to_arrow()
