"""Where the state lies for a process that Feast started, and where a source's file lies in it."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlparse

from feast.repo_config import RepoConfig

from motherlode.errors import StoreError
from motherlode.settings import Settings

FEAST_FILE: Final = "feature_store.yaml"
SAVED: Final = "saved"
"""The folder of saved data sets, in the home folder."""


def here() -> Settings:
    """The settings of this process, as the user meant them.

    `feast apply` changes into the feature repo before it opens anything, while `feast materialize` does not.
    So a home folder that would lie inside a feature repo is the one beside it, where the user stood.
    """
    settings = Settings.from_env()
    folder = Path.cwd()
    if (folder / FEAST_FILE).is_file() and settings.home.is_relative_to(folder):
        return replace(settings, home=folder.parent / settings.home.relative_to(folder))
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


def place(config: RepoConfig, path: str) -> Path:
    """Where a saved data set of this path is written: among the saved ones, or where an absolute path says."""
    return Path(path) if Path(path).is_absolute() else settings_of(config).home / SAVED / path


def _candidates(config: RepoConfig, path: str) -> list[Path]:
    settings = settings_of(config)
    folders = [settings.mart, settings.home / SAVED]
    if config.repo_path is not None:
        folders.append(Path(config.repo_path))
    return [folder / path for folder in folders]
