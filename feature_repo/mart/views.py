"""The views of one company: the catalogue under its words, then its own."""

from pathlib import Path

from feature_repo.features import own
from feature_repo.features.view import View, Words
from feature_repo.mart import manifest
from feature_repo.warehouse import demo, state
from motherlode.errors import DataError
from motherlode.settings import Settings


def load(settings: Settings, words: Words | None = None) -> tuple[View, ...]:
    """Every view, in the order they are built.

    Args:
        settings: whose mart and mapping.
        words: the company's; those that the mart keeps by default.

    Raises:
        DataError: a view of the company's own cannot be used, naming file, line and remedy; or the mart holds one
            and nothing says where its module lies, so that going on would drop it.
    """
    kept = manifest.read(settings)
    views = own.load(project(settings), kept.words if words is None else words)
    # A view that was the catalogue's and is no longer goes with the next build.
    gone = {name for name, built in kept.views.items() if built.own} - {view.name for view in views}
    if gone and settings.mapping is None and not _is_demo(settings):
        raise DataError(
            f"{settings.mart} holds the company's own view {min(gone)!r}, and no mapping says where its module lies.",
            "Stand in the folder of its motherlode.yaml, or set MOTHERLODE_MAPPING.",
        )
    return views


def project(settings: Settings) -> Path:
    """The folder in which a company's own views are looked for: the mapping's; without one, that which holds home."""
    if settings.mapping is None:
        return settings.home.parent
    return settings.mapping if settings.mapping.is_dir() else settings.mapping.parent


def _is_demo(settings: Settings) -> bool:
    return state.read(settings).company == demo.project(settings).mapping.company
