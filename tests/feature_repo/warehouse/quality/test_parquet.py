"""What footers say equals what reading every row says."""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse.quality import parquet

from .conftest import NOW


@pytest.fixture
def frame() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "number": [1.5, None, -2.0, 7.0],
            "whole": [1, 2, 3, None],
            "text": ["a", None, None, "z"],
            "at": [NOW + timedelta(hours=it) for it in range(4)],
            "void": [None] * 4,
        },
        schema_overrides={"at": pl.Datetime("us", "UTC"), "void": pl.String},
    )


def test_rows_nulls_and_extremes_over_files_and_row_groups(frame: pl.DataFrame, tmp_path: Path) -> None:
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=1)
    frame.with_columns(pl.col("number") * 10).drop("text").write_parquet(tmp_path / "b.parquet")
    found = parquet.extents([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert (found["number"].rows, found["number"].nulls, found["number"].low, found["number"].high) == (
        8,
        2,
        -20.0,
        70.0,
    )
    assert (found["whole"].low, found["whole"].high) == (1, 3)
    assert found["text"].nulls == 6, "a column that a file lacks is null there"
    assert found["text"].high is None, "texts have no extremes here: they may be shortened"
    assert found["at"].high == NOW + timedelta(hours=3)
    assert isinstance(found["at"].high, datetime)
    assert (found["void"].nulls, found["void"].high) == (8, None)
    assert parquet.extents([]) == {}


def test_a_sample_comes_from_all_over_the_files_and_keeps_its_types(frame: pl.DataFrame, tmp_path: Path) -> None:
    long = pl.concat([frame] * 1000).with_row_index("n")
    for place in range(4):
        long.with_columns(pl.col("n") + 4000 * place).write_parquet(tmp_path / f"{place}.parquet", row_group_size=1000)
    found = pl.concat(parquet.sample(sorted(tmp_path.iterdir()), 160, groups=8))
    assert found.height == 160
    assert found.schema == long.schema
    assert found["n"].n_unique() == 160
    assert (found["n"] // 4000).n_unique() == 4


def test_fewer_row_groups_than_asked_for_are_all_taken(frame: pl.DataFrame, tmp_path: Path) -> None:
    frame.write_parquet(tmp_path / "a.parquet")
    (found,) = parquet.sample([tmp_path / "a.parquet"], 3)
    assert found.equals(frame.head(3))
