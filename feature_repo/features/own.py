"""A company's own views: one module each, in the folder `features` beside its `motherlode.yaml`.

Such a module declares what every view's module declares (`feature_repo.features.view`). It is checked before anything
is computed, so that a mistake is told by file and line. Its source is read anew each time, and nothing is written
beside it.
"""

import importlib.machinery
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Final

import polars as pl

from feature_repo.features import catalogue
from feature_repo.features.view import STORABLE, TTL, Feature, View, Words, view
from motherlode import names
from motherlode.errors import DataError

FOLDER: Final = "features"
"""Beside `motherlode.yaml`. A module whose name begins with `_` is no view."""
TABLES: Final = (
    names.TRANSACTIONS,
    names.ITEMS,
    names.CUSTOMERS,
    names.CAMPAIGNS,
    names.CONTACTS,
    names.RESPONSES,
    names.INTERACTIONS,
    names.FEEDBACK,
    names.TAGS,
    names.SESSIONS,
)
"""The integrated tables that a view may read."""
KEYS: Final = (names.CUSTOMER_ID, names.ITEM_ID)

_NAME: Final = re.compile(r"[a-z](_?[a-z0-9])*")
_RESERVED: Final = (*KEYS, names.EVENT_TIMESTAMP, names.CREATED_TIMESTAMP)
_LIST: Final = 'List its tables: READS = ("transactions",).'
_GUIDE: Final = "docs/features.md shows one."


def load(project: Path, words: Words) -> tuple[View, ...]:
    """Every view: the catalogue's, then the company's own by name.

    Args:
        project: the folder of the company's mapping.
        words: the company's words.

    Raises:
        DataError: a module cannot be used, naming the file, the line where it is known, and the remedy.
    """
    known = catalogue.views(words)
    return (*known, *(_view(path, words) for path in files(project)))


def files(project: Path) -> list[Path]:
    """The modules of a company's own views, by name."""
    return sorted(path for path in (project / FOLDER).glob("*.py") if not path.name.startswith("_"))


def check(name: str, module: ModuleType, path: Path) -> None:
    """Check what a view's module declares, but for what depends on the company's words.

    Args:
        name: the view's.
        module: which.
        path: its file, for errors.

    Raises:
        DataError: something is missing, or is not of its kind.
    """
    if not (module.__doc__ or "").strip():
        raise wrong(path, 1, "has no docstring", "Say first what a row is about; its first line is the description.")
    if not callable(getattr(module, "build", None)):
        raise wrong(path, None, "has no function build", "Declare `def build(tables, snapshots):`.")
    if callable(getattr(module, "features", None)) == hasattr(module, "FEATURES"):
        raise wrong(path, None, "must declare FEATURES or features(words)", "Declare one of the two.")
    _check_arguments(module, path)
    if not hasattr(module, "READS"):
        raise wrong(path, None, "has no READS", _LIST)
    reads = module.READS
    if not isinstance(reads, tuple | list) or not reads:
        raise wrong(path, line(path, "READS"), f"has READS = {reads!r}", _LIST)
    for table in reads:
        if table not in TABLES:
            raise wrong(path, line(path, "READS"), f"reads the table {table!r}", f"Known: {', '.join(TABLES)}.")
    key = getattr(module, "KEY", names.CUSTOMER_ID)
    if key not in KEYS:
        raise wrong(path, line(path, "KEY"), f"has KEY = {key!r}", f"Use one of {', '.join(KEYS)}.")
    for flag in ("WHOLE", "LATEST_ONLY"):
        if not isinstance(getattr(module, flag, False), bool):
            raise wrong(path, line(path, flag), f"has {flag} = {getattr(module, flag)!r}", "Say True, or leave it out.")
    ttl = getattr(module, "TTL", TTL)
    if not isinstance(ttl, timedelta) or ttl <= timedelta(0):
        raise wrong(path, line(path, "TTL"), f"has TTL = {ttl!r}", "Give a timedelta above 0.")
    spacing = getattr(module, "SPACING", timedelta(0))
    if not isinstance(spacing, timedelta) or not timedelta(0) <= spacing <= ttl:
        remedy = "Give a timedelta up to the TTL: between snapshots that are farther apart nothing would be known."
        raise wrong(path, line(path, "SPACING"), f"has SPACING = {spacing!r}", remedy)
    apart = getattr(module, "APART", {})
    if not isinstance(apart, Mapping) or not all(table in reads and key in taken for table, taken in apart.items()):
        remedy = f"Map tables of READS to the columns that build takes, {key!r} among them."
        raise wrong(path, line(path, "APART"), f"has APART = {apart!r}", remedy)
    if callable(getattr(module, "across", None)) != bool(getattr(module, "ACROSS", ())):
        raise wrong(path, None, "has one of ACROSS and across(rows) alone", "Declare both, or none.")
    if not hasattr(module, "features"):
        check_features(module.FEATURES, path)


def check_features(meanings: object, path: Path) -> None:
    """Check a view's features: name → `Feature`.

    Raises:
        DataError: a name or a type is none that Feast can keep.
    """
    declared = line(path, "FEATURES")
    if not isinstance(meanings, Mapping) or not meanings:
        raise wrong(path, declared, "declares no features", "Map each feature's name to Feature(type, unit, doc).")
    for name, feature in meanings.items():
        at = line(path, f'"{name}"', f"'{name}'") or declared
        if not _is_name(name):
            remedy = f"Use lower case, digits and single underscores, and none of {', '.join(_RESERVED)}."
            raise wrong(path, at, f"has a feature called {name!r}", remedy)
        if not isinstance(feature, Feature):
            raise wrong(path, at, f"declares {name!r} as {feature!r}", "Write Feature(type, unit, doc).")
        inner = feature.dtype.inner if isinstance(feature.dtype, pl.List) else feature.dtype
        if inner not in STORABLE:
            remedy = f"Use one of {', '.join(map(str, STORABLE))}, or a list of one."
            raise wrong(path, at, f"declares {name!r} with the type {feature.dtype}", remedy)
        if not feature.doc.strip():
            raise wrong(path, at, f"does not say what {name!r} is", "Give the Feature a doc of one line.")


def _view(path: Path, words: Words) -> View:
    name = path.stem
    if not _NAME.fullmatch(name):
        remedy = "Rename it: lower case, digits and single underscores; or begin it with _ if it is no view."
        raise wrong(path, None, f"would make a view called {name!r}", remedy)
    if name in catalogue.MODULES:
        raise wrong(path, None, f"has the name of the catalogue's view {name!r}", "Rename it.")
    module = _module(name, path)
    for internal in ("APART", "BESIDE", "LOOKS_BACK"):
        if hasattr(module, internal):
            raise wrong(path, line(path, internal), f"has {internal}, the catalogue's own", "Leave it out.")
    check(name, module, path)
    try:
        made = view(name, module, words)
    except Exception as error:  # features(words) is the company's code: it may fail in any way
        raise failed(path, error) from error
    check_features(made.meanings, path)
    if unknown := [feature for feature in made.compared if feature not in made.meanings]:
        raise wrong(path, line(path, "ACROSS"), f"has {unknown} in ACROSS alone", "Declare them in FEATURES too.")
    return made


def _is_name(name: object) -> bool:
    """Whether a feature may be called so: letters of any script, since the company's words may be in it."""
    if not isinstance(name, str) or not name.isidentifier() or name != name.lower():
        return False
    return "__" not in name and not name.startswith("_") and name not in _RESERVED


def _check_arguments(module: ModuleType, path: Path) -> None:
    wanted = ["tables", "snapshots", *(["words"] if hasattr(module, "features") else [])]
    found = list(inspect.signature(module.build).parameters)
    if found != wanted:
        problem = f"has build({', '.join(found)})"
        raise wrong(path, line(path, "def build"), problem, f"Declare `def build({', '.join(wanted)}):`.")


class _Loader(importlib.machinery.SourceFileLoader):
    """Reads the source itself: a cached compilation is told from its source by whole seconds and size alone."""

    def path_stats(self, path: str) -> Mapping[str, float]:
        """No times: nothing is taken from `__pycache__`, nor put there."""
        raise OSError(path)


def _module(name: str, path: Path) -> ModuleType:
    """The module of a file, under a name of its own."""
    private = f"_motherlode_own_{name}"
    spec = importlib.util.spec_from_file_location(private, path, loader=_Loader(private, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module  # a dataclass looks its module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the company's code: it may fail in any way
        del sys.modules[private]
        raise failed(path, error) from error
    return module


def failed(path: Path, error: Exception, what: str = "cannot be loaded") -> DataError:
    """What to tell of an error in the company's own code: its file, its line where that is known, what happened."""
    told = error.msg if isinstance(error, SyntaxError) else next(iter(f"{error}".splitlines()), "")
    return wrong(path, failed_line(path, error), f"{what}: {type(error).__name__}: {told}", f"Correct it. {_GUIDE}")


def failed_line(path: Path, error: Exception) -> int | None:
    """The line of a file in which an error arose; None where it did not arise in the file."""
    if isinstance(error, SyntaxError):
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else None


def line(path: Path, *beginnings: str) -> int | None:
    """The first line of a file that begins with one of these, blanks apart."""
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if text.lstrip().startswith(beginnings):
            return number
    return None


def wrong(path: Path, number: int | None, problem: str, remedy: str) -> DataError:
    """An error in a view's module: its file, the line where it is known, and the remedy."""
    where = f"{path}, line {number}," if number is not None else f"{path}"
    return DataError(f"{where} {problem}.", remedy)
