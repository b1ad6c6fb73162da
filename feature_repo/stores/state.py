"""Where the state lies for a process that Feast started, and where a source's file lies in it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlparse

from feast.repo_config import RepoConfig

from feature_repo.mart import manifest
from feature_repo.mart.manifest import Manifest
from feature_repo.stores.parquet import Replaced
from motherlode import names
from motherlode.errors import DataError, StoreError
from motherlode.settings import MAPPING, Settings

FEAST_FILE: Final = "feature_store.yaml"
SAVED: Final = "saved"
"""The folder of saved data sets, in the home folder."""
_BUILDS: Final = 5
"""How many builds may end during one read before it gives up."""

T = TypeVar("T")


def here() -> Settings:
    """The settings of this process, as the user meant them.

    `feast apply` changes into the feature repo before it opens anything, while `feast materialize` does not.
    So a home folder that would lie inside a feature repo is the one beside it, where the user stood; and so is the
    mapping.
    """
    settings = Settings.from_env()
    folder = Path.cwd()
    if not (folder / FEAST_FILE).is_file():
        return settings
    if settings.mapping is None and (folder.parent / MAPPING).is_file():
        settings = replace(settings, mapping=folder.parent / MAPPING)
    if settings.home.is_relative_to(folder):
        settings = replace(settings, home=folder.parent / settings.home.relative_to(folder))
    return settings


def settings_of(config: RepoConfig) -> Settings:
    """The settings that a store's configuration names; what it leaves out comes from the environment.

    Args:
        config: `offline_store` and `online_store` may name a `home`, `offline_store` a `device` and
            `online_store` a `redis_url`. Either may be another store than ours.
    """
    named: dict[str, Any] = {}
    for store, name in ((config.offline_store, "device"), (config.online_store, "redis_url")):
        for field in ("home", name):
            if (value := getattr(store, field, None)) is not None:
                named[field] = value
    settings = here()
    home = Path(named.pop("home", settings.home)).absolute()
    return replace(settings, home=home, project=config.project, **named)


def locate(config: RepoConfig, path: str) -> Path | str:
    """The place of a source's path.

    A relative path is looked for in the mart, then among the saved data sets, then, as Feast itself would,
    beside `feature_store.yaml`. An absolute path or a URI is itself.

    Raises:
        StoreError: there is no such file, naming where it was looked for.
    """
    if urlparse(path).netloc or Path(path).is_absolute():
        return path if urlparse(path).netloc else Path(path)
    candidates = _candidates(config, path)
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise StoreError(
        f"There is no {path!r} in {', '.join(str(candidate.parent) for candidate in candidates)}.",
        "Run `motherlode features`, or set MOTHERLODE_HOME to the folder that holds the mart.",
    )


def view_of(path: str, mart: Manifest) -> str | None:
    """The view in the mart that a source's path names, with or without `.parquet`; None where it names none."""
    view = path.removesuffix(".parquet")
    return view if view in mart.views else None


def pieces(config: RepoConfig, path: str, mart: Manifest) -> list[Path] | None:
    """The files of a source that is a view in the mart: a relative path, its name with or without `.parquet`.

    Args:
        config: whose mart.
        path: the source's.
        mart: which mart, so that all views of one call are of one.

    Returns:
        Its files in the manifest's order; None where the mart has no such view. Of `live`, which is online alone,
        there are none.
    """
    if path.removesuffix(".parquet") == names.LIVE:
        return []
    view = view_of(path, mart)
    if view is None:
        return None
    built = mart.views[view]
    return [settings_of(config).mart / piece.path for piece in (*built.pieces, *built.written)]


def steadily(config: RepoConfig, work: Callable[[Manifest], T]) -> T:
    """Do some work on the mart; anew, where a build replaced the mart and took away what the work was reading."""
    for _ in range(_BUILDS):
        mart = manifest.read(settings_of(config))
        try:
            return work(mart)
        except Replaced:
            continue
        except (OSError, DataError):
            if manifest.read(settings_of(config)) == mart:
                raise
    return work(manifest.read(settings_of(config)))


def place(config: RepoConfig, path: str) -> Path:
    """Where a saved data set of this path is written: among the saved ones, or where an absolute path says."""
    return Path(path) if Path(path).is_absolute() else settings_of(config).home / SAVED / path


def _candidates(config: RepoConfig, path: str) -> list[Path]:
    settings = settings_of(config)
    folders = [settings.mart, settings.home / SAVED]
    if config.repo_path is not None:
        folders.append(Path(config.repo_path))
    return [folder / path for folder in folders]
