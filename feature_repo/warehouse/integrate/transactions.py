"""Purchase lines, month by month; a coupon on the whole basket is added to the basket's dearest line."""

from collections.abc import Callable, Iterator
from typing import Final

import polars as pl

from feature_repo.warehouse import parts
from feature_repo.warehouse.contract import LINE, ROW, coupon_line
from feature_repo.warehouse.duplicates import UNIT
from feature_repo.warehouse.integrate import imputing, months
from feature_repo.warehouse.integrate.months import Month
from feature_repo.warehouse.integrate.table import Clean, Place, aliased, chunks, merge, ordered, reject, scan_month
from feature_repo.warehouse.state import Integrated
from motherlode import names

COUPON: Final = "coupon on the whole basket"

_BASKET: Final = [names.CUSTOMER_ID, names.BASKET_ID, names.EVENT_TIMESTAMP]
_DECIMALS: Final = 4
"""Of a sum of two amounts: finer than any currency, coarse enough to lose float dust."""


def integrate(place: Place, clean: Clean, aliases: pl.DataFrame, on_rows: Callable[[int], None]) -> Integrated:
    """Every purchase line of every month.

    Args:
        place, clean: whose, and what of.
        aliases: `customer_id`, `into_customer_id`.
        on_rows: told how many rows were written.
    """

    def make(month: Month) -> None:
        _make(place, clean, aliases, month, on_rows)

    return months.integrate(place, clean, aliases, make)


def _make(place: Place, clean: Clean, aliases: pl.DataFrame, month: Month, on_rows: Callable[[int], None]) -> None:
    coupons, added = _coupons(place, clean, month.name)
    placed = coupons.filter(pl.col("into_row").is_not_null())
    orphans = coupons.filter(pl.col("into_row").is_null())
    month.outcome.merged.append(merge(clean, placed, COUPON, month.name))
    remedy = "Land the lines of the basket that the coupon was used on."
    month.outcome.rejected.append(
        reject(clean, orphans, names.COUPON_DISCOUNT, "coupon without a purchase", remedy, month.name)
    )
    lines: Iterator[pl.DataFrame] = (
        _with_coupons(rows, coupons, added) for rows in chunks(place.settings, clean, month.name)
    )
    if clean.impute:
        whole = pl.concat([pl.DataFrame(schema=_schema(clean)), *lines])
        lines = iter([imputing.fill(clean, whole, month.past, month.outcome, month.name)])
    for rows in lines:
        month.write(ordered(clean.table, aliased(rows, aliases)))
        on_rows(rows.height)


def _schema(clean: Clean) -> dict[str, pl.DataType]:
    return {UNIT: pl.UInt32(), ROW: pl.UInt32(), LINE: pl.UInt32(), **clean.columns}


def _coupons(place: Place, clean: Clean, month: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The month's coupon lines with the line that each is added to; and what each such line gains."""
    wanted = [*_BASKET, names.ITEM_ID, names.QUANTITY, names.AMOUNT, names.COUPON_DISCOUNT]
    rows = scan_month(place.settings, clean, month, wanted)
    coupons = rows.filter(coupon_line()).collect(engine="streaming").sort(UNIT, ROW)
    into = pl.DataFrame(schema={"into_unit": pl.UInt32(), "into_row": pl.UInt32(), "into_line": pl.UInt32()})
    if not coupons.height:
        return pl.concat([coupons, into], how="diagonal"), pl.DataFrame(
            schema={UNIT: pl.UInt32(), ROW: pl.UInt32(), "added": pl.Float64()}
        )
    baskets = coupons.select(_BASKET).unique()
    dearest = (
        rows.filter(pl.col(names.BASKET_ID).is_in(baskets[names.BASKET_ID].implode()) & ~coupon_line())
        .join(baskets.lazy(), on=_BASKET, how="semi")
        .collect(engine="streaming")
        .sort([names.AMOUNT, names.ITEM_ID, UNIT, ROW], descending=[True, False, False, False])
        .group_by(_BASKET, maintain_order=True)
        .agg(
            pl.col(UNIT).first().alias("into_unit"),
            pl.col(ROW).first().alias("into_row"),
            pl.col(LINE).first().alias("into_line"),
        )
    )
    coupons = coupons.join(dearest, on=_BASKET, how="left", maintain_order="left")
    added = (
        coupons.filter(pl.col("into_row").is_not_null())
        .group_by(pl.col("into_unit").alias(UNIT), pl.col("into_row").alias(ROW), maintain_order=True)
        .agg(pl.col(names.COUPON_DISCOUNT).sum().alias("added"))
    )
    return coupons, added


def _with_coupons(rows: pl.DataFrame, coupons: pl.DataFrame, added: pl.DataFrame) -> pl.DataFrame:
    if not coupons.height:
        return rows
    total = (pl.col(names.COUPON_DISCOUNT) + pl.col("added")).round(_DECIMALS)
    return (
        rows.filter(~coupon_line())
        .join(added, on=[UNIT, ROW], how="left", maintain_order="left")
        .with_columns(pl.coalesce(total, names.COUPON_DISCOUNT).alias(names.COUPON_DISCOUNT))
        .drop("added")
    )


def seen(place: Place, table: Integrated, column: str) -> pl.DataFrame:
    """A column's distinct values in an integrated table, ascending."""
    scans = parts.scan(place.settings, table.parts.values())
    if not scans:
        return pl.DataFrame(schema={column: pl.String})
    # Month by month: the distinct values of one month are few, whatever its rows.
    found = [scan.select(pl.col(column).unique()).collect(engine="streaming") for scan in scans]
    return pl.concat(found).unique().drop_nulls().sort(column)
