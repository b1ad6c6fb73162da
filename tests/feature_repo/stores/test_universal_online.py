"""What Feast asks of every online store, written out anew for this one: push, write, read, on demand, tear down."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pandas as pd
import polars as pl
import pytest
from feast import Entity, FeatureService, FeatureView, Field, PushSource, RequestSource, ValueType
from feast.data_source import PushMode
from feast.errors import FeatureNameCollisionError, FeatureViewNotFoundException
from feast.on_demand_feature_view import on_demand_feature_view
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    Set,
    String,
    Struct,
    UnixTimestamp,
    Uuid,
)
from feast.types import Decimal as DecimalType

from motherlode.errors import StoreError
from motherlode.online import live as generations
from motherlode.online.keys import complete_key, row_key
from motherlode.online.writer import Target
from motherlode.redis_server import literal, scan

DAY = timedelta(days=1)
WHEN = datetime.now(UTC).replace(microsecond=0)


def rows(keys: list[Any], xs: list[Any], at: datetime = WHEN, **more: Any) -> pd.DataFrame:
    n = len(keys)
    return pd.DataFrame({"k": keys, "t": [at] * n, "created": [at] * n, "x": xs, **more})


@pytest.fixture
def drivers(repo: Any) -> Any:
    """A repo with the view `trips` of `x` and `y` by string `k`, and three drivers in it."""
    frame = pl.DataFrame(rows(["a", "b", "c"], [1.0, 2.0, None], y=[10, 20, 30]))
    repo.apply(repo.view("trips", frame.cast({"t": pl.Datetime("us", "UTC"), "created": pl.Datetime("us", "UTC")})))
    repo.store.write_to_online_store("trips", rows(["a", "b", "c"], [1.0, 2.0, None], y=[10, 20, 30]))
    return repo


def ask(repo: Any, features: Any, entities: Any, **options: Any) -> dict[str, Any]:
    """The answer as a dictionary, checked against the one that Feast makes of its proto, and the async way's."""
    answer = repo.store.get_online_features(features, entities, **options)
    assert isinstance(answer, OnlineResponse)
    found: dict[str, Any] = answer.to_dict(include_event_timestamps=True)
    assert OnlineResponse(answer.proto, answer._feature_types).to_dict(include_event_timestamps=True) == found
    assert answer.to_dict(include_event_timestamps=True) == found, "asking for the proto changes nothing"

    async def later() -> Any:
        other = await repo.store.get_online_features_async(features, entities, **options)
        await repo.store.close()
        return other

    other = asyncio.run(later())
    assert other.proto == answer.proto
    return {name: values for name, values in found.items() if not name.endswith("__ts")}


# --------------------------------------------------------------------------- reading


def test_known_and_unknown_entities_come_in_the_order_they_were_asked_for(drivers: Any) -> None:
    asked = [{"k": key} for key in ("c", "nobody", "a", "b", "a")]
    found = ask(drivers, ["trips:x", "trips:y"], asked)
    assert found == {
        "k": ["c", "nobody", "a", "b", "a"],
        "x": [None, None, 1.0, 2.0, 1.0],
        "y": [30, None, 10, 20, 10],
    }


def test_entities_may_come_by_column_and_as_protos(drivers: Any) -> None:
    assert ask(drivers, ["trips:x"], {"k": ["a", "b"]})["x"] == [1.0, 2.0]
    protos = [Value(string_val="a"), Value(string_val="b")]
    assert drivers.store.get_online_features(["trips:x"], {"k": protos}).to_dict()["x"] == [1.0, 2.0]
    repeated = {"k": RepeatedValue(val=protos)}
    assert drivers.store.get_online_features(["trips:x"], repeated).to_dict()["x"] == [1.0, 2.0]


def test_event_times_come_along_where_asked(drivers: Any) -> None:
    answer = drivers.store.get_online_features(["trips:x"], [{"k": "a"}, {"k": "nobody"}])
    second = int(WHEN.timestamp())
    found = answer.to_dict(include_event_timestamps=True)
    assert found["x__ts"] == [second, 0]
    assert list(answer.to_df(include_event_timestamps=True)["x__ts"]) == [second, 0]
    assert [time.seconds for time in answer.proto.results[1].event_timestamps] == [second, 0]
    assert answer.to_arrow().column("x").to_pylist() == [1.0, None]


def test_full_names_and_feature_services_and_aliases(drivers: Any) -> None:
    view = drivers.store.get_feature_view("trips")
    service = FeatureService(name="s", features=[view[["y"]].with_name("first"), view[["x"]].with_name("again")])
    drivers.store.apply([service])
    asked = [{"k": "b"}]
    assert ask(drivers, ["trips:x"], asked, full_feature_names=True) == {"k": ["b"], "trips__x": [2.0]}
    assert ask(drivers, service, asked) == {"k": ["b"], "y": [20], "x": [2.0]}
    named = {"k": ["b"], "first__y": [20], "again__x": [2.0]}
    assert ask(drivers, drivers.store.get_feature_service("s"), asked, full_feature_names=True) == named


def test_names_that_collide_or_do_not_exist_are_feasts_own_errors(drivers: Any) -> None:
    view = drivers.store.get_feature_view("trips")
    other = FeatureView(
        name="other", entities=[drivers.store.get_entity("k_entity")], schema=view.schema, source=view.batch_source
    )
    drivers.store.apply([other])
    with pytest.raises(FeatureNameCollisionError):
        drivers.store.get_online_features(["trips:x", "other:x"], [{"k": "a"}])
    with pytest.raises(FeatureViewNotFoundException):
        drivers.store.get_online_features(["nothing:x"], [{"k": "a"}])
    with pytest.raises(KeyError):
        drivers.store.get_online_features(["trips:nothing"], [{"k": "a"}])


def test_rows_without_a_key_are_refused_by_name_and_place(drivers: Any) -> None:
    with pytest.raises(StoreError, match="'k' is None in entity row 1"):
        drivers.store.get_online_features(["trips:x"], [{"k": "a"}, {"k": None}])
    with pytest.raises(StoreError, match="'k' is None in entity row 0"):
        drivers.store.get_online_features(["trips:x"], {"k": [Value()]})
    with pytest.raises(StoreError, match="without its join key 'k'"):
        drivers.store.get_online_features(["trips:x"], [{"anything": "a"}])
    with pytest.raises(ValueError, match="same"):
        drivers.store.get_online_features(["trips:x"], [{"k": "a"}, {"k": "b", "l": 1}])


def test_a_join_key_may_be_called_otherwise(drivers: Any) -> None:
    view = drivers.store.get_feature_view("trips")
    service = FeatureService(
        name="route",
        features=[
            view[["x"]].with_name("origin").with_join_key_map({"k": "from"}),
            view[["x"]].with_name("target").with_join_key_map({"k": "to"}),
        ],
    )
    drivers.store.apply([service])
    found = ask(drivers, service, [{"from": "a", "to": "b"}, {"from": "b", "to": "nobody"}], full_feature_names=True)
    assert (found["origin__x"], found["target__x"]) == ([1.0, 2.0], [2.0, None])


def test_integer_keys_and_views_of_other_keys_stand_in_one_answer(repo: Any) -> None:
    frame = pl.DataFrame({"k": [1, 2], "t": [WHEN] * 2, "created": [WHEN] * 2, "x": [0.5, 1.5]})
    both = pl.DataFrame({"k": [1], "l": ["m"], "t": [WHEN], "created": [WHEN], "z": [True]})
    repo.apply(repo.view("one", frame), repo.view("two", both, keys=("k", "l")))
    repo.store.write_to_online_store("one", frame.to_pandas())
    repo.store.write_to_online_store("two", both.to_pandas())
    found = ask(repo, ["one:x", "two:z"], [{"k": 1, "l": "m"}, {"k": 2, "l": "m"}])
    assert (found["x"], found["z"]) == ([0.5, 1.5], [True, None])
    with pytest.raises(StoreError, match="'two' is asked for without its join key 'l'"):
        repo.store.get_online_features(["two:z"], [{"k": 1}])


def test_versioned_references_and_vector_search_are_refused(drivers: Any) -> None:
    with pytest.raises(ValueError, match="versioning"):
        drivers.store.get_online_features(["trips@v1:x"], [{"k": "a"}])
    with pytest.raises(NotImplementedError):
        drivers.store.provider.online_store.retrieve_online_documents(drivers.config, None, ["x"], [0.1], 3)


# --------------------------------------------------------------------------- value types


def test_every_kind_of_value_goes_in_and_comes_out(repo: Any) -> None:
    known = uuid.UUID(int=7)
    sent: dict[str, tuple[Any, Any]] = {
        "b": (Bool, True),
        "by": (Bytes, b"a\x00"),
        "i": (Int32, -5),
        "n": (Int64, 2**52 + 1),
        "f": (Float32, 0.5),
        "d": (Float64, 0.1),
        "s": (String, "é"),
        "t1": (UnixTimestamp, WHEN),
        "ls": (Array(String), ["a", "", "b"]),
        "li": (Array(Int64), [1, -2]),
        "lf": (Array(Float32), [0.5, 1.5]),
        "lb": (Array(Bool), [True, False]),
        "lt": (Array(UnixTimestamp), [WHEN]),
        "lby": (Array(Bytes), [b"a", b""]),
        "ss": (Set(String), {"a", "b"}),
        "si": (Set(Int64), {1, 2}),
        "j": (Json, {"a": [1, None]}),
        "u": (Uuid, known),
        "de": (DecimalType, Decimal("1.10")),
        "m": (Map, {"a": "b"}),
        "st": (Struct({"a": String}), {"a": "c"}),
        "nest": (Array(Array(String)), [["a"], ["b", "c"]]),
    }
    repo.apply(repo.view("v", None, dtypes={"k": String} | {name: dtype for name, (dtype, _) in sent.items()}))
    present = {name: [value] for name, (_, value) in sent.items()} | {
        # as Arrow takes them
        "u": [str(known)],
        "de": ["1.10"],
        "j": ['{"a": [1, null]}'],
    }
    # One frame for both: Feast drops a frame that is null throughout.
    nulls = {name: [*values, None] for name, values in present.items()}
    repo.store.write_to_online_store(
        "v", pd.DataFrame({"k": ["full", "null"], "t": [WHEN] * 2, "created": [WHEN] * 2, **nulls}, dtype=object)
    )
    found = ask(repo, [f"v:{name}" for name in sent], [{"k": "full"}, {"k": "null"}, {"k": "nobody"}])
    assert {name: found[name][0] for name in sent} == {name: value for name, (_, value) in sent.items()}
    assert {name: found[name][1:] for name in sent} == {name: [None, None] for name in sent}
    statuses = repo.store.get_online_features(["v:m"], [{"k": "null"}, {"k": "nobody"}]).proto.results[1].statuses
    assert list(statuses) == [FieldStatus.NULL_VALUE, FieldStatus.NOT_FOUND]


# --------------------------------------------------------------------------- writing


def test_a_write_may_come_as_columns_and_may_be_async(drivers: Any) -> None:
    later = WHEN + timedelta(minutes=1)
    columns = {"k": ["a"], "t": [later], "created": [later], "x": [5.0], "y": [50]}
    drivers.store.write_to_online_store("trips", inputs=columns)
    assert ask(drivers, ["trips:x"], [{"k": "a"}])["x"] == [5.0]
    frame = rows(["b"], [6.0], later, y=[60])
    asyncio.run(drivers.store.write_to_online_store_async("trips", frame))
    assert ask(drivers, ["trips:x"], [{"k": "b"}])["x"] == [6.0]


@pytest.mark.parametrize("to", list(PushMode))
def test_a_push_goes_where_it_is_sent(repo: Any, to: PushMode) -> None:
    frame = pl.DataFrame(rows(["a"], [1.0])).cast({name: pl.Datetime("us", "UTC") for name in ("t", "created")})
    batch = repo.view("v", frame)
    repo.build("v", frame)
    entity = Entity(name="k_entity", join_keys=["k"], value_type=ValueType.STRING)
    source = PushSource(name="pushes", batch_source=batch.batch_source)
    pushed = FeatureView(name="v", entities=[entity], schema=[Field(name="x", dtype=Float64)], source=source)
    repo.store.apply([entity, pushed])
    later = WHEN + timedelta(minutes=1)
    repo.store.push("pushes", rows(["a"], [7.0], later), to=to)
    online = ask(repo, ["v:x"], [{"k": "a"}])["x"]
    assert online == ([None] if to == PushMode.OFFLINE else [7.0])
    labels = pd.DataFrame({"k": ["a"], "event_timestamp": [later + timedelta(minutes=1)]})
    offline = repo.store.get_historical_features(labels, ["v:x"]).to_df()["x"].tolist()
    assert offline == ([1.0] if to == PushMode.ONLINE else [7.0])


# --------------------------------------------------------------------------- on demand


def test_an_on_demand_view_sees_stored_features_and_the_request(drivers: Any) -> None:
    view = drivers.store.get_feature_view("trips")
    request = RequestSource(name="request", schema=[Field(name="factor", dtype=Float64)])

    @on_demand_feature_view(sources=[view, request], schema=[Field(name="scaled", dtype=Float64)])  # type: ignore[untyped-decorator]
    def scaling(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"scaled": inputs["x"] * inputs["factor"]})

    @on_demand_feature_view(  # type: ignore[untyped-decorator]
        sources=[view, request], schema=[Field(name="added", dtype=Float64)], mode="python"
    )
    def adding(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"added": [x + factor for x, factor in zip(inputs["x"], inputs["factor"], strict=True)]}

    drivers.store.apply([scaling, adding])
    asked = [{"k": "a", "factor": 3.0}, {"k": "b", "factor": 4.0}]
    found = ask(drivers, ["scaling:scaled", "adding:added", "trips:y"], asked)
    assert (found["scaled"], found["added"], found["y"]) == ([3.0, 8.0], [4.0, 6.0], [10, 20])
    assert "factor" not in found


def test_an_on_demand_view_may_be_computed_when_it_is_written(drivers: Any) -> None:
    view = drivers.store.get_feature_view("trips")

    @on_demand_feature_view(  # type: ignore[untyped-decorator]
        sources=[view],
        entities=[drivers.store.get_entity("k_entity")],
        schema=[Field(name="twice", dtype=Float64)],
        mode="python",
        write_to_online_store=True,
    )
    def doubled(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"twice": [x * 2 for x in inputs["x"]]}

    drivers.store.apply([doubled])
    drivers.store.write_to_online_store("doubled", rows(["a", "b"], [1.5, 2.5], event_timestamp=[WHEN] * 2))
    assert ask(drivers, ["doubled:twice"], [{"k": "a"}, {"k": "b"}, {"k": "nobody"}])["twice"] == [3.0, 5.0, None]


# --------------------------------------------------------------------------- infrastructure


def keys_of(repo: Any, pattern: str) -> set[bytes]:
    client = repo.store.provider.online_store.client(repo.config)
    return {key for keys in scan(client, f"{literal(repo.project)}/{pattern}") for key in keys}


def test_a_plan_shows_what_would_change_and_changes_nothing(drivers: Any) -> None:
    view = drivers.store.get_feature_view("trips")
    wider = FeatureView(
        name="trips",
        entities=[drivers.store.get_entity("k_entity")],
        source=view.batch_source,
        schema=[*view.schema, Field(name="z", dtype=Float64)],
    )
    before = keys_of(drivers, "*")
    drivers.store.apply([wider])
    assert keys_of(drivers, "*") == before, "rows stay when a view gains a column"
    assert ask(drivers, ["trips:x"], [{"k": "a"}])["x"] == [1.0]
    found = drivers.store.get_online_features(["trips:z"], [{"k": "a"}])
    assert list(found.proto.results[1].statuses) == [FieldStatus.NOT_FOUND]


def test_tearing_a_view_down_takes_every_generation_and_no_neighbour(
    drivers: Any, make_repo: Any, tmp_path: Any
) -> None:
    online = drivers.store.provider.online_store
    client = online.client(drivers.config)
    neighbour = make_repo(tmp_path / "neighbour", project=f"pre{drivers.project}")
    frame = pl.DataFrame(rows(["a"], [9.0])).cast({name: pl.Datetime("us", "UTC") for name in ("t", "created")})
    neighbour.apply(neighbour.view("trips", frame))
    neighbour.store.write_to_online_store("trips", rows(["a"], [9.0]))
    raw = client.get(row_key(drivers.project, "trips", "a"))
    writer = online.writer(drivers.config)
    writer.write(Target("trips", generations=(1,)), ["a"], [raw])

    generations.switch(
        client, drivers.project, lambda now: msgspec.structs.replace(now, views={"trips": 1, "other": 2})
    )
    drivers.store.teardown()
    assert keys_of(drivers, "trips/*") | keys_of(drivers, "@schema/*") | keys_of(drivers, "@view/*") == set()
    assert generations.read(client, drivers.project).views == {"other": 2}
    assert ask(neighbour, ["trips:x"], [{"k": "a"}])["x"] == [9.0]


def test_rows_of_the_layout_before_generations_go_at_the_first_write(drivers: Any) -> None:
    online = drivers.store.provider.online_store
    client = online.client(drivers.config)
    old = [f"{drivers.project}/trips/{{{i}}}" for i in range(50)]
    other = f"{drivers.project}/trips2/{{1}}"
    client.mset(dict.fromkeys([*old, other], b"row"))
    client.set(f"{drivers.project}/@complete/trips", "fingerprint")
    client.set(complete_key(drivers.project, "trips", 3), "fingerprint")
    online._swept.clear()  # as in a process that starts after the upgrade
    drivers.store.write_to_online_store("trips", rows(["d"], [4.0], y=[40]))
    assert client.exists(*old, f"{drivers.project}/@complete/trips") == 0
    assert client.exists(other, complete_key(drivers.project, "trips", 3)) == 2
    assert ask(drivers, ["trips:x"], [{"k": "a"}, {"k": "d"}])["x"] == [1.0, 4.0]
