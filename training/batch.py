"""Scores every customer in one go, from the same snapshots and the same models that serving uses."""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_repo import store, warehouse
from motherlode import names
from motherlode.bundle import Bundle, Model
from motherlode.runtime import Runtime
from motherlode.settings import Settings

CAMPAIGN = "campaign"


def score_all(
    settings: Settings, bundle: Bundle, campaign_type: str | None = None, at: datetime | None = None
) -> pl.DataFrame:
    """Every customer's segment and scores, from the newest snapshot that is not stale.

    Args:
        settings: whose warehouse and mart.
        bundle: whose models.
        campaign_type: what the response score is for; None leaves it null.
        at: the time to score at; now by default.

    Returns:
        `outside_id` as the company has it, `event_timestamp` of the snapshot, `segment_id`, `segment`,
        one column a score, `imputed` (how many features were null). A customer without a fresh snapshot
        keeps its row, all null.

    Raises:
        DataError, StoreError: nothing was landed, or no snapshot was built.
        ValueError: no model was trained on the campaign type; the text names those that were.
    """
    customers = warehouse.outside_ids(settings)
    labels = customers.with_columns(
        pl.lit(at or datetime.now(UTC)).dt.cast_time_unit("us").alias(names.EVENT_TIMESTAMP)
    )
    frame = store.training_frame(settings, labels, names.SCORING)
    runtime = Runtime(bundle)
    known = ~frame.select(pl.all_horizontal(pl.exclude(labels.columns).is_null())).to_series()
    scores = [
        _column(frame, known, runtime, name, model, campaign_type) for name, model in bundle.manifest.models.items()
    ]
    segments = {segment.id: segment.name for segment in bundle.manifest.segments}
    answer = frame.select(
        names.OUTSIDE_ID,
        pl.sum_horizontal(pl.exclude(labels.columns).is_null()).cast(pl.Int32).alias("imputed"),
    ).with_columns(scores)
    return answer.rename({names.SEGMENTS: "segment_id"}).with_columns(
        pl.col("segment_id").replace_strict(segments, return_dtype=pl.String, default=None).alias("segment")
    )


def _column(
    frame: pl.DataFrame, known: pl.Series, runtime: Runtime, name: str, model: Model, campaign_type: str | None
) -> pl.Series:
    kinds = [each.name for each in model.inputs if each.view == CAMPAIGN]
    if kinds and campaign_type is None:
        return pl.Series(name, [None] * frame.height, dtype=pl.Float32)
    if kinds and campaign_type not in kinds:
        raise ValueError(f"Campaign type {campaign_type!r} is unknown. Known: {', '.join(kinds)}.")
    answer = runtime.run(name, matrix(frame, model, campaign_type))
    return pl.Series(name, answer).set(~known, None)


def matrix(frame: pl.DataFrame, model: Model, campaign_type: str | None) -> npt.NDArray[np.float32]:
    """A model's inputs, nulls imputed by the bundle's defaults: float32, shape (rows, inputs)."""
    columns = [
        pl.lit(1.0 if each.name == campaign_type else 0.0, dtype=pl.Float32).alias(f"{CAMPAIGN}__{each.name}")
        if each.view == CAMPAIGN
        else pl.col(f"{each.view}__{each.name}").cast(pl.Float32).fill_nan(None).fill_null(each.default)
        for each in model.inputs
    ]
    return np.ascontiguousarray(frame.select(columns).to_numpy(), dtype=np.float32)
