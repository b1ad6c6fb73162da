"""The frozen settings, and the only reader of the environment."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final, Self

from motherlode import names
from motherlode.errors import SettingsError
from motherlode.identity import SHORTEST_KEY, Identity

DEVICES: Final = ("auto", "cpu", "gpu")
MAPPING: Final = "motherlode.yaml"
"""The mapping's file name, where none is named."""
_FEWEST_HOUSEHOLDS: Final = 100


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the state lies and what it runs on.

    Attributes:
        home: the one folder that holds all state; absolute. `MOTHERLODE_HOME`, `.motherlode` by default.
        project: Feast project, and the first path segment of every online key. `MOTHERLODE_PROJECT`.
        redis_url: a Redis or Valkey server; None starts the embedded Valkey. `REDIS_URL`.
        device: auto | cpu | gpu. `MOTHERLODE_DEVICE`.
        ray_address: a Ray cluster; None runs Ray on this machine. `RAY_ADDRESS`.
        pseudonym_key: the secret of `motherlode.identity`; None leaves outside ids as they are.
            `MOTHERLODE_PSEUDONYM_KEY`, or the one line of the file `MOTHERLODE_PSEUDONYM_KEY_FILE`.
        previous_pseudonym_keys: secrets that customers may still be known by until `motherlode rekey` has ended, the
            newest first; "none" for the outside ids themselves. One a line of `MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS`,
            or of the file `MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS_FILE`.
        raw_key: the secret that raw files are encrypted by; None leaves them plain. `MOTHERLODE_RAW_KEY` or `…_FILE`.
        previous_raw_key: what they were encrypted by before. `MOTHERLODE_PREVIOUS_RAW_KEY` or `…_FILE`.
        erasure_key: the secret of `motherlode.online.tombstones`; None: the file `erasure/key` in the home.
            `MOTHERLODE_ERASURE_KEY` or `…_FILE`. Set it where several machines write online.
        backup_key: the secret that backups are encrypted by. `MOTHERLODE_BACKUP_KEY` or `…_FILE`.
        mapping: the company's mapping, a file or its folder; None: the demo. `MOTHERLODE_MAPPING`, `motherlode.yaml`
            in this folder by default where it exists.
        actor: who acts, for the audit log; None: the user of the operating system. `MOTHERLODE_ACTOR`.
        host, port: where the HTTP endpoints listen. `MOTHERLODE_HOST`, `MOTHERLODE_PORT`.
        keep_bundles: bundles kept besides the current one. `MOTHERLODE_KEEP_BUNDLES`.
        replicas: processes that answer; None: one a core. `MOTHERLODE_REPLICAS`.
        redis_budget_s: the longest a request waits for Redis, seconds. `MOTHERLODE_REDIS_BUDGET_S`.
        households: how many of the demo's households to land; None: all. `MOTHERLODE_HOUSEHOLDS`.
    """

    home: Path
    project: str = names.PROJECT
    redis_url: str | None = None
    device: str = "auto"
    ray_address: str | None = None
    pseudonym_key: str | None = field(default=None, repr=False)
    previous_pseudonym_keys: tuple[str, ...] = field(default=(), repr=False)
    raw_key: str | None = field(default=None, repr=False)
    previous_raw_key: str | None = field(default=None, repr=False)
    erasure_key: str | None = field(default=None, repr=False)
    backup_key: str | None = field(default=None, repr=False)
    mapping: Path | None = None
    actor: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    keep_bundles: int = 5
    replicas: int | None = None
    redis_budget_s: float = 0.25
    households: int | None = None

    @classmethod
    def from_env(cls, **overrides: object) -> Self:
        """Settings from the environment; a keyword that is not None wins over its variable.

        Raises:
            SettingsError: a value cannot be read, naming the variable, the value and the remedy.
        """
        env: dict[str, object] = {name: os.environ.get(variable) or None for name, variable in _VARIABLES.items()}
        env |= {name: _secret(variable) for name, variable in _SECRETS.items()}
        given = {name: value for name, value in overrides.items() if value is not None}
        unknown = given.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise SettingsError(f"Unknown setting {sorted(unknown)}.", f"Known: {sorted({**_VARIABLES, **_SECRETS})}.")
        values: dict[str, object] = {name: value for name, value in env.items() if value is not None}
        values |= given
        home = Path(str(values.pop("home", ".motherlode"))).expanduser().absolute()
        if isinstance(previous := values.get("previous_pseudonym_keys"), str):
            values["previous_pseudonym_keys"] = tuple(line for line in previous.splitlines() if line)
        mapping = Path(str(values.get("mapping", MAPPING))).expanduser().absolute()
        values["mapping"] = mapping if "mapping" in values or mapping.is_file() else None
        for name, kind in _NUMBERS:
            if name in values:
                values[name] = _number(_VARIABLES[name], values[name], kind)
        settings = cls(home=home, **values)  # type: ignore[arg-type]
        settings._check()
        return settings

    def _check(self) -> None:
        if self.device not in DEVICES:
            raise SettingsError(f"Device {self.device!r} is unknown.", f"Use one of {', '.join(DEVICES)}.")
        _ = self.identity  # a key too short fails here, not after the first stage
        for variable, key in (
            ("MOTHERLODE_RAW_KEY", self.raw_key),
            ("MOTHERLODE_PREVIOUS_RAW_KEY", self.previous_raw_key),
            ("MOTHERLODE_ERASURE_KEY", self.erasure_key),
            ("MOTHERLODE_BACKUP_KEY", self.backup_key),
        ):
            if key is not None and len(key.encode()) < SHORTEST_KEY:
                raise SettingsError(
                    f"{variable} has {len(key.encode())} bytes.",
                    f"Give at least {SHORTEST_KEY}; `motherlode keys new` makes one.",
                )
        if self.mapping is not None and not self.mapping.exists():
            raise SettingsError(
                f"There is no mapping {self.mapping}.", "Name a file or its folder (MOTHERLODE_MAPPING)."
            )
        if not 1 <= self.port <= 65535:
            raise SettingsError(f"Port {self.port} cannot be listened on.", "Use a port from 1 to 65535.")
        if not self.project or not self.project.replace("_", "").isalnum():
            raise SettingsError(
                f"Project {self.project!r} is not a name.", "Use letters, digits and underscores (MOTHERLODE_PROJECT)."
            )
        if self.keep_bundles < 1:
            raise SettingsError(f"MOTHERLODE_KEEP_BUNDLES is {self.keep_bundles}.", "Keep at least 1.")
        if self.replicas is not None and self.replicas < 1:
            raise SettingsError(f"MOTHERLODE_REPLICAS is {self.replicas}.", "Use at least 1, or unset it: one a core.")
        if self.households is not None and self.households < _FEWEST_HOUSEHOLDS:
            raise SettingsError(
                f"MOTHERLODE_HOUSEHOLDS is {self.households}.",
                f"The models need at least {_FEWEST_HOUSEHOLDS}; unset it for all.",
            )
        if self.redis_budget_s <= 0:
            raise SettingsError(f"MOTHERLODE_REDIS_BUDGET_S is {self.redis_budget_s}.", "Use seconds above 0.")

    def with_redis(self, url: str) -> Self:
        """The same settings, bound to a running server."""
        return replace(self, redis_url=url)

    @property
    def identity(self) -> Identity:
        """Outside ids ↔ join keys, by the current pseudonym key and the previous ones."""
        return Identity(self.pseudonym_key, self.previous_pseudonym_keys)

    @property
    def raw(self) -> Path:
        return self.home / "raw"

    @property
    def clean(self) -> Path:
        return self.home / "clean"

    @property
    def quarantine(self) -> Path:
        return self.home / "quarantine"

    @property
    def integrated(self) -> Path:
        return self.home / "integrated"

    @property
    def mart(self) -> Path:
        """Feature snapshots, one Parquet file a view: `<view>.parquet`."""
        return self.home / "mart"

    @property
    def registry(self) -> Path:
        """Feast's SQL registry, an SQLite file."""
        return self.home / "registry.db"

    @property
    def models(self) -> Path:
        """Bundles, one folder a version, and `current`."""
        return self.home / "models"

    @property
    def valkey(self) -> Path:
        return self.home / "valkey"

    @property
    def logs(self) -> Path:
        return self.home / "logs"


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that is started: this one's, with changes."""
    return {**os.environ, **changes}


_VARIABLES: Final = {
    "home": "MOTHERLODE_HOME",
    "project": "MOTHERLODE_PROJECT",
    "redis_url": "REDIS_URL",
    "device": "MOTHERLODE_DEVICE",
    "ray_address": "RAY_ADDRESS",
    "host": "MOTHERLODE_HOST",
    "port": "MOTHERLODE_PORT",
    "keep_bundles": "MOTHERLODE_KEEP_BUNDLES",
    "replicas": "MOTHERLODE_REPLICAS",
    "redis_budget_s": "MOTHERLODE_REDIS_BUDGET_S",
    "households": "MOTHERLODE_HOUSEHOLDS",
    "mapping": "MOTHERLODE_MAPPING",
    "actor": "MOTHERLODE_ACTOR",
}
_NUMBERS: Final[tuple[tuple[str, type[int] | type[float]], ...]] = (
    ("port", int),
    ("keep_bundles", int),
    ("replicas", int),
    ("redis_budget_s", float),
    ("households", int),
)

_SECRETS: Final = {
    "pseudonym_key": "MOTHERLODE_PSEUDONYM_KEY",
    "previous_pseudonym_keys": "MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS",
    "raw_key": "MOTHERLODE_RAW_KEY",
    "previous_raw_key": "MOTHERLODE_PREVIOUS_RAW_KEY",
    "erasure_key": "MOTHERLODE_ERASURE_KEY",
    "backup_key": "MOTHERLODE_BACKUP_KEY",
}
"""Each may also stand in a file, that `<variable>_FILE` names."""
_LISTS: Final = ("MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS",)
"""Secrets that may be several, one a line."""


def _number(variable: str, value: object, kind: type[int] | type[float]) -> int | float:
    try:
        return kind(str(value))
    except ValueError:
        raise SettingsError(f"{variable} is {value!r}, which is no number.", "Give a number or unset it.") from None


def _secret(variable: str) -> str | None:
    """A secret from its variable or from the file that `<variable>_FILE` names; None where neither is set.

    Raises:
        SettingsError: both are set; the file cannot be read, is empty, or lies open to others.
    """
    value, name = os.environ.get(variable) or None, os.environ.get(f"{variable}_FILE") or None
    if name is None:
        return value
    if value is not None:
        raise SettingsError(f"{variable} and {variable}_FILE are both set.", "Unset one of them.")
    path = Path(name).expanduser()
    try:
        mode = path.stat().st_mode
        text = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(
            f"{variable}_FILE names {path}, which cannot be read: {why}.", "Correct its path."
        ) from None
    # A group may read it, as Kubernetes' `fsGroup` has it; nobody else may, and nobody may put a key of theirs there.
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise SettingsError(
            f"The key file {path} is open to others (mode {stat.S_IMODE(mode):04o}).",
            f"Close it: chmod 600 {path}; of a mounted secret, set its mode to 0440.",
        )
    if "\n" in text and variable not in _LISTS:
        raise SettingsError(f"The key file {path} has several lines.", "Write one key into it, on one line.")
    if not text:
        raise SettingsError(f"The key file {path} is empty.", "Write the key into it, or `motherlode keys new`.")
    return text
