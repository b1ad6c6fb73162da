"""Scores every customer in one go, from the same snapshots and by the same rules as serving."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from feature_repo import store, warehouse
from feature_repo.features import snapshots
from motherlode import names
from motherlode.bundle import Bundle, Model
from motherlode.online import ViewRequest
from motherlode.runtime import Runtime
from motherlode.settings import Settings
from training.inputs import CAMPAIGN, matrix

NOT_FRESH: Final = "null, as no feature that they read is fresh: "
"""Before the answers that are null for that reason; serving says the same."""


def score_all(
    settings: Settings, bundle: Bundle, campaign_type: str | None = None, at: datetime | None = None
) -> pl.DataFrame:
    """Every customer's segment and scores, as serving gives them; see `score`.

    Args:
        settings: whose warehouse and mart.
        bundle: whose models.
        campaign_type: what the response score is for; None leaves it null.
        at: the time to score at; now by default.

    Raises:
        DataError, StoreError: nothing was landed, or no snapshot was built.
        ValueError: no model was trained on the campaign type; the text names those that were.
    """
    at = at or datetime.now(UTC)
    time = pl.lit(at).dt.cast_time_unit("us").alias(names.EVENT_TIMESTAMP)
    frame = store.training_frame(settings, warehouse.outside_ids(settings).with_columns(time), names.SCORING)
    for request in _requests(bundle):
        newest = _newest(settings, request.view, at)
        frame = frame.join(newest, on=names.CUSTOMER_ID, how="left", maintain_order="left", validate="m:1")
    return score(frame, bundle, campaign_type, at)


def score(frame: pl.DataFrame, bundle: Bundle, campaign_type: str | None, at: datetime) -> pl.DataFrame:
    """A frame's segments and scores.

    Args:
        frame: one row a customer: `outside_id`, `<view>__event_timestamp` of each view that the models read, null
            where it holds nothing of the customer, and the features as `store.training_frame` gives them.
        bundle: whose models.
        campaign_type: as in `score_all`.
        at: the time to judge ages by.

    Returns:
        `outside_id` as the company has it; `status`: "ok", "stale" (a snapshot is older than its time to live),
        "degraded" (a view holds nothing of the customer) or "cold" (none does); `event_timestamp` of the oldest
        snapshot, null where there is none; `imputed`, how many of the features that the models read are null;
        `segment_id` and one column a score, null where none of the features that its model reads is fresh;
        `segment`, its name; `note`, which answers are null for that reason.

    Raises:
        ValueError: as in `score_all`.
    """
    runtime, models = Runtime(bundle), bundle.manifest.models
    asked = [name for name, model in models.items() if _is_asked(model, campaign_type)]
    fresh = {name: pl.any_horizontal(_finite(column) for column in _columns([models[name]])) for name in asked}
    typed = frame.with_columns(pl.lit(campaign_type, pl.String).alias(names.CAMPAIGN_TYPE))
    answers = [pl.Series(name, runtime.run(name, matrix(typed, models[name].inputs))) for name in asked]
    segments = {segment.id: segment.name for segment in bundle.manifest.segments}
    judged = frame.select(
        names.OUTSIDE_ID,
        *_standing(_requests(bundle), at),
        pl.sum_horizontal(~_finite(column) for column in _columns(models.values())).cast(pl.Int32).alias("imputed"),
        *(pl.lit(None, pl.Float32).alias(name) for name in models if name not in asked),
        *(pl.when(fresh[each.name]).then(pl.lit(each)).alias(each.name) for each in answers),
        *_note(fresh),
    )
