"""The point-in-time join as a user meets it: CASES.md, against Feast's own interface."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from feast import FeatureService
from feast.types import Float32, String
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.mart.manifest import Manifest
from feature_repo.stores import historical
from feature_repo.stores.labels import read
from motherlode.compute import Compute, Room, room
from motherlode.errors import StoreError

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
US = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TIME = pl.Datetime("us", "UTC")


def test_a_feature_stamped_at_the_labels_time_is_used_and_one_microsecond_later_is_not(repo: Any) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.0), ("a", NOON + US, 2.0)))
    asked = repo.labels(("a", NOON - US), ("a", NOON), ("a", NOON + US))
    assert repo.xs(repo.ask(view, ["v:x"], asked)) == [None, 1.0, 2.0]


@pytest.mark.parametrize(("ttl", "found"), [(DAY, [1.0, None]), (timedelta(0), [1.0, 1.0]), (None, [1.0, 1.0])])
def test_a_feature_exactly_its_ttl_old_is_used_and_no_ttl_is_no_limit(repo: Any, ttl: Any, found: list[Any]) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.0)), ttl=ttl)
    assert repo.xs(repo.ask(view, ["v:x"], repo.labels(("a", NOON + DAY), ("a", NOON + DAY + US)))) == found


def test_a_label_without_a_feature_stays_with_nulls(repo: Any) -> None:
    """Absent entity, only future features, only stale ones, no time at all; stock Feast drops such rows."""
    view = repo.view("v", repo.history(("future", NOON + DAY, 1.0), ("stale", NOON - 9 * DAY, 2.0)), ttl=DAY)
    asked = repo.labels(("absent", NOON), ("future", NOON), ("stale", NOON), ("future", None), (None, NOON))
    answer = repo.ask(view, ["v:x"], asked).to_arrow()
    assert answer["k"].to_pylist() == ["absent", "future", "stale", "future", None]
    assert answer["x"].to_pylist() == [None] * 5


def test_duplicate_labels_all_stay_in_order_with_their_own_columns(repo: Any) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.0), ("b", NOON, 2.0)))
    asked = repo.labels(("b", NOON), ("a", NOON), ("b", NOON), ("b", NOON), y=[3, 1, 2, 3], z=["p", "q", "r", "p"])
    answer = repo.ask(view, ["v:x"], asked).to_arrow()
    assert answer.column_names == ["k", "event_timestamp", "y", "z", "x"]
    assert answer["y"].to_pylist() == [3, 1, 2, 3]
    assert answer["z"].to_pylist() == ["p", "q", "r", "p"]
    assert answer["x"].to_pylist() == [2.0, 1.0, 2.0, 2.0]


def test_of_two_features_with_one_event_time_the_later_created_wins(repo: Any) -> None:
    rows = repo.history(("a", NOON, 1.0), ("a", NOON, 2.0), ("a", NOON, 3.0), created=[NOON + HOUR, NOON + DAY, NOON])
    assert repo.xs(repo.ask(repo.view("v", rows), ["v:x"], repo.labels(("a", NOON + 2 * DAY)))) == [2.0]


def test_by_created_time_a_row_counts_only_once_it_was_known(repo: Any) -> None:
    """The newest event of those known: a correction counts from its creation, an older row never comes back."""
    rows = repo.history(
        ("a", NOON, 1.0),
        ("a", NOON, 2.0),
        ("a", NOON + HOUR, 3.0),
        ("a", NOON - HOUR, 9.0),
        created=[NOON, NOON + 3 * HOUR, NOON + 2 * HOUR, NOON + 4 * HOUR],
    )
    view = repo.view("v", rows)
    asked = repo.labels(*(("a", NOON + h * HOUR) for h in (0, 1, 2, 3, 5)))
    assert repo.xs(repo.ask(view, ["v:x"], asked, filter_by_created_timestamp=True)) == [1.0, 1.0, 3.0, 3.0, 3.0]
    assert repo.xs(repo.ask(view, ["v:x"], asked)) == [2.0, 3.0, 3.0, 3.0, 3.0]


def test_a_view_without_a_created_column_ignores_the_created_filter(repo: Any) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.0)).drop("created"), created=False)
    assert repo.xs(repo.ask(view, ["v:x"], repo.labels(("a", NOON)), filter_by_created_timestamp=True)) == [1.0]


def test_views_of_different_keys_and_ttls_are_joined_each_by_its_own(repo: Any) -> None:
    people = repo.view("people", repo.history(("a", NOON, 1.0)), ttl=HOUR)
    shops = repo.view(
        "shops",
        pl.DataFrame({"shop": [7, 7], "k": ["a", "b"], "t": [NOON, NOON], "y": [10, 20]}).with_columns(
            pl.col("t").cast(TIME), pl.col("t").cast(TIME).alias("created")
        ),
        keys=("shop", "k"),
        ttl=DAY,
    )
    asked = repo.labels(("a", NOON + 2 * HOUR), ("b", NOON), ("a", NOON), shop=[7, 7, 8])
    answer = repo.ask([people, shops], ["people:x", "shops:y"], asked).to_arrow()
    assert answer["x"].to_pylist() == [None, None, 1.0]
    assert answer["y"].to_pylist() == [10, 20, None]


def test_one_view_twice_under_two_aliases_and_join_keys(repo: Any) -> None:
    towns = repo.view("towns", repo.history(("a", NOON, 1.0), ("b", NOON, 2.0)))
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
    view = repo.view("v", repo.history(("a", NOON, 1.0)))
    asked = repo.labels(("a", NOON), x=[5])
    with pytest.raises(StoreError, match=r"'x'.*full_feature_names"):
        repo.ask(view, ["v:x"], asked).to_arrow()
    answer = repo.ask(view, ["v:x"], asked, full_feature_names=True).to_arrow()
    assert (answer["x"].to_pylist(), answer["v__x"].to_pylist()) == ([5], [1.0])


def test_the_newest_value_stays_null_and_never_falls_back_to_an_older_one(repo: Any) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.0), ("a", NOON + HOUR, None)))
    assert repo.xs(repo.ask(view, ["v:x"], repo.labels(("a", NOON + HOUR)))) == [None]


def test_an_empty_label_frame_has_an_empty_answer_with_the_right_columns_and_types(repo: Any) -> None:
    rows = repo.history(("a", NOON, 1)).with_columns(
        pl.lit(1, pl.Int32).alias("i"), pl.lit(["q"]).alias("l"), pl.lit(1.0, pl.Float32).alias("f")
    )
    view = repo.view("v", rows.with_columns(pl.lit(None).alias("n")), dtypes={"n": Float32})
    answer = repo.ask(view, ["v:i", "v:l", "v:f", "v:n"], repo.labels()).to_arrow()
    assert answer.num_rows == 0
    assert answer.schema.field("event_timestamp").type == pa.timestamp("us", "UTC")
    types = {name: answer.schema.field(name).type for name in ("i", "l", "f", "n")}
    assert types == {"i": pa.int32(), "l": pa.list_(pa.string()), "f": pa.float32(), "n": pa.float32()}
    bare = pd.DataFrame({"k": [], "event_timestamp": []})
    assert list(repo.ask(view, ["v:i"], bare).to_df()) == ["k", "event_timestamp", "i"]


def test_a_feature_file_without_rows_answers_nulls_of_its_types(repo: Any) -> None:
    view = repo.view("v", repo.history(x=pl.Int32))
    answer = repo.ask(view, ["v:x"], repo.labels(("a", NOON))).to_arrow()
    assert (answer["x"].to_pylist(), answer["x"].type) == ([None], pa.int32())


def test_nan_stays_nan_and_null_stays_null(repo: Any) -> None:
    view = repo.view("v", repo.history(("a", NOON, float("nan")), ("b", NOON, None)))
    nan, null = repo.xs(repo.ask(view, ["v:x"], repo.labels(("a", NOON), ("b", NOON))))
    assert np.isnan(nan)
    assert null is None


def test_two_string_keys_are_compared_one_by_one(repo: Any) -> None:
    rows = pl.DataFrame({"k": ["1"], "l": ["11"], "t": [NOON], "created": [NOON], "x": [1.0]})
    view = repo.view("v", rows, keys=("k", "l"))
    asked = repo.labels(("1", NOON), ("11", NOON), l=["11", "1"])
    assert repo.xs(repo.ask(view, ["v:x"], asked)) == [1.0, None]


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
    frame = repo.history(*((k, NOON + t * minute, x) for k, t, x, _ in rows), created=made, x=pl.Int64)
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
    asking = repo.labels(*((k, NOON + t * minute) for k, t in asked))
    assert repo.xs(repo.ask(view, ["v:x"], asking, filter_by_created_timestamp=by_created)) == expected


EVENTS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), MINUTES, st.integers(0, 3)), max_size=25)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    histories=st.tuples(EVENTS, EVENTS),
    asked=st.lists(st.tuples(*[st.sampled_from("abcz")] * 2, st.sampled_from("xyz"), MINUTES), max_size=20),
    ttls=st.tuples(*[st.one_of(st.none(), st.integers(1, 20))] * 2),
    by_created=st.booleans(),
    alike=st.booleans(),
)
def test_random_histories_of_several_views_under_two_aliases_agree_with_a_loop_over_every_row(
    repo: Any, histories: Any, asked: list[Any], ttls: Any, by_created: bool, alike: bool
) -> None:
    """One view by two keys, and one by a single key that is asked about under two aliases; at times the same rows."""
    minute = timedelta(minutes=1)
    histories = (histories[0], histories[0]) if alike else histories
    views = []
    for name, keys, rows, ttl in zip("vw", (("k", "l"), ("k",)), histories, ttls, strict=True):
        frame = pl.DataFrame(
            [(k, m, NOON + t * minute, NOON + (t + late) * minute, i) for i, (k, m, t, late) in enumerate(rows)],
            schema={"k": pl.String, "l": pl.String, "t": TIME, "created": TIME, "x": pl.Int32},
            orient="row",
        )
        views.append(repo.view(name, frame.select(*keys, "t", "created", "x"), keys=keys, ttl=ttl and ttl * minute))
    again = [views[1].with_name(as_).with_join_key_map({"k": column}) for as_, column in (("w1", "k"), ("w2", "k2"))]
    columns = ("k", "k2", "l", "event_timestamp")
    labels = pl.DataFrame(
        [(k, k2, m, NOON + t * minute) for k, k2, m, t in asked],
        schema=dict(zip(columns, (pl.String, pl.String, pl.String, TIME), strict=True)),
        orient="row",
    )
    references = ["v:x", "w1:x", "w2:x"]
    options = {"full_feature_names": True, "filter_by_created_timestamp": by_created}
    answer = repo.ask([views[0], *again], references, labels, **options).to_arrow()

    def newest(rows: list[Any], of: tuple[str, ...], at: int, ttl: int | None) -> int | None:
        seen = [
            (t, t + late, i)
            for i, (*key, t, late) in enumerate(rows)
            if tuple(key[: len(of)]) == of and t <= at and (not by_created or t + late <= at)
        ]
        best = max(seen, default=None)
        return None if best is None or (ttl is not None and at - best[0] > ttl) else best[2]

    assert answer["v__x"].to_pylist() == [newest(histories[0], (k, m), t, ttls[0]) for k, _, m, t in asked]
    assert answer["w1__x"].to_pylist() == [newest(histories[1], (k,), t, ttls[1]) for k, _, _, t in asked]
    assert answer["w2__x"].to_pylist() == [newest(histories[1], (k,), t, ttls[1]) for _, k, _, t in asked]


def test_values_of_every_type_come_out_as_they_went_in(repo: Any) -> None:
    rows = repo.history(("a", NOON, 0.5), ("b", NOON, None)).with_columns(
        pl.Series("s", ["é", None]),
        pl.Series("i", [2**53 + 1, None]),
        pl.Series("b", [True, None]),
        pl.Series("d", [NOON, None], dtype=TIME),
        pl.Series("l", [["p", None, ""], []]),
        pl.Series("n", [b"\x00", None]),
        pl.Series("f", [float("nan"), None], dtype=pl.Float32),
        pl.Series("c", ["red", None], dtype=pl.Categorical),
    )
    names = ["x", "s", "i", "b", "d", "l", "n", "f"]
    view = repo.view("v", rows, dtypes={"c": String})
    asked = repo.labels(("b", NOON), ("a", NOON), ("z", NOON), ("a", NOON))
    answer = repo.ask(view, [f"v:{name}" for name in names], asked).to_arrow()
    one = dict(zip(names, (0.5, "é", 2**53 + 1, True, NOON, ["p", None, ""], b"\x00"), strict=False))
    found = answer.select(names).to_pylist()
    assert np.isnan(found[1].pop("f"))
    assert np.isnan(found[3].pop("f"))
    assert found[1] == found[3] == one
    assert found[0] == dict.fromkeys(names) | {"l": []}
    assert found[2] == dict.fromkeys(names)
    colour = historical.by_search(
        repo.config, read(asked), historical.parts([view], ["v:c"], full=False), Manifest(), by_created=False
    )
    assert (colour["c"].type, colour["c"].to_pylist()) == (pa.string(), [None, "red", None, "red"])


@pytest.mark.parametrize("beyond", [timedelta.max, timedelta(days=200_000 * 365)])
def test_a_time_to_live_beyond_all_times_is_no_limit(repo: Any, beyond: timedelta) -> None:
    view = repo.view("v", repo.history(("a", NOON - 9000 * DAY, 1.0)), ttl=beyond)
    assert repo.xs(repo.ask(view, ["v:x"], repo.labels(("a", NOON), ("b", NOON)))) == [1.0, None]


def test_without_labels_every_entity_of_the_range_is_asked_about_at_its_end(repo: Any) -> None:
    view = repo.view(
        "v", repo.history(("a", NOON, 1.0), ("a", NOON + HOUR, 2.0), ("b", NOON - DAY, 3.0), ("c", NOON, None))
    )
    answer = repo.ask(view, ["v:x"], None, start_date=NOON, end_date=NOON + DAY).to_arrow()
    assert answer["k"].to_pylist() == ["a", "c"]
    assert answer["x"].to_pylist() == [2.0, None]
    assert set(answer["event_timestamp"].to_pylist()) == {NOON + DAY}


def test_a_view_without_entities_joins_by_time_alone(repo: Any) -> None:
    view = repo.view("v", repo.history(("", NOON, 1.0)).drop("k"), keys=())
    repo.apply(view)
    asked = pd.DataFrame({"event_timestamp": [NOON - US, NOON]})
    answer = repo.store.get_historical_features(asked, ["v:x"]).to_arrow()
    assert answer["x"].to_pylist() == [None, 1.0]


def test_where_there_is_a_gpu_its_room_computes_the_whole_answer(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU's path from the question to the answer; the CPU's room stands in for the GPU's, which is not here."""
    view = repo.view("v", repo.history(("a", NOON, 1.0), ("b", NOON, 2.0), ("b", NOON + DAY, 3.0)))
    asked = repo.labels(("b", NOON), ("a", NOON), ("absent", NOON), ("b", NOON + DAY))
    rooms = []

    def opened(compute: Compute) -> Room:
        rooms.append(compute.kind)
        return room(Compute("cpu", "a test"))

    def searched(*_: Any, **__: Any) -> None:
        pytest.fail("the CPU's plan ran")

    wanted = historical.parts([view], ["v:x"], full=False)
    with monkeypatch.context() as patch:
        patch.setattr(historical, "choose", lambda _: Compute("gpu", "a test"))
        patch.setattr(historical, "room", opened)
        patch.setattr(historical, "by_search", searched)
        answer = historical.features(repo.config, read(asked), wanted, by_created=False)
    assert rooms == ["gpu"]
    assert answer["x"].to_pylist() == [2.0, 1.0, None, 3.0]
    assert answer.equals(historical.features(repo.config, read(asked), wanted, by_created=False))
