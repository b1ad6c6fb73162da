"""Materialisation through Feast, on a real Valkey: every row arrives, the newest wins, a kill loses nothing."""

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast.infra.common.materialization_job import MaterializationTask
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.stores import engine, stream
from feature_repo.stores.rows import Packer
from feature_repo.stores.state import settings_of
from motherlode.errors import DataError, StoreError
from motherlode.online.keys import complete_key, row_key
from motherlode.online.tombstones import Tombstones, of_customer
from motherlode.packed import FORMAT_VERSION
from motherlode.packed.header import FORM
from motherlode.redis_server import connect

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TIME = pl.Datetime("us", "UTC")


def now() -> datetime:
    return datetime.now(UTC)


def history(*rows: tuple[Any, datetime, Any], created: datetime | list[datetime] | None = None) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={"k": pl.String, "t": TIME, "x": pl.Float64}, orient="row")
    made = [created] * len(rows) if isinstance(created, datetime) else created
    return frame.with_columns((frame["t"] if made is None else pl.Series(made, dtype=TIME)).alias("created"))


def xs(repo: Any, keys: list[Any], feature: str = "v:x") -> list[Any]:
    found: list[Any] = repo.store.get_online_features([feature], [{"k": key} for key in keys]).to_dict()[
        feature.split(":")[1]
    ]
    return found


def add(repo: Any, more: pl.DataFrame, name: str = "v") -> None:
    path = repo.mart / f"{name}.parquet"
    pl.concat([pl.read_parquet(path), more.select(pl.read_parquet_schema(path).keys())]).write_parquet(path)


@pytest.fixture
def client(server: Any) -> Any:
    with connect(server) as connection:
        yield connection


def test_each_entitys_newest_row_of_the_range_comes_online(repo: Any) -> None:
    end = now()
    start = end - DAY
    rows = history(
        ("a", start - HOUR, 0.0),
        ("a", start, 1.0),
        ("b", end, 2.0),
        ("b", end - HOUR, 1.0),
        ("c", end + HOUR, 9.0),
        ("d", start - HOUR, 9.0),
        (None, end, 9.0),
        ("e", end, None),
    )
    repo.apply(repo.view("v", rows, ttl=9 * DAY))
    repo.store.materialize(start, end)
    assert xs(repo, list("abcde")) == [1.0, 2.0, None, None, None]
    assert repo.store.get_feature_view("v").most_recent_end_time == end


def test_a_view_is_written_in_slices_and_shares_of_any_size(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BATCH", "LOT", "KEYS", "ALONE", "SHARE"):
        monkeypatch.setattr(stream, name, 7)
    end, n = now(), 30
    rows = history(*((f"{i % n}", end - timedelta(minutes=(i * 37) % 400), float(i)) for i in range(4 * n)))
    repo.apply(repo.view("v", rows, ttl=DAY))
    repo.store.materialize(end - DAY, end)
    newest = rows.sort("t").unique("k", keep="last")
    assert xs(repo, newest["k"].to_list()) == newest["x"].to_list()


def test_incremental_takes_new_rows_and_late_ones(repo: Any) -> None:
    """A late file, old event time and new created time, still reaches online."""
    first = now() - HOUR
    old = first - 5 * DAY
    repo.apply(repo.view("v", history(("a", first - HOUR, 1.0), ("b", first - HOUR, 1.0), created=old), ttl=30 * DAY))
    repo.store.materialize_incremental(first)
    add(repo, history(("late", first - 4 * DAY, 5.0), ("a", first - 2 * HOUR, 0.0), created=now()))
    add(repo, history(("b", first + timedelta(minutes=1), 2.0)))
    add(repo, history(("never", first - 3 * DAY, 7.0), created=old))
    repo.store.materialize_incremental(now())
    assert xs(repo, ["a", "b", "late"]) == [1.0, 2.0, 5.0]
    assert xs(repo, ["never"]) == [None]  # it was there before the first run, says its created time


def test_a_run_that_was_asked_for_a_range_takes_that_range_alone(repo: Any) -> None:
    end = now()
    repo.apply(repo.view("v", history(("a", end - 5 * DAY, 1.0), ("b", end, 2.0), created=end), ttl=30 * DAY))
    repo.store.materialize(end - DAY, end)
    assert xs(repo, ["a", "b"]) == [None, 2.0]


def test_a_view_that_redis_lost_or_holds_with_other_columns_is_written_whole(repo: Any, client: Any) -> None:
    first = now() - HOUR
    rows = history(("a", first - HOUR, 1.0), ("b", first - 2 * HOUR, 2.0), created=first - 5 * DAY)
    repo.apply(repo.view("v", rows, ttl=30 * DAY))
    repo.store.materialize_incremental(first)
    client.delete(*client.scan_iter(f"{repo.project}/*"))
    repo.store.materialize_incremental(now())
    assert xs(repo, ["a", "b"]) == [1.0, 2.0]
    repo.apply(repo.view("v", rows.with_columns(pl.col("x").alias("y") * 10), ttl=30 * DAY))
    repo.store.materialize_incremental(now())
    assert xs(repo, ["a", "b"], "v:y") == [10.0, 20.0]


@pytest.mark.parametrize("own", [False, True])
def test_rows_of_an_earlier_format_are_replaced_by_the_next_run(repo: Any, client: Any, own: bool) -> None:
    """Rows with times that are no times of this format, and the mark of a view that was written whole in it."""
    end = now()
    repo.apply(repo.view("v", history(("a", end - DAY, 1.0), ("b", end - DAY, 2.0)), ttl=30 * DAY))
    repo.store.materialize_incremental(end)
    for key in [row_key(repo.project, "v", each) for each in "ab"]:
        former = bytearray(client.get(key))
        former[FORM : FORM + 4] = (FORMAT_VERSION - 1).to_bytes(4, "little")
        client.set(key, bytes(former) + b"\x7f" * 32)
    complete = complete_key(repo.project, "v")
    # As this view's mark is, but for the format; and as the first format's marks were.
    former_mark = client.get(complete).replace(f"{FORMAT_VERSION}-".encode(), f"{FORMAT_VERSION - 1}-".encode(), 1)
    assert former_mark != client.get(complete)
    client.set(complete, former_mark if own else "0123456789abcdef 5616000000000")
    assert xs(repo, ["a", "b"]) == [None, None]
    repo.store.materialize_incremental(now())
    assert xs(repo, ["a", "b"]) == [1.0, 2.0]


def test_a_view_that_is_to_be_kept_for_longer_is_written_whole(repo: Any, client: Any) -> None:
    """Else rows that were too old for the former time to live would be missing, and the others would go too early."""
    at = now()
    rows = history(("a", at - HOUR, 1.0), ("b", at - 40 * DAY, 2.0))
    repo.apply(repo.view("v", rows, ttl=DAY))
    repo.store.materialize_incremental(at)
    assert xs(repo, ["a", "b"]) == [1.0, None]
    soon = client.pexpiretime(row_key(repo.project, "v", "a"))
    repo.apply(repo.view("v", rows, ttl=100 * DAY))
    repo.store.materialize_incremental(now())
    assert xs(repo, ["a", "b"]) == [1.0, 2.0]
    assert client.pexpiretime(row_key(repo.project, "v", "a")) - soon == 99 * DAY // timedelta(milliseconds=1)


def test_a_late_older_row_never_overwrites_a_newer_one(repo: Any) -> None:
    at = now()
    repo.apply(repo.view("v", history(("a", at - 2 * DAY, 1.0)), ttl=30 * DAY))
    repo.store.write_to_online_store("v", history(("a", at - HOUR, 5.0)).to_pandas())
    repo.store.materialize(at - 3 * DAY, at)
    assert xs(repo, ["a"]) == [5.0]


def test_rows_whose_keys_would_be_gone_already_are_skipped(repo: Any, client: Any) -> None:
    at = now()
    repo.apply(repo.view("v", history(("kept", at - 20 * DAY, 1.0), ("gone", at - 32 * DAY, 1.0)), ttl=DAY))
    repo.store.materialize(at - 400 * DAY, at)
    assert [client.exists(row_key(repo.project, "v", key)) for key in ("kept", "gone")] == [1, 0]
    (status,) = repo.store.get_online_features(["v:x"], [{"k": "kept"}]).proto.results[1].statuses
    assert status == FieldStatus.OUTSIDE_MAX_AGE


def test_every_chunk_dictionary_large_string_and_list_arrives(repo: Any) -> None:
    """A table of many chunks and row groups: stock Feast converts the first chunk alone."""
    at, n = now(), 5000
    chunks = [
        pa.table(
            {
                "k": pa.array([f"{i}" for i in part]).dictionary_encode(),
                "t": pa.array([at - HOUR] * len(part), pa.timestamp("us", "UTC")),
                "created": pa.array([at.replace(tzinfo=None)] * len(part), pa.timestamp("ns")),
                "x": pa.array([float(i) if i % 7 else None for i in part]),
                "s": pa.array([f"é{i}" for i in part], pa.large_string()),
                "d": pa.array([f"shop {i % 3}" for i in part]).dictionary_encode(),
                "l": pa.array(
                    [[f"{j}" for j in range(i % 4)] if i % 5 else None for i in part], pa.large_list(pa.large_string())
                ),
                "f": pa.array([[i / 2] * (i % 3) for i in part], pa.list_(pa.float64())),
            }
        )
        for part in np.array_split(np.arange(n), 9)
    ]
    table = pa.concat_tables(chunks, promote_options="permissive")
    pq.write_table(table, repo.mart / "v.parquet", row_group_size=700)
    dtypes = {"k": String, "x": Float64, "s": String, "d": String, "l": Array(String), "f": Array(Float32)}
    repo.apply(repo.view("v", None, dtypes=dtypes, ttl=DAY))
    repo.store.materialize(at - DAY, at)
    asked = [{"k": f"{i}"} for i in range(n)]
    answer = repo.store.get_online_features([f"v:{name}" for name in "xsdlf"], asked).to_dict()
    assert answer["x"] == [float(i) if i % 7 else None for i in range(n)]
    assert answer["s"] == [f"é{i}" for i in range(n)]
    assert answer["d"] == [f"shop {i % 3}" for i in range(n)]
    assert answer["l"] == [[f"{j}" for j in range(i % 4)] if i % 5 else None for i in range(n)]
    assert answer["f"] == [[i / 2] * (i % 3) for i in range(n)]


def test_every_scalar_type_arrives_with_its_nulls(repo: Any) -> None:
    at = now().replace(microsecond=0)
    rows = pl.DataFrame(
        {
            "k": ["full", "null"],
            "t": [at, at],
            "created": [at, at],
            "b": [True, None],
            "i": pl.Series([-(2**31), None], dtype=pl.Int32),
            "l": [2**63 - 1, None],
            "f": pl.Series([float("inf"), None], dtype=pl.Float32),
            "d": [float("nan"), None],
            "s": ["", None],
            "y": [b"\x00", None],
            "w": [at.replace(tzinfo=None), None],
        }
    )
    dtypes = dict(zip("bilfdsyw", (Bool, Int32, Int64, Float32, Float64, String, Bytes, UnixTimestamp), strict=True))
    repo.apply(repo.view("v", rows, dtypes={"k": String, **dtypes}, ttl=DAY))
    repo.store.materialize(at - DAY, at)
    answer = repo.store.get_online_features([f"v:{name}" for name in dtypes], [{"k": "full"}, {"k": "null"}]).to_dict()
    full = {name: values[0] for name, values in answer.items()}
    assert np.isnan(full.pop("d"))
    assert full == {
        "k": "full", "b": True, "i": -(2**31), "l": 2**63 - 1, "f": float("inf"), "s": "", "y": b"\x00", "w": at,
    }  # fmt: skip
    assert [answer[name][1] for name in dtypes] == [None] * len(dtypes)


def test_integer_keys_and_several_keys_arrive(repo: Any) -> None:
    at = now()
    rows = pl.DataFrame({"k": ["a", "b"], "n": [2**53 + 1, 7], "t": [at, at], "created": [at, at], "x": [1.0, 2.0]})
    repo.apply(repo.view("v", rows, keys=("n", "k"), ttl=DAY))
    repo.store.materialize(at - DAY, at)
    asked = [{"k": "a", "n": 2**53 + 1}, {"k": "a", "n": 2**53}, {"k": "b", "n": 7}]
    assert repo.store.get_online_features(["v:x"], asked).to_dict()["x"] == [1.0, None, 2.0]


def test_mapped_columns_arrive_under_their_new_names(repo: Any) -> None:
    at = now()
    rows = history(("a", at, 1.0)).rename({"k": "customer", "x": "value", "t": "stamp"})
    repo.apply(repo.view("v", rows, mapping={"customer": "k", "value": "x", "stamp": "t"}, ttl=DAY))
    repo.store.materialize(at - DAY, at)
    assert xs(repo, ["a"]) == [1.0]


def test_an_empty_table_moves_the_watermark_and_writes_nothing(repo: Any, client: Any) -> None:
    end = now()
    repo.apply(repo.view("v", history(), ttl=DAY))
    repo.store.materialize(end - DAY, end)
    assert repo.store.get_feature_view("v").most_recent_end_time == end
    assert list(client.scan_iter(f"{repo.project}/v/*")) == []


def test_a_view_that_fails_keeps_its_watermark_and_the_others_go_on(repo: Any, client: Any) -> None:
    end = now()
    good = repo.view("good", history(("a", end, 1.0)), ttl=DAY)
    bad = repo.view("bad", history(("a", end, 1.0)), ttl=DAY)
    repo.apply(bad, good)
    history(("a", end, 1.0)).with_columns(pl.lit("text").alias("x")).write_parquet(repo.mart / "bad.parquet")
    with pytest.raises(DataError, match="View 'bad' cannot be read as it is declared"):
        repo.store.materialize(end - DAY, end)
    assert xs(repo, ["a"], "good:x") == [1.0]
    assert repo.store.get_feature_view("good").most_recent_end_time == end
    assert repo.store.get_feature_view("bad").most_recent_end_time is None
    assert client.get(complete_key(repo.project, "bad")) is None


def test_a_view_with_a_transformation_is_refused(repo: Any) -> None:
    view = repo.view("v", history(("a", now(), 1.0)), ttl=DAY)
    view.feature_transformation = object()
    with pytest.raises(StoreError, match="'v' has a transformation"):
        engine._plain(view)


def test_reads_answer_while_a_materialisation_runs_and_every_row_is_whole(make_repo: Any, tmp_path: Path) -> None:
    """On the SQL registry, where Feast marks a view MATERIALIZING and would refuse to read it meanwhile."""
    repo = make_repo(tmp_path / "home", sql=True)
    n, first = 4000, now() - DAY
    ids = [f"{i}" for i in range(n)]
    columns = {f"x{i}": pl.lit(1.0) for i in range(20)}
    rows = pl.DataFrame({"k": ids}).with_columns(t=pl.lit(first, TIME), created=pl.lit(first, TIME), **columns)
    repo.apply(repo.view("v", rows, ttl=9 * DAY))
    repo.store.materialize_incremental(first + HOUR)
    newer = rows.with_columns(t=pl.lit(first + 2 * HOUR, TIME), **{name: pl.lit(2.0) for name in columns})
    add(repo, newer)
    mixed: list[Any] = []
    reads = 0
    done = threading.Event()

    def read() -> None:
        nonlocal reads
        while not done.is_set() or reads == 0:
            features = [f"v:{name}" for name in columns]
            answer = repo.store.get_online_features(features, [{"k": key} for key in ids[::400]]).to_dict()
            seen = [{answer[name][i] for name in columns} for i in range(10)]
            mixed.extend(values for values in seen if values not in ({1.0}, {2.0}))
            reads += 1

    reader = threading.Thread(target=read)
    reader.start()
    repo.store.materialize_incremental(now())
    done.set()
    reader.join()
    assert mixed == []
    assert reads > 1
    assert repo.store.get_online_features(["v:x0"], [{"k": key} for key in ids]).to_dict()["x0"] == [2.0] * n


def test_views_are_written_at_once_and_each_job_ends_by_itself(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three views wait for each other in the middle of their rows: one after the other, none would ever end."""
    together = threading.Barrier(3, timeout=20)
    pack = Packer.from_frame

    def packed(self: Packer, frame: pl.DataFrame) -> Any:
        together.wait()
        return pack(self, frame)

    monkeypatch.setattr(Packer, "from_frame", packed)
    end = now()
    repo.apply(*(repo.view(name, history(("a", end, 1.0)), ttl=DAY) for name in ("one", "two", "three")))
    repo.store.materialize(end - DAY, end)
    assert [xs(repo, ["a"], f"{name}:x") for name in ("one", "two", "three")] == [[1.0]] * 3


def test_whoever_stops_asking_for_jobs_stops_the_run(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ctrl-C does: views that have not begun never do, and one that has ends at its next batch."""
    monkeypatch.setattr(stream, "LOT", 1)
    end = now()
    many = history(*((f"{i}", end, 1.0) for i in range(5000)))
    repo.apply(repo.view("a", history(("a", end, 1.0)), ttl=DAY), repo.view("b", many, ttl=DAY))
    views = {view.name: view for view in repo.store.list_feature_views()}
    tasks = [MaterializationTask(repo.project, views[name], end - DAY, end) for name in ("a", "b")]
    jobs = repo.store.provider.batch_engine.run(tasks)
    assert next(jobs).task.feature_view.name == "a"
    jobs.close()
    assert repo.store.get_online_features(["b:x"], [{"k": "4999"}]).to_dict()["x"] == [None]


def test_a_mart_that_a_build_replaces_meanwhile_is_read_anew(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    end = now()
    before, after = history(("a", end - HOUR, 1.0)), history(("a", end - HOUR, 2.0), ("b", end, 3.0))
    repo.build("v", before)
    repo.apply(repo.view("v", None, dtypes={"k": String, "x": Float64}, ttl=DAY))
    newest = stream.newest

    def replaced(*given: Any) -> Any:
        marks = newest(*given)
        if first:
            first.pop()
            gone = list((repo.mart / "v").glob("*.parquet"))
            repo.build("v", after)
            for path in gone:
                path.unlink()
        return marks

    first = [True]
    monkeypatch.setattr(stream, "newest", replaced)
    repo.store.materialize(end - DAY, end)
    assert xs(repo, ["a", "b"]) == [2.0, 3.0]


def test_who_was_erased_stays_so_where_redis_lost_its_tombstones(repo: Any, client: Any) -> None:
    at = now()
    view = repo.view("v", history(("a", at, 1.0), ("b", at, 2.0)).rename({"k": "customer_id"}), keys=("customer_id",))
    repo.apply(view)
    tombstones = Tombstones(settings_of(repo.config))
    tombstones.add([of_customer(tombstones, "a", at, "")])
    views = repo.store.list_feature_views()
    (job,) = repo.store.provider.batch_engine.run([MaterializationTask(repo.project, views[0], at - DAY, at)])
    assert (job.rows, job.refused) == (2, 1)
    asked = [{"customer_id": key} for key in "ab"]
    assert repo.store.get_online_features(["v:x"], asked).to_dict()["x"] == [None, 2.0]


MINUTES = st.integers(0, 60)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), MINUTES, st.one_of(st.none(), st.integers(-9, 9)), MINUTES), max_size=20
    ),
    st.integers(1, 40),
)
def test_online_now_equals_offline_point_in_time_now(make_repo: Any, tmp_path: Path, rows: list[Any], ttl: int) -> None:
    minute = timedelta(minutes=1)
    repo = make_repo(tmp_path / f"home {time.monotonic_ns()}")
    at = now()
    frame = history(
        *((k, at - age * minute, None if x is None else float(x)) for k, age, x, _ in rows),
        created=[at - (age - late) * minute for _, age, _, late in rows],
    )
    # Half a minute beside the boundary, since the clock goes on between the two answers.
    view = repo.view("v", frame, ttl=ttl * minute + minute / 2)
    repo.apply(view)
    repo.store.materialize(at - 2 * HOUR, at)
    online = xs(repo, list("abcd"))
    labels = pl.DataFrame({"k": list("abcd")}).with_columns(event_timestamp=pl.lit(at, TIME))
    assert repo.ask(view, ["v:x"], labels).to_arrow()["x"].to_pylist() == online
