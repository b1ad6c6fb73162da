"""Materialisation through Feast, on a real Valkey: every row arrives, the newest wins, a kill loses nothing."""

import os
import signal
import subprocess
import sys
import textwrap
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
import yaml
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.stores import engine
from feature_repo.stores.online import complete_key
from motherlode.errors import DataError, StoreError
from motherlode.online import row_key
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
    for name in ("BATCH", "READ", "SHARE"):
        monkeypatch.setattr(engine, name, 7)
    end, n = now(), 100
    rows = history(*((f"{i % n}", end - timedelta(minutes=(i * 37) % 400), float(i)) for i in range(4 * n)))
    repo.apply(repo.view("v", rows, ttl=DAY))
    repo.store.materialize(end - DAY, end)
    newest = rows.sort("t").unique("k", keep="last")
    assert dict(zip(newest["k"], newest["x"], strict=True)) == {key: x for key in newest["k"] for x in xs(repo, [key])}


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


KILLED = """
    import sys, time
    from datetime import datetime, timedelta, UTC
    from feast import FeatureStore
    from feature_repo.stores import engine
    from motherlode.online import OnlineWriter

    engine.BATCH = 50
    write = OnlineWriter.write
    def slow(self, *args):
        written = write(self, *args)
        print("batch", flush=True)
        time.sleep(60)
        return written
    OnlineWriter.write = slow
    FeatureStore(repo_path=sys.argv[1]).materialize_incremental(datetime.now(UTC))
"""


def test_killing_the_writer_in_the_middle_loses_nothing(make_repo: Any, tmp_path: Path, client: Any) -> None:
    """SIGKILL after the first batch: the watermark has not moved, and the next run writes every row."""
    repo = make_repo(tmp_path / "home", sql=True)
    n = 500
    rows = pl.DataFrame({"k": [f"{i}" for i in range(n)]}).with_columns(
        t=pl.lit(now() - HOUR, TIME), created=pl.lit(now(), TIME), x=pl.lit(1.0)
    )
    repo.apply(repo.view("v", rows, ttl=DAY))
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(repo.yaml))
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert writer.stdout is not None
    while "batch" not in writer.stdout.readline():
        assert writer.poll() is None
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    written = sum(1 for _ in client.scan_iter(f"{repo.project}/v/*"))
    assert 0 < written < n
    repo.store.refresh_registry()
    assert repo.store.get_feature_view("v").most_recent_end_time is None
    repo.store.materialize_incremental(now())
    assert xs(repo, [f"{i}" for i in range(n)]) == [1.0] * n


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
