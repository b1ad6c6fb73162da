"""What Ray is told under each profile of `motherlode serve`: the files of `infra/serve`, with the reasons."""

import tomllib
from pathlib import Path
from typing import Final

from motherlode.errors import SettingsError

FAST: Final = "fast"
"""HAProxy in front, which talks to the replica directly; one event loop."""
SAFE: Final = "safe"
"""Ray Serve's own proxy, as it comes."""
PROFILES: Final = (FAST, SAFE)

_BOTH: Final = "both"
_PACKAGE: Final = Path(__file__).parent
_PLACES: Final = (_PACKAGE / "serve", _PACKAGE.parent / "infra" / "serve")
"""In the installed package, and in a checkout."""


def require(profile: str) -> None:
    """Check that there is such a profile.

    Raises:
        SettingsError: there is not.
    """
    if profile not in PROFILES:
        raise SettingsError(f"Profile {profile!r} is unknown.", f"Use one of {', '.join(PROFILES)}.")


def environment(profile: str, **values: str) -> dict[str, str]:
    """The variables that a Ray of our own is started with.

    Args:
        profile: FAST or SAFE.
        values: what is known at the start alone, by the names that the files have it by: temp, launcher, port, token.

    Raises:
        SettingsError: there is no such profile.
    """
    require(profile)
    told = _read(_BOTH) | _read(profile)
    return {name: value.format_map(values) for name, value in told.items()}


def _read(name: str) -> dict[str, str]:
    path = next(folder / f"{name}.toml" for folder in _PLACES if folder.is_dir())
    return tomllib.loads(path.read_text(encoding="utf-8"))
