"""The offline store through Feast's interface: CASES.md, point-in-time join, and what Feast's users call besides."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64, String
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motherlode.errors import DataError, StoreError

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
US = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TIME = pl.Datetime("us", "UTC")


def history(
    *rows: tuple[str, datetime, Any], created: list[datetime] | None = None, x: Any = pl.Float64
) -> pl.DataFrame:
    """Rows of (k, t, x), created at their time unless said."""
    frame = pl.DataFrame(rows, schema={"k": pl.String, "t": TIME, "x": x}, orient="row")
    made = frame["t"] if created is None else pl.Series(created, dtype=TIME)
    return frame.with_columns(made.alias("created"))


def labels(*rows: tuple[str, datetime], **own: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"k": pl.String, "event_timestamp": TIME}, orient="row").with_columns(
        pl.Series(name, values) for name, values in own.items()
    )


def xs(job: Any) -> list[Any]:
    found: list[Any] = job.to_arrow()["x"].to_pylist()
    return found


# ------------------------------------------------------------------ point in time


def test_a_feature_stamped_at_the_labels_time_is_used_and_one_microsecond_later_is_not(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.0), ("a", NOON + US, 2.0)))
    asked = labels(("a", NOON - US), ("a", NOON), ("a", NOON + US))
    assert xs(repo.ask(view, ["v:x"], asked)) == [None, 1.0, 2.0]


@pytest.mark.parametrize(("ttl", "found"), [(DAY, [1.0, None]), (timedelta(0), [1.0, 1.0]), (None, [1.0, 1.0])])
def test_a_feature_exactly_its_ttl_old_is_used_and_no_ttl_is_no_limit(repo: Any, ttl: Any, found: list[Any]) -> None:
    view = repo.view("v", history(("a", NOON, 1.0)), ttl=ttl)
    assert xs(repo.ask(view, ["v:x"], labels(("a", NOON + DAY), ("a", NOON + DAY + US)))) == found


def test_a_label_without_a_feature_stays_with_nulls(repo: Any) -> None:
    """Absent entity, only future features, only stale ones, no time at all; stock Feast drops such rows."""
    view = repo.view("v", history(("future", NOON + DAY, 1.0), ("stale", NOON - 9 * DAY, 2.0)), ttl=DAY)
    asked = labels(("absent", NOON), ("future", NOON), ("stale", NOON), ("future", None), (None, NOON))  # type: ignore[arg-type]
    answer = repo.ask(view, ["v:x"], asked).to_arrow()
    assert answer["k"].to_pylist() == ["absent", "future", "stale", "future", None]
    assert answer["x"].to_pylist() == [None] * 5


def test_duplicate_labels_all_stay_in_order_with_their_own_columns(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.0), ("b", NOON, 2.0)))
    asked = labels(("b", NOON), ("a", NOON), ("b", NOON), ("b", NOON), y=[3, 1, 2, 3], z=["p", "q", "r", "p"])
    answer = repo.ask(view, ["v:x"], asked).to_arrow()
    assert answer.column_names == ["k", "event_timestamp", "y", "z", "x"]
    assert answer["y"].to_pylist() == [3, 1, 2, 3]
    assert answer["z"].to_pylist() == ["p", "q", "r", "p"]
    assert answer["x"].to_pylist() == [2.0, 1.0, 2.0, 2.0]


def test_of_two_features_with_one_event_time_the_later_created_wins(repo: Any) -> None:
    rows = history(("a", NOON, 1.0), ("a", NOON, 2.0), ("a", NOON, 3.0), created=[NOON + HOUR, NOON + DAY, NOON])
    assert xs(repo.ask(repo.view("v", rows), ["v:x"], labels(("a", NOON + 2 * DAY)))) == [2.0]


def test_by_created_time_a_row_counts_only_once_it_was_known(repo: Any) -> None:
    """The newest event of those known: a correction counts from its creation, an older row never comes back."""
    rows = history(
        ("a", NOON, 1.0),
        ("a", NOON, 2.0),
        ("a", NOON + HOUR, 3.0),
        ("a", NOON - HOUR, 9.0),
        created=[NOON, NOON + 3 * HOUR, NOON + 2 * HOUR, NOON + 4 * HOUR],
    )
    view = repo.view("v", rows)
    asked = labels(*(("a", NOON + h * HOUR) for h in (0, 1, 2, 3, 5)))
    assert xs(repo.ask(view, ["v:x"], asked, filter_by_created_timestamp=True)) == [1.0, 1.0, 3.0, 3.0, 3.0]
    assert xs(repo.ask(view, ["v:x"], asked)) == [2.0, 3.0, 3.0, 3.0, 3.0]


def test_a_view_without_a_created_column_ignores_the_created_filter(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.0)).drop("created"), created=False)
    assert xs(repo.ask(view, ["v:x"], labels(("a", NOON)), filter_by_created_timestamp=True)) == [1.0]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "+05:30", "Asia/Kolkata"])
@pytest.mark.parametrize("form", ["arrow", "pandas"])
def test_label_times_of_every_unit_and_zone_mean_the_same_instant(repo: Any, unit: str, zone: Any, form: str) -> None:
    view = repo.view("v", history(("a", NOON, 1.0), ("a", NOON + HOUR, 2.0)))
    times = [NOON + HOUR, NOON - HOUR, NOON]
    stamps = pa.array([time.replace(tzinfo=None) for time in times], pa.timestamp(unit))
    stamps = stamps.cast(pa.timestamp(unit, zone)) if zone else stamps  # the same instants
    asked: Any = pa.table({"k": ["a"] * 3, "event_timestamp": stamps})
    asked = asked.to_pandas() if form == "pandas" else asked
    answer = repo.ask(view, ["v:x"], asked).to_arrow()
    assert answer["x"].to_pylist() == [2.0, None, 1.0]
    assert answer["event_timestamp"].type == pa.timestamp(unit, zone)


def test_python_datetimes_of_several_offsets_in_one_column_are_read(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.0)))
    asked = pd.DataFrame(
        {"k": ["a", "a"], "event_timestamp": pd.Series(["2024-05-01T17:30:00+05:30", "2024-05-01T11:59:59Z"])}
    )
    asked["event_timestamp"] = [datetime.fromisoformat(time) for time in asked["event_timestamp"]]
    asked["event_timestamp"] = asked["event_timestamp"].astype(object)
    assert xs(repo.ask(view, ["v:x"], asked)) == [1.0, None]


@pytest.mark.parametrize("zone", [None, "UTC", "+05:30"])
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_feature_times_of_every_unit_and_zone_mean_the_same_instant(repo: Any, unit: str, zone: Any) -> None:
    stamps = pa.array([NOON.replace(tzinfo=None)], pa.timestamp(unit)).cast(pa.timestamp(unit, zone))
    view = repo.view("v", history(("a", NOON, 1.0)))
    pq.write_table(pa.table({"k": ["a"], "t": stamps, "x": [1.0], "created": stamps}), repo.mart / "v.parquet")
    assert xs(repo.ask(view, ["v:x"], labels(("a", NOON), ("a", NOON - HOUR)))) == [1.0, None]


def test_views_of_different_keys_and_ttls_are_joined_each_by_its_own(repo: Any) -> None:
    people = repo.view("people", history(("a", NOON, 1.0)), ttl=HOUR)
    shops = repo.view(
        "shops",
        pl.DataFrame({"shop": [7, 7], "k": ["a", "b"], "t": [NOON, NOON], "y": [10, 20]}).with_columns(
            pl.col("t").cast(TIME), pl.col("t").cast(TIME).alias("created")
        ),
        keys=("shop", "k"),
        ttl=DAY,
    )
    asked = labels(("a", NOON + 2 * HOUR), ("b", NOON), ("a", NOON), shop=[7, 7, 8])
    answer = repo.ask([people, shops], ["people:x", "shops:y"], asked).to_arrow()
    assert answer["x"].to_pylist() == [None, None, 1.0]
    assert answer["y"].to_pylist() == [10, 20, None]


def test_one_view_twice_under_two_aliases_and_join_keys(repo: Any) -> None:
    towns = repo.view("towns", history(("a", NOON, 1.0), ("b", NOON, 2.0)))
    service = FeatureService(
        name="trip",
        features=[
            towns.with_name("origin").with_join_key_map({"k": "origin_id"}),
            towns.with_name("destination").with_join_key_map({"k": "destination_id"}),
        ],
    )
    repo.apply(towns, service)
    asked = pd.DataFrame(
        {"origin_id": ["a", "b", "a"], "destination_id": ["b", "a", "z"], "event_timestamp": [NOON] * 3}
    )
    answer = repo.store.get_historical_features(asked, service, full_feature_names=True).to_df()
    assert list(answer) == ["origin_id", "destination_id", "event_timestamp", "origin__x", "destination__x"]
    assert answer["origin__x"].tolist() == [1.0, 2.0, 1.0]
    assert answer["destination__x"].fillna(-1).tolist() == [2.0, 1.0, -1.0]


def test_a_label_column_named_like_a_feature_needs_full_names(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.0)))
    asked = labels(("a", NOON), x=[5])
    with pytest.raises(StoreError, match=r"'x'.*full_feature_names"):
        repo.ask(view, ["v:x"], asked).to_arrow()
    answer = repo.ask(view, ["v:x"], asked, full_feature_names=True).to_arrow()
    assert (answer["x"].to_pylist(), answer["v__x"].to_pylist()) == ([5], [1.0])


def test_the_newest_value_stays_null_and_never_falls_back_to_an_older_one(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.0), ("a", NOON + HOUR, None)))
    assert xs(repo.ask(view, ["v:x"], labels(("a", NOON + HOUR)))) == [None]


def test_integers_with_nulls_stay_integers_in_arrow_and_in_pandas(repo: Any) -> None:
    big = 2**53 + 1
    view = repo.view("v", history(("a", NOON, big), ("b", NOON, None), x=pl.Int64))
    job = repo.ask(view, ["v:x"], labels(("a", NOON), ("b", NOON), ("c", NOON)))
    assert job.to_arrow()["x"].type == pa.int64()
    frame = job.to_df()
    assert str(frame["x"].dtype) == "Int64"
    assert frame["x"][0] == big
    assert frame["x"].isna().tolist() == [False, True, True]


def test_an_empty_label_frame_has_an_empty_answer_with_the_right_columns_and_types(repo: Any) -> None:
    rows = history(("a", NOON, 1)).with_columns(
        pl.lit(1, pl.Int32).alias("i"), pl.lit(["q"]).alias("l"), pl.lit(1.0, pl.Float32).alias("f")
    )
    view = repo.view("v", rows.with_columns(pl.lit(None).alias("n")), dtypes={"n": Float32})
    answer = repo.ask(view, ["v:i", "v:l", "v:f", "v:n"], labels()).to_arrow()
    assert answer.num_rows == 0
    assert answer.schema.field("event_timestamp").type == pa.timestamp("us", "UTC")
    types = {name: answer.schema.field(name).type for name in ("i", "l", "f", "n")}
    assert types == {"i": pa.int32(), "l": pa.list_(pa.string()), "f": pa.float32(), "n": pa.float32()}
    bare = pd.DataFrame({"k": [], "event_timestamp": []})
    assert list(repo.ask(view, ["v:i"], bare).to_df()) == ["k", "event_timestamp", "i"]


def test_a_feature_file_without_rows_answers_nulls_of_its_types(repo: Any) -> None:
    view = repo.view("v", history(x=pl.Int32))
    answer = repo.ask(view, ["v:x"], labels(("a", NOON))).to_arrow()
    assert (answer["x"].to_pylist(), answer["x"].type) == ([None], pa.int32())


def test_nan_stays_nan_and_null_stays_null(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, float("nan")), ("b", NOON, None)))
    nan, null = xs(repo.ask(view, ["v:x"], labels(("a", NOON), ("b", NOON))))
    assert np.isnan(nan)
    assert null is None


def test_two_string_keys_are_compared_one_by_one(repo: Any) -> None:
    rows = pl.DataFrame({"k": ["1"], "l": ["11"], "t": [NOON], "created": [NOON], "x": [1.0]})
    view = repo.view("v", rows, keys=("k", "l"))
    asked = labels(("1", NOON), ("11", NOON), l=["11", "1"])
    assert xs(repo.ask(view, ["v:x"], asked)) == [1.0, None]


KEYED = [2**53, 2**53 + 1, 7]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (pd.Series([2**53, 2**53 + 1, 8]), [0.0, 1.0, None]),
        (pd.Series([7, 8, 9], dtype="int32"), [2.0, None, None]),
        (pd.Series([7, 2**53 + 1, 2**63 + 5], dtype="uint64"), [2.0, 1.0, None]),
        (pd.Series([7.0, None, 7.5]), [2.0, None, None]),
        (pd.Series([7, None, 2**53 + 1], dtype="Int64"), [2.0, None, 1.0]),
        (pd.Series([None, None, None], dtype=object), [None, None, None]),
    ],
)
def test_integer_keys_match_exactly_whatever_integer_type_the_labels_have(repo: Any, keys: Any, found: Any) -> None:
    rows = pl.DataFrame({"k": KEYED, "t": [NOON] * 3, "created": [NOON] * 3, "x": [0.0, 1.0, 2.0]})
    view = repo.view("v", rows)
    assert xs(repo.ask(view, ["v:x"], pd.DataFrame({"k": keys, "event_timestamp": [NOON] * 3}))) == found


def test_keys_of_types_that_have_nothing_in_common_are_refused(repo: Any) -> None:
    view = repo.view("v", history(("7", NOON, 1.0)))
    with pytest.raises(DataError, match="'k' is Int64 in the labels and String in the features"):
        repo.ask(view, ["v:x"], pd.DataFrame({"k": [7], "event_timestamp": [NOON]})).to_arrow()


def test_dictionary_keys_are_strings(repo: Any) -> None:
    rows = history(("a", NOON, 1.0)).with_columns(pl.col("k").cast(pl.Categorical))
    view = repo.view("v", rows, dtypes={"k": String})
    asked = labels(("a", NOON)).to_pandas().astype({"k": "category"})
    assert xs(repo.ask(view, ["v:x"], asked)) == [1.0]


MINUTES = st.integers(0, 40)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abc"), MINUTES, st.one_of(st.none(), MINUTES), st.integers(0, 3)), max_size=30
    ),
    asked=st.lists(st.tuples(st.sampled_from("abcd"), MINUTES), max_size=20),
    ttl=st.one_of(st.none(), st.integers(1, 20)),
    by_created=st.booleans(),
)
def test_random_histories_agree_with_a_loop_over_every_row(
    repo: Any, rows: list[Any], asked: list[Any], ttl: Any, by_created: bool
) -> None:
    minute = timedelta(minutes=1)
    made = [NOON + (t + late) * minute for _, t, _, late in rows]
    frame = history(*((k, NOON + t * minute, x) for k, t, x, _ in rows), created=made, x=pl.Int64)
    view = repo.view("v", frame, ttl=None if ttl is None else ttl * minute)
    expected = []
    for key, at in asked:
        seen = [
            (t, t + late, i, x)
            for i, (k, t, x, late) in enumerate(rows)
            if k == key and t <= at and (not by_created or t + late <= at)
        ]
        best = max(seen, default=None)
        expected.append(None if best is None or (ttl is not None and at - best[0] > ttl) else best[3])
    asking = labels(*((k, NOON + t * minute) for k, t in asked))
    assert xs(repo.ask(view, ["v:x"], asking, filter_by_created_timestamp=by_created)) == expected


# ------------------------------------------------------------------ the rest of Feast's interface


def test_sql_and_other_non_frames_are_refused(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.0)))
    for asked in ("SELECT 1", 3):
        with pytest.raises(StoreError, match="frame"):
            repo.ask(view, ["v:x"], asked)


def test_labels_without_times_or_keys_are_refused_by_name(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.0)))
    with pytest.raises(DataError, match="no column 'event_timestamp'; they have k, day"):
        repo.ask(view, ["v:x"], pd.DataFrame({"k": ["a"], "day": ["today"]}))
    with pytest.raises(DataError, match="'event_timestamp' is int64"):
        repo.ask(view, ["v:x"], pd.DataFrame({"k": ["a"], "event_timestamp": [3]}))
    with pytest.raises(DataError, match="no column 'k'; they have event_timestamp"):
        repo.ask(view, ["v:x"], pd.DataFrame({"event_timestamp": [NOON]})).to_arrow()


def test_the_only_time_column_is_taken_whatever_its_name(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.0)))
    assert xs(repo.ask(view, ["v:x"], pd.DataFrame({"k": ["a"], "asked_at": [NOON]}))) == [1.0]


def test_without_labels_every_entity_of_the_range_is_asked_about_at_its_end(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.0), ("a", NOON + HOUR, 2.0), ("b", NOON - DAY, 3.0), ("c", NOON, None)))
    answer = repo.ask(view, ["v:x"], None, start_date=NOON, end_date=NOON + DAY).to_arrow()
    assert answer["k"].to_pylist() == ["a", "c"]
    assert answer["x"].to_pylist() == [2.0, None]
    assert set(answer["event_timestamp"].to_pylist()) == {NOON + DAY}


def test_field_mappings_rename_keys_features_and_times(repo: Any) -> None:
    rows = history(("a", NOON, 1.0)).rename({"k": "customer", "x": "value", "t": "stamp"})
    mapping = {"customer": "k", "value": "x", "stamp": "t"}
    view = repo.view("v", rows, mapping=mapping)
    assert xs(repo.ask(view, ["v:x"], labels(("a", NOON)))) == [1.0]


def test_a_view_without_entities_joins_by_time_alone(repo: Any) -> None:
    view = repo.view("v", history(("", NOON, 1.0)).drop("k"), keys=())
    repo.apply(view)
    asked = pd.DataFrame({"event_timestamp": [NOON - US, NOON]})
    answer = repo.store.get_historical_features(asked, ["v:x"]).to_arrow()
    assert answer["x"].to_pylist() == [None, 1.0]


def test_on_demand_views_are_computed_on_the_answer(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.5)))

    @on_demand_feature_view(sources=[view], schema=[Field(name="twice", dtype=Float64)])  # type: ignore[untyped-decorator]
    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"twice": inputs["x"] * 2})

    repo.apply(view, doubled)
    answer = repo.store.get_historical_features(labels(("a", NOON)).to_pandas(), ["v:x", "doubled:twice"]).to_df()
    assert answer["twice"].tolist() == [3.0]


def test_a_saved_data_set_lies_in_the_state_folder_and_comes_back(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.0), ("b", NOON, 2.0)))
    repo.apply(view)
    job = repo.store.get_historical_features(labels(("b", NOON), ("a", NOON)).to_pandas(), ["v:x"])
    storage = SavedDatasetFileStorage("spring.parquet")
    repo.store.create_saved_dataset(job, "spring", storage)
    assert (repo.home / "saved" / "spring.parquet").is_file()
    assert repo.store.get_saved_dataset("spring").to_df()["x"].tolist() == [2.0, 1.0]
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        repo.store.create_saved_dataset(job, "spring", storage)
    repo.store.create_saved_dataset(job, "spring", storage, allow_overwrite=True)


def test_the_latest_rows_are_pulled_per_key_both_ends_included(repo: Any) -> None:
    rows = history(
        ("a", NOON, 1.0),
        ("a", NOON, 2.0),
        ("b", NOON - DAY, 3.0),
        ("b", NOON + DAY + US, 4.0),
        ("c", NOON + DAY, None),
        created=[NOON + HOUR, NOON, NOON, NOON, NOON],
    )
    view = repo.view("v", rows)
    latest = repo.store.provider.offline_store.pull_latest_from_table_or_query(
        repo.config, view.batch_source, ["k"], ["x"], "t", "created", NOON - DAY, NOON + DAY
    ).to_arrow()
    assert latest.column_names == ["k", "x", "t", "created"]
    assert dict(zip(latest["k"].to_pylist(), latest["x"].to_pylist(), strict=True)) == {"a": 1.0, "b": 3.0, "c": None}
    everything = repo.store.provider.offline_store.pull_all_from_table_or_query(
        repo.config, view.batch_source, ["k"], ["x"], "t", None, NOON
    )
    assert everything.to_arrow()["x"].to_pylist() == [1.0, 2.0, 4.0, None]


def test_rows_written_to_the_offline_store_are_appended_whole(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.0)))
    repo.apply(view)
    more = history(("a", NOON + HOUR, 2.0)).select("x", "k", "created", "t").to_pandas()
    repo.store.write_to_offline_store("v", more)
    assert xs(repo.ask(view, ["v:x"], labels(("a", NOON), ("a", NOON + DAY)))) == [1.0, 2.0]
    assert [path.name for path in repo.mart.glob("*.tmp")] == []
    with pytest.raises(ValueError, match="missing_expected_columns: \\['x'\\]"):
        repo.store.write_to_offline_store("v", more.drop(columns="x"))


def test_a_schema_that_was_not_declared_is_read_from_the_file(repo: Any) -> None:
    repo.view("v", history(("a", NOON, 1), x=pl.Int64))
    customer = Entity(name="customer", join_keys=["k"], value_type=ValueType.STRING)
    source = FileSource(path="v.parquet", timestamp_field="t", created_timestamp_column="created")
    bare = FeatureView(name="v", entities=[customer], source=source)
    repo.store.apply([customer, bare])
    assert [(field.name, field.dtype) for field in repo.store.get_feature_view("v").features] == [("x", Int64)]


@pytest.mark.parametrize("name", ["plain.parquet", "with space.parquet", "odd[1]*?.parquet", "a folder", "folder[1]"])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_source_may_be_a_file_or_a_folder_anywhere(repo: Any, tmp_path: Path, name: str, absolute: bool) -> None:
    """A stock Feast user's paths: absolute, or relative to feature_store.yaml."""
    folder = tmp_path / "data" if absolute else repo.home
    place = folder / name
    files = [place] if place.suffix else [place / "one.parquet", place / "more" / "two.parquet"]
    for i, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        history(("abc"[i], NOON, float(i))).write_parquet(file)
    view = repo.view("v", None, path=str(place) if absolute else name, dtypes={"k": String, "x": Float64})
    found = xs(repo.ask(view, ["v:x"], labels(("a", NOON), ("b", NOON))))
    assert found == [0.0, 1.0 if len(files) > 1 else None]


def test_a_missing_source_is_named_with_the_places_that_were_looked_in(repo: Any) -> None:
    view = repo.view("v", None, dtypes={"k": String, "x": Float64})
    with pytest.raises(StoreError, match=r"no 'v.parquet' in .*a home/mart, .*a home/saved, .*a home\. Run"):
        repo.ask(view, ["v:x"], labels(("a", NOON))).to_arrow()


def test_a_missing_column_and_a_broken_file_are_named(repo: Any) -> None:
    view = repo.view("v", history(("a", NOON, 1.0)))
    history(("a", NOON, 1.0)).drop("x").write_parquet(repo.mart / "v.parquet")
    with pytest.raises(DataError, match="'v_source' has no column 'x'; it has k, t, created"):
        repo.ask(view, ["v:x"], labels(("a", NOON))).to_arrow()
    (repo.mart / "v.parquet").write_bytes((repo.mart / "v.parquet").read_bytes()[:100])
    with pytest.raises(DataError, match="'v_source' cannot be read"):
        repo.ask(view, ["v:x"], labels(("a", NOON))).to_arrow()


def test_apply_checks_a_source_that_is_there_and_waits_for_one_that_is_not(repo: Any, caplog: Any) -> None:
    store = repo.store.provider.offline_store
    missing = FileSource(path="nowhere.parquet", timestamp_field="t")
    store.validate_data_source(repo.config, missing)
    assert "no 'nowhere.parquet'" in caplog.text
    view = repo.view("v", history(("a", NOON, 1.0)).drop("t"))
    with pytest.raises(DataError, match="'v_source' has no column 't'"):
        store.validate_data_source(repo.config, view.batch_source)
    history(("a", NOON, 1.0)).with_columns(pl.lit("noon").alias("t")).write_parquet(repo.mart / "v.parquet")
    with pytest.raises(DataError, match="'t' is String"):
        repo.ask(view, ["v:x"], labels(("a", NOON))).to_arrow()
