"""A company with many shops and everything that customer features are made of: `tills`, and the demo's other tables.

Each copy of a household takes its household's attributes, contacts and answers along, under its own number.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml

from benchmarks import tills
from feature_repo.warehouse.examples import example

PER_HOUSEHOLD: Final = ("demographics", "campaigns", "coupon_redemptions")
SHARED: Final = ("products", "campaign_descriptions")
TIME: Final = "transaction_timestamp"
_LATE_BASKETS: Final = 10**15
"""Above every basket number of `tills`."""
_SHARE: Final = 101
"""A late file holds the lines of one household in as many."""


def write(folder: Path, lines: int) -> Path:
    """A project of `lines` purchase lines as Parquet, with items, customers, campaigns, contacts and responses."""
    tills.write(folder, lines, "parquet")
    copies = -(-lines // tills.demo().height)
    for name in SHARED:
        tills.demo(name).write_parquet(folder / "data" / f"{name}.parquet")
    for name in PER_HOUSEHOLD:
        _multiplied(tills.demo(name), copies).write_parquet(folder / "data" / f"{name}.parquet")
    (folder / "motherlode.yaml").write_text(yaml.safe_dump(_mapping(), sort_keys=False))
    return folder


def one_more_day(folder: Path) -> int:
    """Land a file of new baskets on the last day there is: those of a week before, again; how many lines."""
    files = sorted((folder / "data").glob("lines-*.parquet"))
    last = pl.scan_parquet(files, glob=False).select(pl.col(TIME).max()).collect().item()
    return _again(files, folder, "day", last - timedelta(days=8), timedelta(days=1), timedelta(days=7))


def a_late_file(folder: Path, weeks: int) -> int:
    """Land a week's new baskets of one household in a hundred, `weeks` before the end; how many lines."""
    files = sorted((folder / "data").glob("lines-*.parquet"))
    last = pl.scan_parquet(files, glob=False).select(pl.col(TIME).max()).collect().item()
    return _again(files, folder, "late", last - timedelta(weeks=weeks), timedelta(weeks=1), timedelta(0), _SHARE)


def _again(
    files: list[Path],
    folder: Path,
    name: str,
    start: datetime,
    span: timedelta,
    moved: timedelta,
    one_in: int = 1,
) -> int:
    time, household = pl.col(TIME), pl.col("household_id")
    lines = (
        pl.scan_parquet(files, glob=False)
        .filter((time >= start) & (time < start + span) & (household % one_in == 0))
        .with_columns(time + moved, pl.col("basket_id") + _LATE_BASKETS)
        .collect(engine="streaming")
    )
    lines.write_parquet(folder / "data" / f"lines-{name}.parquet")
    return lines.height


def _multiplied(table: pl.DataFrame, copies: int) -> pl.DataFrame:
    household = pl.col("household_id")
    return pl.concat([table.with_columns(household + copy * tills.HOUSEHOLDS) for copy in range(copies)])


def _mapping() -> dict[str, Any]:
    """The demo's mapping of every table but the lines, which `tills` maps; all from files of the project."""
    demo = yaml.safe_load((example("demo") / "motherlode.yaml").read_text())
    ours = yaml.safe_load(tills.MAPPING.format(format="parquet"))
    others = {name: {"files": f"data/{name}.parquet"} for name in (*SHARED, *PER_HOUSEHOLD)}
    tables = {**demo["tables"], "transactions": ours["tables"]["transactions"]}
    return {**ours, "sources": {**ours["sources"], **others}, "tables": tables}
