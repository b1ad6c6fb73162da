"""Saved data sets, scores and exports lose the rows of customers; other files are left as they are."""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from feature_repo.erasure import saved
from motherlode import audit
from motherlode.bundle import sha256
from motherlode.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def write(path: Path, **columns: list[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_parquet(path)
    return path


def test_rows_go_by_join_key_and_by_outside_id_wherever_a_file_lies(settings: Settings, tmp_path: Path) -> None:
    spring = write(settings.home / "saved" / "spring.parquet", customer_id=["a", "b", None], x=[1, 2, 3])
    scores = write(settings.home / "out" / "scores.parquet", outside_id=[7, 8], score=[0.5, 0.25])
    elsewhere = write(tmp_path / "data" / "set" / "part.parquet", customer_id=["a", "b"], x=[1, 2])
    others = write(settings.home / "saved" / "others.parquet", customer_id=["b"], x=[1])
    no_keys = write(settings.home / "saved" / "items.parquet", item_id=["a"], x=[1])
    layer = write(settings.home / "mart" / "rfm" / "x.parquet", customer_id=["a"])
    (settings.home / "saved" / "broken.parquet").write_bytes(b"no parquet")
    kept = {path: path.read_bytes() for path in (others, no_keys, layer)}
    before = {path: sha256(path) for path in (spring, scores, elsewhere)}
    beside = [tmp_path / "data" / "set", tmp_path / "gone"]
    found = saved.find(settings, {"a", "7"}, beside)
    assert {(each.path, each.rows) for each in found} == {
        ("saved/spring.parquet", 1),
        ("out/scores.parquet", 1),
        (str(elsewhere), 1),
    }
    places = saved.erase(settings, {"a", "7"}, beside)
    assert {each.sha256_before for each in places} == set(before.values())
    assert {each.sha256_after for each in places} == {sha256(path) for path in before}
    assert pl.read_parquet(spring).to_dict(as_series=False) == {"customer_id": ["b", None], "x": [2, 3]}
    assert pl.read_parquet(scores).to_dict(as_series=False) == {"outside_id": [8], "score": [0.25]}
    assert pl.read_parquet(elsewhere)["customer_id"].to_list() == ["b"]
    assert {path: path.read_bytes() for path in kept} == kept
    assert saved.find(settings, {"a", "7"}, beside) == []


def test_exports_outside_home_are_known_by_the_audit_log(settings: Settings, tmp_path: Path) -> None:
    inside = write(settings.home / "out.parquet", outside_id=["a"])
    outside = write(tmp_path / "elsewhere" / "out.parquet", outside_id=["a"])
    other = write(tmp_path / "elsewhere" / "other.parquet", outside_id=["b"])
    for path in (inside, outside, other, tmp_path / "deleted.parquet"):
        audit.record(settings, "export", str(path))
    assert saved.exports(settings) == sorted([outside, other])
    assert saved.holding(saved.exports(settings), {"a"}) == [outside]


def test_a_large_file_is_copied_a_batch_at_a_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "_GROUP", 3)
    ids: list[object] = ["a", "a", "a", "a", "b", "a", "c", "b", "b"]
    path = write(settings.home / "saved" / "large.parquet", customer_id=ids, x=[[i] for i in range(9)])
    (place,) = saved.erase(settings, {"a"})
    assert place.rows == 5
    assert pl.read_parquet(path)["x"].to_list() == [[4], [6], [7], [8]]
    assert pq.read_metadata(path).num_row_groups > 1, "never the whole of it in memory"
    saved.erase(settings, {"b", "c"})
    assert pl.read_parquet(path).height == 0


def test_a_saved_file_outside_home_that_cannot_be_read_is_named(settings: Settings, tmp_path: Path) -> None:
    sound = write(tmp_path / "data" / "sound.parquet", customer_id=["b"])
    broken = tmp_path / "data" / "broken.parquet"
    broken.write_bytes(sound.read_bytes()[:-9])
    assert saved.unreadable(settings, [tmp_path / "data"]) == [broken]
