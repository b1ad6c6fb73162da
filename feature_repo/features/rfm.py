"""Recency, frequency, monetary value, their scores within the snapshot, and the segment that follows from them.

Grain: customer × snapshot, of those who had bought something. Source: `transactions`.

Purchases are the lines of more than nought pieces. Recency and tenure are days, with their fraction, since the
newest and the oldest of them. Frequency counts baskets, each at its first purchase. Monetary value is what was paid
less what was paid back for returns, in the currency of the table. `_28d`, `_84d` and `_364d` are over the last so many
days, `_total` over all before the snapshot.

The scores are quintiles of `recency_days`, `frequency_total` and `monetary_total` among the customers of the snapshot
(A. M. Hughes, *Strategic Database Marketing*, 1994), ⌈5 (r - ½) / n⌉ of the mean rank r among n customers: 5 is best,
customers that are equal score equal.

`rfm_class` is the segment by the recency score and by the mean, rounded up, of the other two. Its names and the scores
they stand for are those commonly published (Putler, "RFM Analysis for Successful Customer Segmentation"); there they
overlap, here each pair of scores has one: see `CLASSES`.
"""

from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.frames import (
    AGE,
    LAST,
    SNAPSHOT,
    Tables,
    baskets,
    begun,
    days,
    finish,
    micros,
    money,
    seen,
    sums,
)
from feature_repo.features.view import Feature
from motherlode import names

READS: Final = (names.TRANSACTIONS,)

WINDOWS: Final = {windows.label(window): window for window in (windows.MONTH, windows.QUARTER, windows.YEAR)}

SCORES: Final = {
    "recency_score": ("recency_days", -1),
    "frequency_score": ("frequency_total", 1),
    "monetary_score": ("monetary_total", 1),
}
"""Score → the feature that it ranks, and whether more (1) or less (-1) of it is better."""

ACROSS: Final = (*SCORES, "rfm_class")

CLASSES: Final = {
    5: ("new", "potential_loyalist", "potential_loyalist", "champions", "champions"),
    4: ("promising", "potential_loyalist", "potential_loyalist", "loyal", "loyal"),
    3: ("about_to_sleep", "about_to_sleep", "need_attention", "loyal", "loyal"),
    2: ("hibernating", "hibernating", "at_risk", "at_risk", "cannot_lose"),
    1: ("lost", "hibernating", "at_risk", "at_risk", "cannot_lose"),
}
"""Recency score → the class by the score of frequency and monetary value, from 1 to 5."""

_FLOAT: Final = pl.Float32()
_SCORE: Final = pl.Int32()

FEATURES: Final = {
    "recency_days": Feature(_FLOAT, "days", "since the newest purchase"),
    "tenure_days": Feature(_FLOAT, "days", "since the first purchase"),
    **{f"frequency_{label}": Feature(_FLOAT, "baskets", f"bought in the last {label}") for label in WINDOWS},
    "frequency_total": Feature(_FLOAT, "baskets", "ever bought"),
    **{
        f"monetary_{label}": Feature(_FLOAT, "currency", f"paid in the last {label}, less what was paid back")
        for label in WINDOWS
    },
    "monetary_total": Feature(_FLOAT, "currency", "ever paid, less what was paid back"),
    "recency_score": Feature(_SCORE, "1–5", "quintile of recency_days within the snapshot; 5 is the most recent"),
    "frequency_score": Feature(_SCORE, "1–5", "quintile of frequency_total within the snapshot; 5 is the most often"),
    "monetary_score": Feature(_SCORE, "1–5", "quintile of monetary_total within the snapshot; 5 is the most"),
    "rfm_class": Feature(pl.String(), "text", "segment by the scores: champions, loyal, at_risk, lost, ..."),
}

_STORED: Final = {name: feature.dtype for name, feature in FEATURES.items() if name not in ACROSS}


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `rfm` without its scores and class; see the module for units and sources."""
    moments = baskets(tables).with_columns((pl.col("bought") - pl.col("returned")).alias("net"))
    rows = seen(begun(tables), snapshots)
    found = sums(moments, rows, ("begins", "net", "lines"), WINDOWS, windowed=("begins", "net"), lasts={LAST: "lines"})
    measured = found.with_columns(
        days(micros(pl.col(SNAPSHOT)) - pl.col(LAST)).alias("recency_days"),
        days(pl.col(AGE)).alias("tenure_days"),
        pl.col("begins").alias("frequency_total"),
        money(pl.col("net")).alias("monetary_total"),
        *(pl.col(f"begins_{label}").alias(f"frequency_{label}") for label in WINDOWS),
        *(money(pl.col(f"net_{label}")).alias(f"monetary_{label}") for label in WINDOWS),
    )
    return finish(measured, _STORED)


def across(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows with scores and class: every customer of a snapshot is compared with all others of it."""
    scored = rows.with_columns(
        quintile(sign * pl.col(feature)).cast(_SCORE).alias(score) for score, (feature, sign) in SCORES.items()
    )
    return scored.with_columns(_class().alias("rfm_class"))


def quintile(value: pl.Expr) -> pl.Expr:
    """1..5 by rank within the snapshot, 5 for the highest; equal values share their mean rank.

    ⌈5 · (rank - ½) / n⌉ in whole numbers, twice the rank being whole; customers that are all equal get 3.
    """
    twice = (2 * value.rank("average").over(names.EVENT_TIMESTAMP)).cast(pl.Int64) - 1
    customers = pl.len().over(names.EVENT_TIMESTAMP).cast(pl.Int64)
    return (windows.QUANTILES * twice + 2 * customers - 1) // (2 * customers)


def _class() -> pl.Expr:
    """The class of CLASSES, from the scores."""
    value = (pl.col("frequency_score") + pl.col("monetary_score") + 1) // 2
    cell = 10 * pl.col("recency_score") + value
    cells: dict[str, list[int]] = {}
    for recency, classes in CLASSES.items():
        for score, name in enumerate(classes, start=1):
            cells.setdefault(name, []).append(10 * recency + score)
    text = pl.lit(None, dtype=pl.String)
    for name, its in cells.items():
        text = pl.when(cell.is_in(its)).then(pl.lit(name)).otherwise(text)
    return text
