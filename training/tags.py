"""Labels by models: the segment of every customer, as a bundle says it."""

from datetime import datetime
from typing import Final

import polars as pl

from motherlode import names

SEGMENT: Final = "segment: "
"""Before a segment's name, as a label of its customers."""
_SAME: Final = (names.CUSTOMER_ID, names.TAG, names.LABEL_VERSION)
_TIME: Final = pl.Datetime("us", "UTC")


def changes(scores: pl.DataFrame, standing: pl.DataFrame, version: str, at: datetime) -> pl.DataFrame:
    """What is to be given so that each customer has the label of its segment, and of no other.

    Args:
        scores: `customer_id` and `segment`, its name or null; the ids of one customer have one segment.
        standing: labels that were given, by the columns of `contract.SCHEMAS["tags"]`.
        version: of the bundle.
        at: from when the new labels are on, and until when the old ones were.

    Returns:
        Rows of the same columns: labels that begin, and labels that end. The model tells no probability of a segment:
        the confidence is 1.
    """
    time = pl.lit(at).cast(_TIME)
    now = (
        scores.filter(pl.col("segment").is_not_null())
        .unique(names.CUSTOMER_ID, maintain_order=True)
        .select(
            names.CUSTOMER_ID,
            pl.concat_str(pl.lit(SEGMENT), "segment").alias(names.TAG),
            pl.lit(names.MODEL).alias(names.ORIGIN),
            pl.lit(1.0).alias(names.CONFIDENCE),
            pl.lit(version).alias(names.LABEL_VERSION),
            time.alias(names.EVENT_TIMESTAMP),
            pl.lit(None, dtype=_TIME).alias(names.ENDED_AT),
        )
    )
    ours = (pl.col(names.ORIGIN) == names.MODEL) & pl.col(names.TAG).str.starts_with(SEGMENT)
    on = standing.filter(ours & pl.col(names.ENDED_AT).is_null())
    ended = on.join(now, on=_SAME, how="anti").with_columns(time.alias(names.ENDED_AT))
    return pl.concat([ended, now.join(on, on=_SAME, how="anti")])
