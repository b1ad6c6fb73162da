"""Items: the catalogue, and what was sold without standing in it."""

from typing import Final

import polars as pl

from feature_repo.warehouse.integrate import imputing
from feature_repo.warehouse.integrate.table import Clean, Outcome, Place, digest_of, whole, write_whole
from feature_repo.warehouse.state import Integrated
from motherlode import names

_INTEGER: Final = r"^(0|-?[1-9][0-9]{0,17})$"
"""An integer as a machine writes it: `007` is none, since it would come back as 7."""


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
    if every[names.OUTSIDE_ID].str.contains(_INTEGER).all():
        every = every.with_columns(pl.col(names.OUTSIDE_ID).cast(pl.Int64))
    return write_whole(place, clean, every, inputs, outcome)
