"""Files that no state names any more."""

from pathlib import Path
from typing import Final

from feature_repo.warehouse import events, files, raw_file
from feature_repo.warehouse.state import STATE, State, paths
from motherlode.settings import Settings

_LAYERS: Final = ("raw", "clean", "quarantine", "integrated")


def sweep(settings: Settings, *states: State) -> None:
    """Delete the layers' files that none of the states names, and what killed loads left half-written.

    A file that is gone already, or that cannot be deleted now, is left to the next load.

    Args:
        settings: whose home.
        states: the current one, and the one before, whose readers may still be at work.
    """
    for path in unnamed(settings, *states):
        _delete(path)


def unnamed(settings: Settings, *states: State) -> list[Path]:
    """The layers' files that none of the states names."""
    named = {path for each in states for path in paths(each)}
    every = [path for layer in _LAYERS for path in sorted((settings.home / layer).rglob("*.parquet"))]
    # What came in live is in no state before a load took it.
    others = [path for path in every if path.parent != events.folder(settings)]
    return [path for path in others if path.relative_to(settings.home).as_posix() not in named]


def half_written(settings: Settings) -> None:
    """Delete what killed loads left half-written. The caller holds the home folder.

    In raw of every source, one that the mapping no longer names among them: a landing writes there in clear before it
    encrypts.
    """
    for folder in {path.parent for path in settings.raw.rglob(f"{raw_file.LANDING}*")}:
        raw_file.clear(folder)
    for layer in _LAYERS:
        for path in sorted((settings.home / layer).rglob(f"{files.WRITING}*")):
            _delete(path)
    for path in settings.home.glob(f"{files.WRITING}*-{STATE}"):
        _delete(path)


def _delete(path: Path) -> None:
    try:
        path.unlink()
    except OSError:  # a reader may hold it open where a file in use cannot be deleted
        return
