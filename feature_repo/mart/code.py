"""What a view's rows depend on besides data, as one digest: its module, what that imports, its columns, Polars."""

import ast
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from feature_repo import features
from feature_repo.features.view import View, Words
from feature_repo.warehouse import state

_LAYOUT: Final = "1"
"""Raised when the same code and data would give other files."""
_ROOM: Final = "feature_repo.features."
_FOLDER: Final = Path(features.__file__).parent


def digest(view: View, words: Words) -> str:
    """SHA-256 of all but data that a view's rows depend on."""
    path = view.module.__file__
    assert path is not None
    own = Path(path)
    sources = [own.read_bytes(), *(each.read_bytes() for each in sorted(_imported(own) - {own}))]
    columns = ",".join(f"{name} {dtype}" for name, dtype in view.features.items())
    spoken = msgspec.json.encode(words, order="deterministic") if hasattr(view.module, "features") else b""
    told = (
        view.name,
        view.key,
        columns,
        *view.compared,
        *view.reads,
        str(view.whole),
        str(view.latest_only),
        str(view.spacing),
        str(view.looks_back),
    )
    return state.digest(_LAYOUT, pl.__version__, *told, spoken, *sources)


def _imported(path: Path, known: frozenset[Path] = frozenset()) -> set[Path]:
    """The modules of the features that a module imports, and those that they import."""
    found: set[Path] = {*known, path}
    for name in _names(ast.parse(path.read_bytes())):
        inside = name.removeprefix(_ROOM).partition(".")[0] if name.startswith(_ROOM) else ""
        other = _FOLDER / f"{inside}.py"
        if inside and other.is_file() and other not in found:
            found |= _imported(other, frozenset(found))
    return found


def _names(tree: ast.Module) -> set[str]:
    """Every module that a source may import: of `from a import b` both `a` and `a.b`, since either may be one."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return found
