"""The online store through Feast's interface, on a real Valkey: CASES.md, online store, and the value types."""

import asyncio
import random
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import polars as pl
import pytest
import redis
from feast import Entity, FeatureView, Field, FileSource, PushSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Float64, Int64, PdfBytes, String

from feature_repo.stores.rows import Packer
from motherlode.errors import StoreError
from motherlode.online.keys import row_key
from motherlode.online.reader import OnlineReader, ViewRequest
from motherlode.online.writer import OnlineWriter
from motherlode.packed import Column, Status
from motherlode.redis_server import connect

DAY = timedelta(days=1)
PRESENT, NULL, UNKNOWN, STALE, INVALID = (
    FieldStatus.PRESENT,
    FieldStatus.NULL_VALUE,
    FieldStatus.NOT_FOUND,
    FieldStatus.OUTSIDE_MAX_AGE,
    FieldStatus.INVALID,
)


def now() -> datetime:
    return datetime.now(UTC)


def pushed(key: Any, at: datetime, x: Any, created: datetime | None = None) -> pd.DataFrame:
    return pd.DataFrame({"k": [key], "t": [at], "created": [created or at], "x": [x]})


def read(repo: Any, keys: list[Any], *features: str, full: bool = False) -> tuple[list[Any], list[int]]:
    """The first feature's values and statuses."""
    answer = repo.store.get_online_features(list(features) or ["v:x"], [{"k": key} for key in keys], full)
    return of(answer, (features or ("v:x",))[0].split(":")[1])


def of(answer: Any, name: str) -> tuple[list[Any], list[int]]:
    position = list(answer.proto.metadata.feature_names.val).index(name)
    return answer.to_dict()[name], list(answer.proto.results[position].statuses)


@pytest.fixture
def client(server: Any) -> Any:
    with connect(server) as connection:
        yield connection


@pytest.fixture
def view(repo: Any) -> Any:
    """A registered view `v` of Float64 `x` by string `k`, a day's TTL, without rows."""
    rows = pl.DataFrame(schema={"k": pl.String, "t": pl.Datetime("us", "UTC"), "x": pl.Float64})
    built = repo.view("v", rows.with_columns(pl.col("t").alias("created")), ttl=DAY)
    repo.apply(built)
    return built


def test_null_stale_unknown_erased_and_damaged_are_told_apart(repo: Any, view: Any, client: Any) -> None:
    """Stock Feast 0.67 serves a 30-day-old value with a one-day TTL as PRESENT."""
    repo.store.write_to_online_store("v", pushed("here", now(), 1.0))
    two = pd.DataFrame({"k": ["null", "too"], "t": [now()] * 2, "created": [now()] * 2, "x": [None, 2.0]})
    repo.store.write_to_online_store("v", two)
    repo.store.write_to_online_store("v", pushed("old", now() - 2 * DAY, 3.0))
    OnlineWriter(client, repo.project, str).erase("gone", 1)
    client.set(row_key(repo.project, "v", "bad"), b"no row")
    values, statuses = read(repo, ["here", "null", "old", "nobody", "gone", "bad"])
    assert statuses == [PRESENT, NULL, STALE, UNKNOWN, UNKNOWN, INVALID]
    assert values == [1.0, None, None, None, None, None]


def test_a_stale_answer_says_how_old_it_is(repo: Any, view: Any) -> None:
    at = (now() - 2 * DAY).replace(microsecond=0)
    repo.store.write_to_online_store("v", pushed("old", at, 3.0))
    answer = repo.store.get_online_features(["v:x"], [{"k": "old"}, {"k": "nobody"}])
    assert answer.to_dict(include_event_timestamps=True)["x__ts"] == [int(at.timestamp()), 0]


def test_an_older_row_never_wins_whoever_writes_it_and_when(repo: Any, view: Any) -> None:
    at = now()
    for x, moment in ((1.0, at - timedelta(hours=2)), (2.0, at), (3.0, at - timedelta(hours=1))):
        repo.store.write_to_online_store("v", pushed("a", moment, x))
    assert read(repo, ["a"])[0] == [2.0]
    repo.store.write_to_online_store("v", pushed("a", at, 4.0, created=at + timedelta(seconds=1)))
    repo.store.write_to_online_store("v", pushed("a", at, 5.0))
    assert read(repo, ["a"])[0] == [4.0]


def test_writers_racing_with_shuffled_times_end_with_the_newest_row(repo: Any, view: Any) -> None:
    base = now() - timedelta(hours=1)
    rows = [pushed(key, base + timedelta(seconds=i), float(i)) for key in "abc" for i in range(12)]
    random.Random(7).shuffle(rows)
    shares = [rows[i::3] for i in range(3)]

    def write(share: list[pd.DataFrame]) -> None:
        for frame in share:
            repo.store.write_to_online_store("v", frame)

    threads = [threading.Thread(target=write, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(repo, list("abc"))[0] == [11.0] * 3


def test_a_push_source_reaches_the_store_sync_and_async(repo: Any) -> None:
    rows = pl.DataFrame({"k": ["a"], "t": [now()], "created": [now()], "x": [1.0]})
    batch = repo.view("v", rows).batch_source
    customer = Entity(name="customer", join_keys=["k"], value_type=ValueType.STRING)
    live = FeatureView(
        name="live",
        entities=[customer],
        ttl=DAY,
        schema=[Field(name="x", dtype=Float64)],
        source=PushSource(name="pushes", batch_source=batch),
    )
    repo.store.apply([customer, live])
    repo.store.push("pushes", pushed("a", now(), 7.0))
    assert read(repo, ["a"], "live:x") == ([7.0], [PRESENT])

    async def both() -> Any:
        await repo.store.push_async("pushes", pushed("b", now(), 8.0))
        answer = await repo.store.get_online_features_async(["live:x"], [{"k": "a"}, {"k": "b"}, {"k": "c"}])
        await repo.store.close()
        return answer

    answer = asyncio.run(both())
    assert of(answer, "x") == ([7.0, 8.0, None], [PRESENT, PRESENT, UNKNOWN])
    assert asyncio.run(both()).to_dict()["x"] == [7.0, 8.0, None]  # in a second event loop too


def test_a_row_too_old_to_keep_is_not_written_and_others_expire_after_their_grace(
    repo: Any, view: Any, client: Any
) -> None:
    kept = now() - 30 * DAY
    repo.store.write_to_online_store("v", pushed("kept", kept, 1.0))
    repo.store.write_to_online_store("v", pushed("late", now() - 32 * DAY, 1.0))
    assert client.get(row_key(repo.project, "v", "late")) is None
    expiry = datetime.fromtimestamp(client.pexpiretime(row_key(repo.project, "v", "kept")) / 1000, UTC)
    assert abs(expiry - (kept + 31 * DAY)) < timedelta(seconds=1)


def test_a_view_without_a_ttl_keeps_its_rows_for_good(repo: Any, client: Any) -> None:
    repo.apply(repo.view("v", pl.DataFrame({"k": ["a"], "t": [now()], "created": [now()], "x": [1.0]})))
    repo.store.write_to_online_store("v", pushed("old", now() - 9000 * DAY, 1.0))
    assert read(repo, ["old"]) == ([1.0], [PRESENT])
    assert client.pexpiretime(row_key(repo.project, "v", "old")) == -1


def test_tearing_one_project_down_leaves_those_with_like_names_whole(
    make_repo: Any, tmp_path: Any, client: Any
) -> None:
    """Stock Feast's Redis store scans by suffix: "prod" takes "preprod" along."""
    repos = {name: make_repo(tmp_path / name, name) for name in ("prod", "preprod", "prod2", "pr_d")}
    for repo in repos.values():
        rows = pl.DataFrame({"k": ["a"], "t": [now()], "created": [now()], "x": [1.0]})
        views = [repo.view(name, rows, ttl=DAY) for name in ("v", "v2")]
        repo.apply(*views)
        for built in views:
            repo.store.write_to_online_store(built.name, pushed("a", now(), 1.0))
    repos["prod"].store.teardown()
    assert list(client.scan_iter("prod/*")) == []
    for name in ("preprod", "prod2", "pr_d"):
        for feature in ("v:x", "v2:x"):
            assert read(repos[name], ["a"], feature) == ([1.0], [PRESENT])


def test_dropping_a_view_removes_its_rows_and_nobody_elses(repo: Any, client: Any) -> None:
    rows = pl.DataFrame({"k": ["a"], "t": [now()], "created": [now()], "x": [1.0]})
    views = {name: repo.view(name, rows, ttl=DAY) for name in ("v", "v2", "vv")}
    repo.apply(*views.values())
    for name in views:
        repo.store.write_to_online_store(name, pushed("{odd}|key/*", now(), 1.0))
    repo.store.apply([], objects_to_delete=[views["v"]], partial=False)
    left = {key.split(b"/")[1] for key in client.scan_iter(f"{repo.project}/*") if b"@" not in key}
    assert left == {b"v2", b"vv"}


def test_a_view_that_gains_a_column_serves_old_readers_and_new_ones(repo: Any, client: Any) -> None:
    """The old bundle's reader goes on; a new reader finds the column missing in old rows, and only there."""
    rows = pl.DataFrame({"k": ["a"], "t": [now()], "created": [now()], "x": [1.0]})
    repo.apply(repo.view("v", rows, ttl=DAY))
    repo.store.write_to_online_store("v", pushed("old", now(), 1.0))
    old = OnlineReader(client, repo.project, [ViewRequest("v", (Column("x", "float64"),), 86_400)])
    repo.apply(repo.view("v", rows.with_columns(pl.lit(2).alias("y")), ttl=DAY))
    repo.store.write_to_online_store("v", pushed("new", now(), 3.0).assign(y=4))
    found = old.read(["old", "new"])["v"]
    assert found.status.tolist() == [Status.PRESENT, Status.PRESENT]
    assert found.columns["x"].data.tolist() == [1.0, 3.0]
    answer = repo.store.get_online_features(["v:x", "v:y"], [{"k": "old"}, {"k": "new"}, {"k": "none"}])
    assert of(answer, "x") == ([1.0, 3.0, None], [PRESENT, PRESENT, UNKNOWN])
    assert of(answer, "y") == ([None, 4, None], [UNKNOWN, PRESENT, UNKNOWN])


def test_a_retyped_column_is_never_read_by_its_old_bytes(repo: Any) -> None:
    rows = pl.DataFrame({"k": ["a"], "t": [now()], "created": [now()], "x": [1.0]})
    repo.apply(repo.view("v", rows, ttl=DAY))
    repo.store.write_to_online_store("v", pushed("a", now(), 1.0))
    repo.apply(repo.view("v", rows.cast({"x": pl.Int64}), ttl=DAY))
    assert read(repo, ["a"]) == ([None], [UNKNOWN])


def test_one_answer_holds_several_views_keys_and_repeated_entities(repo: Any) -> None:
    at = now()
    people = repo.view("people", pl.DataFrame({"k": ["a"], "t": [at], "created": [at], "x": [1.0]}), ttl=DAY)
    shops = pl.DataFrame({"k": ["a"], "shop": [7], "t": [at], "created": [at], "y": ["s"]})
    repo.apply(people, repo.view("shops", shops, keys=("shop", "k"), ttl=DAY))
    repo.store.write_to_online_store("people", pushed("a", at, 1.0))
    repo.store.write_to_online_store("shops", shops.to_pandas())
    repo.store.write_to_online_store("shops", shops.with_columns(shop=11, y=pl.lit("e")).to_pandas())
    asked = [{"k": "a", "shop": 7}, {"k": "b", "shop": 7}, {"k": "a", "shop": 11}, {"k": "a", "shop": 7}]
    answer = repo.store.get_online_features(["people:x", "shops:y"], asked, full_feature_names=True)
    assert of(answer, "people__x") == ([1.0, None, 1.0, 1.0], [PRESENT, UNKNOWN, PRESENT, PRESENT])
    assert of(answer, "shops__y") == (["s", None, "e", "s"], [PRESENT, UNKNOWN, PRESENT, PRESENT])


def test_the_answer_names_the_versions_of_its_views_where_asked(repo: Any, view: Any) -> None:
    asked = [{"k": "a"}]
    plain = repo.store.get_online_features(["v:x"], asked)
    assert list(plain.proto.metadata.feature_view_metadata) == []
    versions = repo.store.get_online_features(["v:x"], asked, include_feature_view_version_metadata=True)
    assert [entry.name for entry in versions.proto.metadata.feature_view_metadata] == ["v"]


def test_string_keys_that_look_alike_are_different_entities(repo: Any) -> None:
    at = now()
    rows = pl.DataFrame({"k": ["1", "11", "1|1"], "l": ["11", "1", ""], "t": [at] * 3, "created": [at] * 3})
    rows = rows.with_columns(x=pl.Series([1.0, 2.0, 3.0]))
    repo.apply(repo.view("v", rows, keys=("k", "l"), ttl=DAY))
    repo.store.write_to_online_store("v", rows.to_pandas())
    asked = [{"k": "11", "l": "1"}, {"k": "1", "l": "11"}, {"k": "1|1", "l": ""}, {"k": "1", "l": "1|"}]
    answer = repo.store.get_online_features(["v:x"], asked)
    assert answer.to_dict()["x"] == [2.0, 1.0, 3.0, None]


def test_a_view_without_entities_has_one_row(repo: Any) -> None:
    rows = pl.DataFrame({"t": [now()], "created": [now()], "x": [1.0]})
    repo.apply(repo.view("v", rows, keys=(), ttl=DAY))
    repo.store.materialize(now() - DAY, now())
    assert repo.store.get_online_features(["v:x"], [{"anything": 1}, {"anything": 2}]).to_dict()["x"] == [1.0, 1.0]


def test_on_demand_features_are_computed_on_the_answer(repo: Any) -> None:
    rows = pl.DataFrame({"k": ["a"], "t": [now()], "created": [now()], "x": [1.5]})
    built = repo.view("v", rows, ttl=DAY)

    @on_demand_feature_view(sources=[built], schema=[Field(name="twice", dtype=Float64)])  # type: ignore[untyped-decorator]
    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"twice": inputs["x"] * 2})

    repo.apply(built, doubled)
    repo.store.write_to_online_store("v", rows.to_pandas())
    assert repo.store.get_online_features(["doubled:twice"], [{"k": "a"}]).to_dict()["twice"] == [3.0]


def test_lists_and_integers_beyond_two_to_the_53_come_back_exactly(repo: Any) -> None:
    big = 2**53 + 1
    fields = {"n": Int64, "l": Array(String), "f": Array(Float64)}
    rows = pl.DataFrame({"k": ["a"], "t": [now()], "created": [now()], "n": [big], "l": [["b", ""]], "f": [[0.1]]})
    repo.apply(repo.view("v", rows, ttl=DAY, dtypes=fields))
    repo.store.write_to_online_store("v", rows.to_pandas())
    answer = repo.store.get_online_features(["v:n", "v:l", "v:f"], [{"k": "a"}]).to_dict()
    assert (answer["n"], answer["l"], answer["f"]) == ([big], [["b", ""]], [[0.1]])


def test_what_the_store_cannot_keep_is_refused_at_apply_by_name(repo: Any) -> None:
    with pytest.raises(StoreError, match=r"'m' of view 'v' has type Array\(PdfBytes\)"):
        Packer(repo.view("v", None, dtypes={"k": String, "m": Array(PdfBytes)}))
    entity = Entity(name="e", join_keys=["d"], value_type=ValueType.DOUBLE)
    source = FileSource(path="v.parquet", timestamp_field="t")
    keyed = FeatureView(name="w", entities=[entity], schema=[Field(name="x", dtype=Float64)], source=source)
    with pytest.raises(StoreError, match="Join key 'd' of view 'w' has type Float64"):
        repo.store.apply([entity, keyed])


def test_a_row_without_a_key_is_refused(repo: Any, view: Any) -> None:
    with pytest.raises(StoreError, match="Join key 'k' is None"):
        repo.store.write_to_online_store("v", pushed(None, now(), 1.0))


def test_feasts_precomputed_vectors_use_the_store_too(repo: Any, view: Any) -> None:
    online = repo.store.provider.online_store
    keys = [EntityKey(join_keys=["k"], entity_values=[Value(string_val=key)]) for key in "ab"]
    online.write_precomputed_vector(repo.config, "service", repo.project, keys[0], b"\x01vector")
    assert online.read_precomputed_vectors(repo.config, "service", repo.project, keys) == [b"\x01vector", None]


def test_a_dead_server_is_an_error_and_not_an_empty_answer(repo: Any, view: Any) -> None:
    repo.config._online_store.redis_url = "redis://127.0.0.1:1"
    with pytest.raises(redis.ConnectionError):
        read(repo, ["a"])
