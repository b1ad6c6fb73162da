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
LOCKS: Final = ("auto", "on", "off")
ACCESS_LOGS: Final = ("on", "off", "required")
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
        lock: auto | on | off: whether callers need a key; auto: where others than this machine may reach the server.
            `MOTHERLODE_LOCK`.
        jwks: where the keys of the issuer of tokens are, an URL or a file; None: no tokens. `MOTHERLODE_JWKS`.
        jwt_issuer, jwt_audience: whose tokens are taken, and made for whom. `MOTHERLODE_JWT_ISSUER`, `…_AUDIENCE`.
        tls_cert, tls_key: PEM files; None: no TLS. `MOTHERLODE_TLS_CERT`, `MOTHERLODE_TLS_KEY`.
        tls: "proxy" where a proxy before the server ends TLS. `MOTHERLODE_TLS`.
        keep_bundles: bundles kept besides the current one. `MOTHERLODE_KEEP_BUNDLES`.
        canary: the share of customers that a new bundle answers before it answers all; 0: none. `MOTHERLODE_CANARY`.
        replicas: processes that answer; None: one a core. `MOTHERLODE_REPLICAS`.
        max_in_hand: requests in hand a replica, above which others are refused with 429. `MOTHERLODE_MAX_IN_HAND`.
        redis_budget_s: the longest a request waits for Redis, seconds. `MOTHERLODE_REDIS_BUDGET_S`.
        rank_budget_s: within which a request is ranked for where that is much work, counted from when it comes, seconds
            for each hundred customers or items that it names; who is not by then gets popular items, and is told.
            `MOTHERLODE_RANK_BUDGET_S`.
        households: how many of the demo's households to land; None: all. `MOTHERLODE_HOUSEHOLDS`.
        otlp_endpoint: where traces go, an OpenTelemetry collector's HTTP address; None: there are none.
            `OTEL_EXPORTER_OTLP_ENDPOINT`.
        trace_share: of the requests that are traced, 0 to 1, unless the caller says. `MOTHERLODE_TRACE_SHARE`.
        purposes: what requests may be for, and whose consent that needs (`motherlode.consent`). `MOTHERLODE_PURPOSES`.
        purpose_required: on | off: whether every call must name its purpose. `MOTHERLODE_PURPOSE_REQUIRED`.
        caps: how often customers may be contacted for a purpose (`motherlode.contacts`). `MOTHERLODE_CAPS`.
        access_log: on | off | required: whether serving writes down who asked for whom; with `required` it answers
            nobody while it cannot. `MOTHERLODE_ACCESS_LOG`.
        signing_key: what `motherlode publish` signs bundles by. `MOTHERLODE_SIGNING_KEY` or `…_FILE`.
        trusted_keys: public keys, comma-separated: bundles that none of them signed are refused. None: any bundle
            serves. `MOTHERLODE_TRUSTED_KEYS`.
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
    lock: str = "auto"
    jwks: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    tls: str | None = None
    keep_bundles: int = 5
    canary: float = 0.0
    replicas: int | None = None
    max_in_hand: int = 64
    redis_budget_s: float = 0.25
    rank_budget_s: float = 0.5
    households: int | None = None
    otlp_endpoint: str | None = None
    trace_share: float = 0.01
    purposes: str = "marketing=opt-out,profiling=opt-in"
    purpose_required: str = "off"
    caps: str = ""
    access_log: str = "on"
    signing_key: str | None = field(default=None, repr=False)
    trusted_keys: str | None = None

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
        for name in _FILES:
            if name in values and "://" not in str(values[name]):
                values[name] = str(Path(str(values[name])).expanduser().absolute())
        for name, kind in _NUMBERS:
            if name in values:
                values[name] = _number(_VARIABLES[name], values[name], kind)
        settings = cls(home=home, **values)  # type: ignore[arg-type]
        settings._check()
        return settings

    def _check(self) -> None:
        if self.device not in DEVICES:
            raise SettingsError(f"Device {self.device!r} is unknown.", f"Use one of {', '.join(DEVICES)}.")
        self._check_lock()
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
        if not 0 <= self.canary < 1:
            raise SettingsError(f"MOTHERLODE_CANARY is {self.canary}.", "Use a share from 0 to below 1.")
        if self.max_in_hand < 1:
            raise SettingsError(f"MOTHERLODE_MAX_IN_HAND is {self.max_in_hand}.", "Use at least 1.")
        if self.replicas is not None and self.replicas < 1:
            raise SettingsError(f"MOTHERLODE_REPLICAS is {self.replicas}.", "Use at least 1, or unset it: one a core.")
        if self.households is not None and self.households < _FEWEST_HOUSEHOLDS:
            raise SettingsError(
                f"MOTHERLODE_HOUSEHOLDS is {self.households}.",
                f"The models need at least {_FEWEST_HOUSEHOLDS}; unset it for all.",
            )
        if self.access_log not in ACCESS_LOGS:
            raise SettingsError(
                f"MOTHERLODE_ACCESS_LOG is {self.access_log!r}.", f"Use one of {', '.join(ACCESS_LOGS)}."
            )
        if self.purpose_required not in ("on", "off"):
            raise SettingsError(f"MOTHERLODE_PURPOSE_REQUIRED is {self.purpose_required!r}.", "Use on or off.")
        if not 0 <= self.trace_share <= 1:
            raise SettingsError(f"MOTHERLODE_TRACE_SHARE is {self.trace_share}.", "Use a share from 0 to 1.")
        if self.otlp_endpoint is not None and not self.otlp_endpoint.startswith(("http://", "https://")):
            raise SettingsError(
                f"OTEL_EXPORTER_OTLP_ENDPOINT is {self.otlp_endpoint}.", "Use an HTTP address: http://collector:4318."
            )
        if self.redis_budget_s <= 0:
            raise SettingsError(f"MOTHERLODE_REDIS_BUDGET_S is {self.redis_budget_s}.", "Use seconds above 0.")
        if self.rank_budget_s <= 0:
            raise SettingsError(f"MOTHERLODE_RANK_BUDGET_S is {self.rank_budget_s}.", "Use seconds above 0.")

    def _check_lock(self) -> None:
        if self.lock not in LOCKS:
            raise SettingsError(f"MOTHERLODE_LOCK is {self.lock!r}.", f"Use one of {', '.join(LOCKS)}.")
        if self.tls not in (None, "proxy"):
            raise SettingsError(
                f"MOTHERLODE_TLS is {self.tls!r}.",
                "Use proxy, or unset it and name a certificate (MOTHERLODE_TLS_CERT).",
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsError(
                "A certificate and its key come together.",
                "Set MOTHERLODE_TLS_CERT and MOTHERLODE_TLS_KEY, or neither.",
            )
        if self.jwks is not None and (self.jwt_issuer is None or self.jwt_audience is None):
            raise SettingsError(
                "Tokens of any issuer, or for anybody, would be taken.",
                "With MOTHERLODE_JWKS set MOTHERLODE_JWT_ISSUER and MOTHERLODE_JWT_AUDIENCE too.",
            )

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
    "lock": "MOTHERLODE_LOCK",
    "jwks": "MOTHERLODE_JWKS",
    "jwt_issuer": "MOTHERLODE_JWT_ISSUER",
    "jwt_audience": "MOTHERLODE_JWT_AUDIENCE",
    "tls_cert": "MOTHERLODE_TLS_CERT",
    "tls_key": "MOTHERLODE_TLS_KEY",
    "tls": "MOTHERLODE_TLS",
    "keep_bundles": "MOTHERLODE_KEEP_BUNDLES",
    "canary": "MOTHERLODE_CANARY",
    "replicas": "MOTHERLODE_REPLICAS",
    "max_in_hand": "MOTHERLODE_MAX_IN_HAND",
    "redis_budget_s": "MOTHERLODE_REDIS_BUDGET_S",
    "rank_budget_s": "MOTHERLODE_RANK_BUDGET_S",
    "households": "MOTHERLODE_HOUSEHOLDS",
    "mapping": "MOTHERLODE_MAPPING",
    "actor": "MOTHERLODE_ACTOR",
    "otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "trace_share": "MOTHERLODE_TRACE_SHARE",
    "purposes": "MOTHERLODE_PURPOSES",
    "purpose_required": "MOTHERLODE_PURPOSE_REQUIRED",
    "caps": "MOTHERLODE_CAPS",
    "access_log": "MOTHERLODE_ACCESS_LOG",
    "trusted_keys": "MOTHERLODE_TRUSTED_KEYS",
}
_FILES: Final = ("jwks", "tls_cert", "tls_key")
"""Read by processes that stand in other folders."""
_NUMBERS: Final[tuple[tuple[str, type[int] | type[float]], ...]] = (
    ("port", int),
    ("keep_bundles", int),
    ("canary", float),
    ("replicas", int),
    ("max_in_hand", int),
    ("redis_budget_s", float),
    ("rank_budget_s", float),
    ("households", int),
    ("trace_share", float),
)

_SECRETS: Final = {
    "pseudonym_key": "MOTHERLODE_PSEUDONYM_KEY",
    "previous_pseudonym_keys": "MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS",
    "raw_key": "MOTHERLODE_RAW_KEY",
    "previous_raw_key": "MOTHERLODE_PREVIOUS_RAW_KEY",
    "erasure_key": "MOTHERLODE_ERASURE_KEY",
    "backup_key": "MOTHERLODE_BACKUP_KEY",
    "signing_key": "MOTHERLODE_SIGNING_KEY",
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
    return read_secret(Path(name).expanduser(), f"{variable}_FILE", several=variable in _LISTS)


def read_secret(path: Path, named_by: str, *, several: bool = False) -> str:
    """The secret in a file that nobody else may read.

    Args:
        path: of the file.
        named_by: what names it, for the error.
        several: whether it may have several lines.

    Raises:
        SettingsError: it cannot be read, is empty, or lies open to others.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"{named_by} names {path}, which cannot be read: {why}.", "Correct its path.") from None
    # A group may read it, as Kubernetes' `fsGroup` has it; nobody else may, and nobody may put a key of theirs there.
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise SettingsError(
            f"The key file {path} is open to others (mode {stat.S_IMODE(mode):04o}).",
            f"Close it: chmod 600 {path}; of a mounted secret, set its mode to 0440.",
        )
    if "\n" in text and not several:
        raise SettingsError(f"The key file {path} has several lines.", "Write one key into it, on one line.")
    if not text:
        raise SettingsError(f"The key file {path} is empty.", "Write the key into it, or `motherlode keys new`.")
    return text
