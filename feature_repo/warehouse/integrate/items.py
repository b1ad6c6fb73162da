"""Items: the catalogue, and what was sold without standing in it."""

import polars as pl

from feature_repo.warehouse.integrate import imputing
from feature_repo.warehouse.integrate.table import Clean, Outcome, Place, digest_of, whole, write_whole
from feature_repo.warehouse.state import Integrated
from feature_repo.warehouse.tables import INTEGER
from motherlode import names


def integrate(place: Place, clean: Clean, sold: pl.DataFrame) -> Integrated:
    """The catalogue, and what was sold without standing in it, by its id alone.

    Args:
        place, clean: whose, and what of.
        sold: items of transactions, `item_id`.
    """
    inputs = clean.inputs(digest_of(sold), *imputing.versions(clean))
    if (known := place.kept(names.ITEMS, inputs)) is not None:
        return known
    outcome = Outcome()
    rows = imputing.fill(clean, whole(place.settings, clean), None, outcome)
    unlisted = sold.join(rows, on=names.ITEM_ID, how="anti", maintain_order="left").with_columns(
        pl.col(names.ITEM_ID).alias(names.OUTSIDE_ID),
        pl.concat_str(pl.lit("Item "), names.ITEM_ID).alias(names.ITEM_NAME),
    )
    outcome.derived = unlisted.height
    every = pl.concat([rows, unlisted], how="diagonal")
    if every[names.OUTSIDE_ID].str.contains(INTEGER).all():
        every = every.with_columns(pl.col(names.OUTSIDE_ID).cast(pl.Int64))
    return write_whole(place, clean, every, inputs, outcome)
