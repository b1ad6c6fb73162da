"""Where the example projects lie: `examples/` of the repository, which a wheel carries inside `feature_repo`."""

from pathlib import Path
from typing import Final

from motherlode.errors import DataError

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_PLACES: Final = (_PACKAGE.parent / "examples", _PACKAGE / "examples")


def examples() -> tuple[str, ...]:
    """Their names, sorted."""
    return tuple(sorted({path.parent.name for place in _PLACES for path in place.glob("*/motherlode.yaml")}))


def example(name: str) -> Path:
    """The folder of an example project.

    Raises:
        DataError: there is none of that name.
    """
    for place in _PLACES:
        if (place / name / "motherlode.yaml").is_file():
            return place / name
    raise DataError(f"There is no example {name!r}.", f"Known: {', '.join(examples()) or 'none'}.")
