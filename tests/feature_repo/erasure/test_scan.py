"""The last look finds an id wherever it lies: names, bytes, JSON, gzip, Parquet of any kind; and nothing by chance."""

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.erasure import scan
from feature_repo.warehouse import vault
from motherlode import audit
from motherlode.settings import Settings

CANARY = "Änne O'Neil/47"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    home.mkdir()
    return Settings(home=home, raw_key="a raw key of its own")


def parquet(path: Path, column: pa.Array, **options: Any) -> None:
    pq.write_table(pa.table({"x": column}), path, compression="zstd", **options)


def test_it_is_found_however_it_is_written(settings: Settings) -> None:
    home = settings.home
    nothing = [None, "-"]
    parquet(home / "text.parquet", pa.array([CANARY, *nothing]))
    parquet(home / "inside.parquet", pa.array([f"call {CANARY}!", *nothing]))
    parquet(home / "dictionary.parquet", pa.array([CANARY, *nothing]).dictionary_encode())
    parquet(home / "list.parquet", pa.array([["a", CANARY], None, []]))
    parquet(home / "struct.parquet", pa.array([{"a": [{"b": CANARY}]}]))
    of = pa.map_(pa.string(), pa.list_(pa.string()))
    parquet(home / "key.parquet", pa.array([[(CANARY, ["a"])]], of))
    parquet(home / "value.parquet", pa.array([[("a", [CANARY])]], of))
    parquet(home / "large.parquet", pa.array([CANARY], pa.large_string()))
    sealed = pa.table({"x": [CANARY]})
    with vault.writer(home / "sealed.parquet", sealed.schema, settings) as writer:
        writer.write_table(sealed)
    (home / "log.txt").write_text(f"who: {CANARY}.")
    (home / "log.json").write_text(json.dumps({"who": CANARY}))
    (home / "log.gz").write_bytes(gzip.compress(CANARY.encode()))
    (home / "big.bin").write_bytes(bytes((16 << 20) - 5) + CANARY.encode() + bytes(100))
    (home / "Kanarie-1").mkdir()
    (home / "Kanarie-1" / "x").write_text("")
    found = scan.find(settings, [CANARY, "Kanarie-1"], [])
    files = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert set(found) == files


def test_nothing_is_found_by_chance(settings: Settings) -> None:
    home = settings.home
    pl.DataFrame({"x": ["canary47", "4canary", "x"], "n": [4711, 1, 2]}).write_parquet(home / "x.parquet")
    parquet(home / "map.parquet", pa.array([[("canary47", 1)], None], pa.map_(pa.string(), pa.int64())))
    (home / "x.txt").write_text("canary47 4canary 4711 7")
    assert scan.find(settings, ["canary", "4711", "7", "x"], []) == []
    assert [scan.telling(each) for each in ("canary", "x", "4711", "123456789")] == [True, False, False, True]


def test_what_cannot_be_read_is_named_and_never_counted_as_clean(settings: Settings) -> None:
    home, other = settings.home, Settings(home=settings.home, raw_key="another raw key, of before")
    (home / "broken.parquet").write_bytes(b"PAR1 no parquet")
    (home / "cut.gz").write_bytes(gzip.compress(bytes(1000))[:-9])
    sealed = pa.table({"x": [CANARY]})
    with vault.writer(home / "sealed.parquet", sealed.schema, other) as writer:
        writer.write_table(sealed)
    found = scan.find(settings, [CANARY], [])
    assert [each.partition(" ")[0] for each in found] == ["broken.parquet", "cut.gz", "sealed.parquet"]
    assert all("cannot be read, so nobody can tell" in each for each in found)


def test_a_number_of_many_digits_is_found_as_a_number(settings: Settings) -> None:
    kinds: dict[str, Any] = {"i": pl.Int64, "u": pl.UInt64, "f": pl.Float64, "d": pl.Decimal(20, 2)}
    for name, dtype in kinds.items():
        column = pl.Series("n", [1, 1234567890123, None]).cast(dtype)
        column.to_frame().write_parquet(settings.home / f"{name}.parquet")
    assert scan.find(settings, ["1234567890123"], []) == [f"{name}.parquet" for name in sorted(kinds)]
    assert scan.find(settings, ["1234567890124"], []) == []


def test_pseudonyms_may_stand_in_the_audit_log_alone(settings: Settings) -> None:
    keyed = Settings(home=settings.home, pseudonym_key="a pseudonym key of its own")
    key = keyed.identity.join_key("canary")
    audit.record(keyed, "unmerge", "customers", customer_id=key)
    assert scan.find(keyed, ["canary"], [key]) == []
    (keyed.home / "x.json").write_text(json.dumps([key]))
    assert scan.find(keyed, ["canary"], [key]) == ["x.json"]
    assert scan.find(settings, ["canary"], [key]) == ["audit.jsonl", "x.json"]


def test_the_size_of_a_home(settings: Settings) -> None:
    (settings.home / "x").write_bytes(bytes(10))
    (settings.home / "y").symlink_to(settings.home / "x")
    assert scan.size(settings) == 10
