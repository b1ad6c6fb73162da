"""Training as one job: labels and frames, every model, the report, a verified bundle."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from feature_repo import store
from feature_repo.mart import manifest
from feature_repo.warehouse import lineage
from feature_repo.warehouse import tables as integrated
from motherlode import __version__, bundle, bundles, names
from motherlode.compute import Compute
from motherlode.errors import BundleError, DataError
from motherlode.manifest import Manifest, Quality
from motherlode.settings import Settings
from training import churn, labels, publish, response, segments
from training.evaluate import Evidence
from training.popular import SEGMENT, popular
from training.publish import Origin, Recommender
from training.report import Distribution, Plane, Profile, ReportData, distribution, render
from training.segments import Segmentation
from training.shelf import stock_up
from training.two_tower import fit as two_tower
from training.two_tower.train import Options

SEED: Final = 0
STEPS: Final = 6 + Options().epochs + 2
"""How often `train` calls `on_step`: frames, three scorers, the recommender's passes, the report, the bundle."""

_CODE: Final = {".py", ".html", ".css"}
_TOWER_VIEWS: Final = (names.RFM, names.AFFINITY)
_KEYS: Final = [names.CUSTOMER_ID, names.EVENT_TIMESTAMP]


@dataclass(frozen=True)
class _Frames:
    """What the models learn from.

    Attributes:
        tables: the integrated tables, by name.
        latest, before: the customers' features at the last snapshot, and at the one that segments are tested from.
        response, inactive: labels with the features at their time.
        tower: the weekly snapshots of the recommender's features.
    """

    tables: Mapping[str, pl.DataFrame]
    latest: pl.DataFrame
    before: pl.DataFrame
    response: pl.DataFrame
    inactive: pl.DataFrame
    tower: pl.DataFrame


def train(
    settings: Settings, compute: Compute, *, on_step: Callable[[str], None] | None = None, again: bool = False
) -> Path:
    """Train every model and write a verified bundle; it is not current before it is published.

    Args:
        settings: whose warehouse, mart and registry, and where the bundles lie.
        compute: the device, and why.
        on_step: told what was just finished, at most `STEPS` times.
        again: train even where the current bundle was made from this very data, code and device.

    Returns:
        The bundle's folder.

    Raises:
        DataError, StoreError: a stage before was not run, or its data hold too little.
        BundleError: the bundle does not answer as its training did; nothing is left behind.
    """
    advance = on_step or (lambda _: None)
    origin = _origin(settings)
    if not again and (valid := _still_valid(settings, compute, origin)) is not None:
        return valid
    frames = _frames(settings)
    advance("frames")
    segmentation = segments.fit(frames.latest, frames.before, compute)
    advance(names.SEGMENTS)
    left_out = _left_out(frames)
    scorers, evidence = [segmentation.fitted], {}
    if names.RESPONSE not in left_out:
        until = labels.known_until(frames.tables[names.TRANSACTIONS])
        fitted, evidence[names.RESPONSE] = response.fit(frames.response, until, compute)
        scorers.append(fitted)
    advance(names.RESPONSE)
    fitted, evidence[names.INACTIVE_28D] = churn.fit(frames.inactive, compute)
    scorers.append(fitted)
    advance(names.INACTIVE_28D)
    recommender, tower_quality = _recommender(frames, segmentation, compute, advance)
    quality = (*(row for scorer in scorers for row in scorer.quality), *tower_quality)
    folder = publish.write(
        settings,
        compute,
        origin,
        scorers,
        segmentation.segments,
        recommender,
        quality,
        left_out,
        lambda manifest: render(_report(manifest, frames, segmentation, evidence)),
    )
    advance("bundle")
    return folder


def _left_out(frames: _Frames) -> dict[str, str]:
    """Models that a company of this kind has no data for; data that is there and too little is an error instead."""
    if frames.response.is_empty():
        return {names.RESPONSE: "nobody was contacted in any campaign"}
    return {}


def data_fingerprint(settings: Settings) -> str:
    """SHA-256 over the integrated tables and the feature snapshots.

    Raises:
        DataError: nothing was built.
    """
    mart = manifest.read(settings)
    if not mart.views:
        raise DataError(f"There are no feature snapshots in {settings.mart}.", "Run `motherlode features`.")
    parts = {
        f"mart/{piece.path}": piece.sha256 for view in mart.views.values() for piece in (*view.pieces, *view.written)
    }
    if mart.customers is not None:
        parts["mart/customers"] = mart.customers.sha256
    return lineage.combine({"integrated": lineage.fingerprint(settings), **parts})


def code_fingerprint() -> str:
    """SHA-256 over every file of this room."""
    room = Path(__file__).parent
    return lineage.combine(
        {str(path.relative_to(room)): bundle.sha256(path) for path in room.rglob("*") if path.suffix in _CODE}
    )


def _origin(settings: Settings) -> Origin:
    services = (store.resolve(settings, name) for name in (names.SCORING, names.RECOMMENDATION))
    return Origin(
        created=datetime.now(UTC),
        data_fingerprint=data_fingerprint(settings),
        code_fingerprint=code_fingerprint(),
        services={service.name: service for service in services},
    )


def _still_valid(settings: Settings, compute: Compute, origin: Origin) -> Path | None:
    """A whole bundle of this origin, these libraries and this device: the current one, else the newest."""
    newest_first = [settings.models / version for version in reversed(bundles.versions(settings.models))]
    with suppress(BundleError):
        newest_first.insert(0, bundles.current(settings.models))
    for folder in newest_first:
        with suppress(BundleError):
            manifest = bundle.load(folder).manifest
            if origin.made(manifest) and (manifest.device, manifest.libraries) == (compute.kind, publish.libraries()):
                return folder
    return None


def _frames(settings: Settings) -> _Frames:
    tables = {name: table.collect() for name, table in integrated.scan_all(settings).items()}
    times = manifest.read(settings).snapshots
    last = times[-1]
    responded = labels.response_labels(tables[names.CONTACTS], tables[names.CAMPAIGNS], tables[names.RESPONSES])
    stayed = labels.inactivity_labels(tables[names.TRANSACTIONS], times)
    return _Frames(
        tables=tables,
        latest=_snapshot(settings, last),
        before=_snapshot(settings, max((each for each in times if each <= last - segments.AHEAD), default=times[0])),
        response=store.training_frame(settings, responded, names.SCORING),
        inactive=store.training_frame(settings, stayed, names.SCORING),
        tower=_weekly(settings),
    )


def _snapshot(settings: Settings, at: datetime) -> pl.DataFrame:
    """The customers of a snapshot with their features of service `scoring`."""
    every = manifest.scan(settings, names.RFM)
    rows = every.filter(pl.col(names.EVENT_TIMESTAMP) == at)
    return store.training_frame(settings, rows.select(_KEYS).sort(_KEYS).collect(), names.SCORING)


def _weekly(settings: Settings) -> pl.DataFrame:
    """Every weekly snapshot of the features that the recommender is asked with, side by side as `view__feature`."""
    service = store.resolve(settings, names.RECOMMENDATION)
    served = {request.view: [column.name for column in request.columns] for request in service.views}
    first, *others = (_prefixed(settings, view, served[view]) for view in _TOWER_VIEWS)
    for other in others:
        first = first.join(other, on=_KEYS, how="left")
    return first.sort(_KEYS).collect()


def _prefixed(settings: Settings, view: str, features: Sequence[str]) -> pl.LazyFrame:
    named = [pl.col(feature).alias(f"{view}__{feature}") for feature in features]
    return manifest.scan(settings, view).select(*_KEYS, *named)


def _recommender(
    frames: _Frames, segmentation: Segmentation, compute: Compute, advance: Callable[[str], None]
) -> tuple[Recommender, tuple[Quality, ...]]:
    transactions, items = frames.tables[names.TRANSACTIONS], frames.tables[names.ITEMS]
    fitted = two_tower.fit(
        transactions,
        items,
        frames.tower,
        compute,
        SEED,
        lambda done, passes: advance(f"two-tower, pass {done} of {passes}"),
    )
    members = frames.latest.select(names.CUSTOMER_ID).with_columns(pl.Series(SEGMENT, segmentation.labels))
    recommender = Recommender(
        tower=fitted.tower,
        onnx=fitted.onnx,
        items=stock_up(fitted.item_table, transactions, items),
        vectors=fitted.vectors,
        queries=fitted.queries,
        popular=popular(transactions, fitted.item_table.keys, members),
        history=fitted.history,
        features=fitted.features,
        answer=fitted.answer,
    )
    return recommender, fitted.quality


def _report(
    manifest: Manifest, frames: _Frames, segmentation: Segmentation, evidence: Mapping[str, Evidence]
) -> ReportData:
    times = frames.tables[names.TRANSACTIONS][names.EVENT_TIMESTAMP]
    return ReportData(
        title="What was trained, and how good it is",
        provenance={
            "bundle": manifest.version,
            "data": " to ".join(times.sort().gather([0, -1]).dt.strftime("%Y-%m-%d").to_list()),
            "device": f"{manifest.device}: {manifest.device_reason}",
            "trained at": manifest.created_at,
            "customers": f"{frames.latest.height:,}",
            "purchase lines": f"{len(times):,}",
            "data fingerprint": manifest.data_fingerprint,
            "code": manifest.git_revision or f"Motherlode {__version__}",
        },
        libraries=manifest.libraries,
        quality=manifest.quality,
        segments=manifest.segments,
        plane=Plane(segmentation.plane, segmentation.labels, segmentation.explained),
        profile=Profile(segmentation.profile_features, segmentation.profile),
        evidence=evidence,
        distributions=_distributions(frames.latest),
    )


def _distributions(latest: pl.DataFrame) -> tuple[Distribution, ...]:
    """Histograms of every numeric feature at the last snapshot."""
    found = []
    for column in latest.columns:
        view, split, feature = column.partition("__")
        if split and latest.schema[column].is_numeric():
            values = latest[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
            found.append(distribution(view, feature, values))
    return tuple(found)
