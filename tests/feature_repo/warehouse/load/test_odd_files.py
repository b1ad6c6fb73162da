"""What lies beside a company's files, and where they lie: nothing is left out unsaid, no name of a folder matters."""

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_repo.mart import manifest, snapshots
from feature_repo.warehouse import demo, pipeline, tables
from motherlode import names
from motherlode.compute import choose
from motherlode.settings import Settings

JANUARY = ("anna", "r1", 1, "bread", 1, "2.25", "0", "2024-01-05 10:00:00")
FEBRUARY = ("ben", "r2", 1, "milk", 2, "3.50", "0", "2024-02-06 11:00:00")
MAPPING = """
sources:
  sales: { files: "FILES" }
tables:
  transactions:
    from: sales
    key: [basket_id]
    columns:
      customer_id: customer
      basket_id: receipt
      item_id: item
      quantity: pieces
      amount: money
      event_timestamp: sold
"""


def test_what_a_glob_matches_and_cannot_be_read_is_refused_by_name_and_the_others_go_on(company: Any) -> None:
    company.mapping = MAPPING.replace("FILES", "data/orders*")
    company.sales("data/orders_1.csv", JANUARY)
    odd = company.sales("data/orders_10.dat", FEBRUARY)
    (company.folder / "data" / "orders_away.csv").symlink_to("nowhere")
    os.mkfifo(company.folder / "data" / "orders_pipe.csv")
    refused = {each.name: each.problem for each in company.load().refused}
    assert refused == {
        "data/orders_10.dat": "data/orders_10.dat: its ending tells no format.",
        "data/orders_away.csv": "data/orders_away.csv is a link to what is not there.",
        "data/orders_pipe.csv": "data/orders_pipe.csv is a named pipe, and no file.",
    }
    assert company.table(names.TRANSACTIONS)["customer_id"].to_list() == ["anna"]
    again = company.load()
    assert not again.changed
    odd.rename(odd.with_suffix(".csv"))
    company.load()
    assert company.table(names.TRANSACTIONS).height == 2


def test_a_damaged_parquet_file_is_refused_and_the_others_go_on(company: Any) -> None:
    company.mapping = MAPPING.replace("FILES", "data/*.parquet")
    january = pl.read_csv(company.sales("january.csv", JANUARY), infer_schema=False)
    (company.folder / "data").mkdir()
    january.write_parquet(company.folder / "data" / "good.parquet")
    february = pl.read_csv(company.sales("february.csv", *[FEBRUARY] * 2_000), infer_schema=False)
    path = company.folder / "data" / "x.parquet"
    february.write_parquet(path, compression="snappy")
    content = bytearray(path.read_bytes())
    content[5] ^= 0xFF
    path.write_bytes(content)
    [refused] = company.load().refused
    assert refused.problem.startswith("data/x.parquet is damaged: ")
    assert refused.remedy == "Copy or export it again."
    assert company.table(names.TRANSACTIONS)["customer_id"].to_list() == ["anna"]


@pytest.mark.parametrize("place", ["a [1] home*"])
def test_a_home_whose_name_looks_like_a_glob_is_loaded_built_and_read(tmp_path: Path, place: str) -> None:
    settings = Settings(home=tmp_path / place, households=10)
    pipeline.load(settings, demo.project(settings))
    assert snapshots.build(settings, choose("cpu")).views[names.RFM].rows > 0
    assert manifest.scan(settings, names.RFM).collect().height > 0
    for table, frame in tables.scan_all(settings).items():
        assert frame.collect().columns[0], table
    assert tables.scan(settings, names.TRANSACTIONS).collect().height > 0
    assert tables.quarantine(settings).collect().height >= 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [place]
    assert not pipeline.load(settings, demo.project(settings)).changed


def test_a_project_in_a_folder_with_brackets_is_loaded(company: Any) -> None:
    company.folder = company.folder / "shop [old]"
    company.mapping = MAPPING.replace("FILES", "data/*.csv")
    company.sales("data/a [1].csv", JANUARY)
    company.sales("data/b.csv", FEBRUARY)
    company.load()
    assert company.table(names.TRANSACTIONS).height == 2
