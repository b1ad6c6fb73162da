"""Opinions: how content a customer is, by what it wrote and how it rated.

Grain: customer × snapshot, for every customer with feedback before the snapshot, from `feedback`. Sentiment runs from
-1 (bad) to 1 (good), ratings as the company counts them, both to four decimals. The latest is that of the newest
feedback that has one; notes of one moment count by their mean. A note is negative below `windows.NEGATIVE`, as VADER
has it (C. J. Hutto, E. Gilbert, *VADER*, ICWSM 2014). Means and shares are null where there is nothing to take them
of.
"""

from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.frames import (
    AT,
    LAST,
    MONEY_UNIT,
    SNAPSHOT,
    Tables,
    days,
    finish,
    known,
    micros,
    money,
    seen,
    share,
    sums,
)
from feature_repo.features.view import Feature
from motherlode import names

READS: Final = (names.FEEDBACK,)

_SPAN: Final = windows.HALF_YEAR
_LABEL: Final = windows.label(_SPAN)
_LATELY: Final = f"the last {_SPAN.days} days"

_NUMBER: Final = pl.Float32()
FEATURES: Final = {
    "feedback_total": Feature(_NUMBER, "notes", "notes and ratings so far"),
    f"feedback_{_LABEL}": Feature(_NUMBER, "notes", f"notes and ratings in {_LATELY}"),
    "days_since_feedback": Feature(_NUMBER, "days", "since the newest note or rating"),
    "sentiment_latest": Feature(_NUMBER, "-1 to 1", "of the newest note that has one"),
    f"sentiment_mean_{_LABEL}": Feature(_NUMBER, "-1 to 1", f"mean over {_LATELY}"),
    "negative_share": Feature(
        _NUMBER, "share 0–1", f"of all notes that have a sentiment, those below {windows.NEGATIVE}"
    ),
    f"negative_share_{_LABEL}": Feature(_NUMBER, "share 0–1", f"the same over {_LATELY}"),
    "rating_latest": Feature(_NUMBER, "as the company counts it", "the newest rating"),
    f"rating_mean_{_LABEL}": Feature(_NUMBER, "as the company counts it", f"mean over {_LATELY}"),
}

_WINDOW: Final = {_LABEL: _SPAN}
_WHO: Final = names.CUSTOMER_ID
_SCORES: Final = (names.SENTIMENT, names.RATING)


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `opinions`; see the module for units and sources."""
    notes = _notes(tables)
    first = notes.group_by(_WHO).agg(pl.col(names.EVENT_TIMESTAMP).min())
    rows = seen(first, snapshots).select(SNAPSHOT, _WHO)
    values = ["notes", "negative", *_SCORES, *(f"{name}_notes" for name in _SCORES)]
    counted = sums(notes, rows, values, _WINDOW).join(_latest(notes, rows), on=[SNAPSHOT, _WHO], how="left")
    means = [
        money(share(pl.col(f"{name}_{_LABEL}"), pl.col(f"{name}_notes_{_LABEL}"))).alias(f"{name}_mean_{_LABEL}")
        for name in _SCORES
    ]
    measured = counted.with_columns(
        pl.col("notes").alias("feedback_total"),
        pl.col(f"notes_{_LABEL}").alias(f"feedback_{_LABEL}"),
        days(micros(pl.col(SNAPSHOT)) - pl.col(LAST)).alias("days_since_feedback"),
        share(pl.col("negative"), pl.col("sentiment_notes")).alias("negative_share"),
        share(pl.col(f"negative_{_LABEL}"), pl.col(f"sentiment_notes_{_LABEL}")).alias(f"negative_share_{_LABEL}"),
        *means,
    )
    return finish(measured, FEATURES)


def _notes(tables: Tables) -> pl.LazyFrame:
    """A row a note: its scores in ten-thousandths, 0 where it has none, and 1 for what it has."""
    scores = {name: (pl.col(name).cast(pl.Float64) * MONEY_UNIT).round(0).cast(pl.Int64) for name in _SCORES}
    return tables[names.FEEDBACK].select(
        _WHO,
        names.EVENT_TIMESTAMP,
        pl.lit(1, dtype=pl.Int64).alias("notes"),
        (scores[names.SENTIMENT] < round(windows.NEGATIVE * MONEY_UNIT))
        .fill_null(value=False)
        .cast(pl.Int64)
        .alias("negative"),
        *(score.fill_null(0).alias(name) for name, score in scores.items()),
        *(score.is_not_null().cast(pl.Int64).alias(f"{name}_notes") for name, score in scores.items()),
    )


def _latest(notes: pl.LazyFrame, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows with `<score>_latest`."""
    moments = notes.group_by(_WHO, micros(pl.col(names.EVENT_TIMESTAMP)).alias(AT)).agg(
        pl.col(name).sum() for each in _SCORES for name in (each, f"{each}_notes")
    )
    latest = [f"{name}_latest" for name in _SCORES]
    states = moments.select(
        _WHO, AT, *(money(share(pl.col(name), pl.col(f"{name}_notes"))).alias(f"{name}_latest") for name in _SCORES)
    )
    dated = rows.with_columns(micros(pl.col(SNAPSHOT)).alias(AT))
    return dated.join(known(states, dated.select(_WHO, AT), [_WHO], latest), on=[_WHO, AT], how="left").drop(AT)
