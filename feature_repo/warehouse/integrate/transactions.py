"""Purchase lines, month by month; a coupon on the whole basket is added to the basket's dearest line."""

from collections.abc import Callable
from typing import Final

import polars as pl

from feature_repo.warehouse import parts
from feature_repo.warehouse.contract import LINE, ROW, RULES, coupon_line
from feature_repo.warehouse.duplicates import UNIT
from feature_repo.warehouse.integrate import imputing, months
from feature_repo.warehouse.integrate.months import Month
from feature_repo.warehouse.integrate.table import (
    INTO,
    Clean,
    Place,
    aliased,
    chunks,
    merge,
    ordered,
    reject,
    scan_month,
)
from feature_repo.warehouse.state import Integrated
from motherlode import names

COUPON: Final = "coupon on the whole basket"

_BASKET: Final = [names.CUSTOMER_ID, names.BASKET_ID, names.EVENT_TIMESTAMP]
_WANTED: Final = [*_BASKET, names.ITEM_ID, names.QUANTITY, names.AMOUNT, names.COUPON_DISCOUNT]
_NO_PIECES: Final = next(rule for rule in RULES[names.TRANSACTIONS] if rule.name == "no pieces")
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

    return months.integrate(place, clean, aliases, make, *imputing.versions(clean))


def _make(place: Place, clean: Clean, aliases: pl.DataFrame, month: Month, on_rows: Callable[[int], None]) -> None:
    # Whose a line is decides what it is filled from, and what is filled in decides whether it is a coupon.
    frames = (aliased(rows, aliases) for rows in chunks(place.settings, clean, month.name))
    if clean.impute:
        whole = pl.concat([pl.DataFrame(schema=_schema(clean)), *frames])
        filled = _sound(clean, imputing.fill(clean, whole, month.past, month.outcome, month.name), month)
        frames = (rows for rows in [filled])
        coupons, added = _coupons(filled.lazy().select(UNIT, ROW, LINE, *_WANTED))
    else:
        rows = scan_month(place.settings, clean, month.name, _WANTED)
        person = pl.col(names.CUSTOMER_ID).replace(aliases[names.CUSTOMER_ID], aliases[INTO])
        coupons, added = _coupons(rows.with_columns(person) if aliases.height else rows)
    placed = coupons.filter(pl.col("into_row").is_not_null())
    orphans = coupons.filter(pl.col("into_row").is_null())
    month.outcome.merged.append(merge(clean, placed, COUPON, month.name))
    remedy = "Land the lines of the basket that the coupon was used on."
    month.outcome.rejected.append(
        reject(clean, orphans, names.COUPON_DISCOUNT, "coupon without a purchase", remedy, month.name)
    )
    for frame in frames:
        lines = _with_coupons(frame, coupons, added)
        month.write(ordered(clean.table, lines))
        on_rows(lines.height)


def _sound(clean: Clean, rows: pl.DataFrame, month: Month) -> pl.DataFrame:
    """Rows without those that were filled in to be neither a sale, a return nor a coupon."""
    rule = _NO_PIECES
    broken = rows.filter(rule.broken)
    month.outcome.rejected.append(reject(clean, broken, rule.column, rule.name, rule.remedy, month.name))
    return rows.filter(rule.broken.not_().fill_null(True)) if broken.height else rows


def _schema(clean: Clean) -> dict[str, pl.DataType]:
    return {UNIT: pl.UInt32(), ROW: pl.UInt32(), LINE: pl.UInt32(), **clean.columns}


def _coupons(rows: pl.LazyFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A month's coupon lines with the line that each is added to; and what each such line gains."""
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
