"""Scores every customer in one go, from the same snapshots and by the same rules as serving."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from feature_repo import store
from feature_repo.mart import manifest
from feature_repo.warehouse import tables
from motherlode import names
from motherlode.bundle import Bundle
from motherlode.manifest import CAMPAIGN, Model
from motherlode.online.reader import ViewRequest
from motherlode.runtime import Runtime
from motherlode.settings import Settings
from training.inputs import matrix

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
    frame = store.training_frame(settings, tables.outside_ids(settings).with_columns(time), names.SCORING)
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
    models = bundle.manifest.models
    asked = {name: model for name, model in models.items() if _is_asked(model, campaign_type)}
    fresh = {name: frame.select(pl.any_horizontal(_finite([model]))).to_series() for name, model in asked.items()}
    typed, runtime = frame.with_columns(pl.lit(campaign_type, pl.String).alias(names.CAMPAIGN_TYPE)), Runtime(bundle)
    answers = {
        name: pl.Series(name, runtime.run(name, matrix(typed, model.inputs))).set(~fresh[name], None)
        for name, model in asked.items()
    }
    scores = [answers.get(name, pl.Series(name, [None] * frame.height, pl.Float32)) for name in models]
    segments = {segment.id: segment.name for segment in bundle.manifest.segments}
    return (
        frame.select(
            names.OUTSIDE_ID,
            *_standing(_requests(bundle), at),
            pl.sum_horizontal(~each for each in _finite(models.values())).cast(pl.Int32).alias("imputed"),
        )
        .with_columns(scores)
        .rename({names.SEGMENTS: "segment_id"})
        .with_columns(
            pl.col("segment_id").replace_strict(segments, return_dtype=pl.String, default=None).alias("segment"),
            _note(fresh).alias("note"),
        )
    )


def _is_asked(model: Model, campaign_type: str | None) -> bool:
    """Whether a model can answer.

    Raises:
        ValueError: it was not trained on this campaign type.
    """
    kinds = [each.name for each in model.inputs if each.view == CAMPAIGN]
    if kinds and campaign_type is not None and campaign_type not in kinds:
        raise ValueError(f"Campaign type {campaign_type!r} is unknown. Known: {', '.join(kinds)}.")
    return not kinds or campaign_type is not None


def _requests(bundle: Bundle) -> list[ViewRequest]:
    """The views that the scorers read, as serving reads them."""
    views = {request.view: request for service in bundle.manifest.services.values() for request in service.views}
    inputs = [each for model in bundle.manifest.models.values() for each in model.inputs]
    return [views[view] for view in dict.fromkeys(each.view for each in inputs if each.view != CAMPAIGN)]


def _newest(settings: Settings, view: str, at: datetime) -> pl.DataFrame:
    """`customer_id` and the time of the newest snapshot of it, however old, as `<view>__event_timestamp`."""
    rows = manifest.scan(settings, view).filter(pl.col(names.EVENT_TIMESTAMP) <= at)
    return rows.group_by(names.CUSTOMER_ID).agg(pl.col(names.EVENT_TIMESTAMP).max().alias(_time(view))).collect()


def _standing(requests: Sequence[ViewRequest], at: datetime) -> tuple[pl.Expr, pl.Expr]:
    """What an answer rests on: `status` and `event_timestamp`."""
    times = [pl.col(_time(request.view)) for request in requests]
    old = [
        pl.col(_time(request.view)) < at - timedelta(seconds=request.ttl_s)
        for request in requests
        if request.ttl_s is not None
    ]
    status = (
        pl.when(pl.all_horizontal(each.is_null() for each in times))
        .then(pl.lit("cold"))
        .when(pl.any_horizontal(pl.lit(value=False), *old))
        .then(pl.lit("stale"))
        .when(pl.any_horizontal(each.is_null() for each in times))
        .then(pl.lit("degraded"))
        .otherwise(pl.lit("ok"))
    )
    return status.alias("status"), pl.min_horizontal(times).alias(names.EVENT_TIMESTAMP)


def _finite(models: Iterable[Model]) -> list[pl.Expr]:
    """Of each feature that the models read, whether it is known."""
    inputs = [each for model in models for each in model.inputs if each.view != CAMPAIGN]
    columns = dict.fromkeys(f"{each.view}__{each.name}" for each in inputs)
    return [pl.col(column).cast(pl.Float32).is_finite().fill_null(value=False) for column in columns]


def _note(fresh: Mapping[str, pl.Series]) -> pl.Expr:
    """Which answers are null as nothing they rest on is fresh; null where none is, or all is unknown."""
    nulls = [pl.when(pl.lit(~known)).then(pl.lit(name)) for name, known in fresh.items()]
    listed = pl.concat_str(nulls, separator=", ", ignore_nulls=True)
    return pl.when((listed != "") & (pl.col("status") != "cold")).then(pl.lit(NOT_FRESH) + listed)


def _time(view: str) -> str:
    return f"{view}__{names.EVENT_TIMESTAMP}"
