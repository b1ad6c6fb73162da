"""Files that no state names any more."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from feature_repo.warehouse import files
from feature_repo.warehouse.state import STATE, Part, State
from motherlode.settings import Settings

_LAYERS: Final = ("raw", "clean", "quarantine", "integrated")


def sweep(settings: Settings, *states: State) -> None:
    """Delete the layers' files that none of the states names, and what killed loads left half-written.

    A file that is gone already, or that cannot be deleted now, is left to the next load.

    Args:
        settings: whose home.
        states: the current one, and the one before, whose readers may still be at work.
    """
    named = {path for each in states for path in paths(each)}
    for layer in _LAYERS:
        for path in sorted((settings.home / layer).rglob("*.parquet")):
            if path.relative_to(settings.home).as_posix() not in named:
                _delete(path)


def half_written(settings: Settings) -> None:
    """Delete what killed loads left half-written. The caller holds the home folder."""
    for layer in _LAYERS:
        for path in sorted((settings.home / layer).rglob(f"{files.WRITING}*")):
            _delete(path)
    for path in settings.home.glob(f"{files.WRITING}*-{STATE}"):
        _delete(path)


def paths(state: State) -> set[str]:
    """Every file that a state names, below home."""
    found: list[Part | None] = [*state.identities, state.matches]
    for cleaned in state.clean:
        found += [cleaned.clean, cleaned.quarantine]
    for table in (*state.integrated.values(), *state.lookups.values()):
        found += [*table.parts.values(), table.ledger, table.quarantine]
    return {part.path for part in found if part is not None} | _landed(state)


def _landed(state: State) -> set[str]:
    paths: Iterable[str] = (landed.path for landed in state.raw)
    return {path for path in paths if path}


def _delete(path: Path) -> None:
    try:
        path.unlink()
    except OSError:  # a reader may hold it open where a file in use cannot be deleted
        return
