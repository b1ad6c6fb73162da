"""The bundles that were trained while somebody's rows were there.

A bundle records when it was trained and a digest of what on, not on whom: every bundle that is younger than the first
landing of a file with their rows counts.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from feature_repo.erasure.certificate import Model
from feature_repo.warehouse import state
from feature_repo.warehouse.places import Place
from motherlode import bundle, bundles
from motherlode.errors import BundleError
from motherlode.settings import Settings

_EVER: Final = datetime.min.replace(tzinfo=UTC)


def trained(settings: Settings, places: Iterable[Place]) -> tuple[Model, ...]:
    """The bundles that count, the oldest first; one that cannot be read counts too.

    Args:
        settings: whose models.
        places: where their rows were found; none: nothing was trained on them.
    """
    found = list(places)
    if not found:
        return ()
    since = _landed(settings, found)
    try:
        serving = bundles.current(settings.models).name
    except BundleError:
        serving = ""
    every = (_model(settings, version, serving) for version in bundles.versions(settings.models))
    return tuple(each for each in every if not each.trained_at or datetime.fromisoformat(each.trained_at) >= since)


def _model(settings: Settings, version: str, serving: str) -> Model:
    try:
        at = bundle.read_manifest(settings.models / version).created_at
    except BundleError:
        at = ""
    return Model(version=version, trained_at=at, current=version == serving)


def _landed(settings: Settings, places: Iterable[Place]) -> datetime:
    """When the first file with their rows was landed; where no file of raw tells, ever."""
    paths = {place.path for place in places}
    return min((each.landed_at for each in state.read(settings).raw if each.path in paths), default=_EVER)
