"""The labels of segments, given to every customer once a bundle is published: for `run`, `demo` and `publish`."""

from datetime import UTC, datetime

from feature_repo.mart import given, manifest
from feature_repo.warehouse import tables
from motherlode import bundle, bundles, names
from motherlode.errors import DataError
from motherlode.manifest import CAMPAIGN, Manifest
from motherlode.settings import Settings
from training.batch import score_all
from training.tags import changes


def give_segments(settings: Settings, at: datetime | None = None) -> int:
    """Give every customer the label of its segment, by the current bundle, and withdraw those that are so no more.

    Args:
        settings: whose bundle, warehouse and mart.
        at: from when the labels are on, and the time to score at; now by default.

    Returns:
        How many labels were given or withdrawn; 0 where nothing changed, or no snapshot was built here.

    Raises:
        BundleError: none is current.
        DataError, StoreError: as `score_all`; the snapshots here are not those that the bundle reads; another process
            gives at this moment.
    """
    if not manifest.read(settings).views:
        return 0
    serving = bundle.load(bundles.current(settings.models), settings.trusted_keys)
    at = at or datetime.now(UTC)
    bundle.require_identity(serving.manifest, settings.identity)
    require_features(settings, serving.manifest)
    known = tables.outside_ids(settings)
    scores = score_all(settings, serving, at=at).join(known, on=names.OUTSIDE_ID, how="inner", maintain_order="left")
    standing = given.scan(settings).collect().join(known, on=names.CUSTOMER_ID, how="semi")
    labels = changes(scores, standing, serving.manifest.version, at)
    given.give(settings, labels)
    return labels.height


def require_features(settings: Settings, made: Manifest) -> None:
    """Check that the snapshots have what a bundle's scorers read: it may come from another machine.

    Raises:
        DataError: they lack a feature, naming it.
    """
    inputs = [each for model in made.models.values() for each in model.inputs if each.view != CAMPAIGN]
    built = manifest.read(settings).views
    read = {each.view for each in inputs if each.view in built}
    there = {view: set(manifest.scan(settings, view).collect_schema()) for view in read}
    missing = [f"{each.view}__{each.name}" for each in inputs if each.name not in there.get(each.view, ())]
    if missing:
        raise DataError(
            f"No customer can be labelled: bundle {made.version} reads {missing[0]}, "
            f"which the snapshots in {settings.mart} do not have.",
            "Run `motherlode features`, then `motherlode train`.",
        )
