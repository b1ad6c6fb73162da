"""The warehouse's way: raw → clean → integrated, each step only where something changed."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from feature_repo.warehouse import contract, files, lineage
from feature_repo.warehouse.clean import Cleaned, clean
from feature_repo.warehouse.demo import SOURCES, Landing, land, raw_path
from feature_repo.warehouse.integrate import Integrated, integrate
from feature_repo.warehouse.lineage import Lineage, TableLineage
from feature_repo.warehouse.mapping import LINE, MAPPINGS, Context
from feature_repo.warehouse.tables import customer_ids
from motherlode import names
from motherlode.identity import Identity
from motherlode.settings import Settings

STEPS: Final = 1 + len(contract.SCHEMAS) + 1
"""How often `build` calls `on_step`: landed, each table cleaned, integrated."""

MERGED: Final = "merged.parquet"


def build(
    settings: Settings, *, households: int | None = None, on_step: Callable[[str], None] | None = None
) -> Lineage:
    """Land the demo's tables, clean them and integrate them; what is still valid is kept.

    Args:
        settings: where, and the pseudonym key.
        households: a thin, deterministic subset of the demo; None: all.
        on_step: called with what was just finished, `STEPS` times at most.

    Returns:
        What became of every landed row.

    Raises:
        DataError: the demo's tables cannot be had.
    """
    advance = on_step or (lambda _: None)
    started = time.perf_counter()
    landing = land(settings, households)
    advance("landed")
    inputs = _inputs(settings, landing)
    known = lineage.read(settings)
    if known is not None and known.inputs == inputs and lineage.holds(settings, known):
        return known
    cleaned = _clean_all(settings, landing, advance)
    integrated = integrate(
        {table: done.rows for table, done in cleaned.items()}, {table: _file(table) for table in cleaned}
    )
    counts = tuple(_count(settings, table, cleaned[table], integrated[table]) for table in contract.SCHEMAS)
    with files.staging(settings.home) as scratch:
        _write(settings, scratch, cleaned, integrated)
        done = Lineage(
            inputs=inputs,
            built_at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - started, 2),
            tables=counts,
            files=lineage.digests(scratch),
        )
        # A build that dies while its files move must not pass for a whole one.
        (settings.integrated / lineage.LINEAGE).unlink(missing_ok=True)
    files.write(settings.integrated / lineage.LINEAGE, msgspec.json.format(msgspec.json.encode(done), indent=1))
    advance("integrated")
    return done


def _inputs(settings: Settings, landing: Landing) -> str:
    """One digest of all that the integrated layer depends on."""
    return lineage.combine(
        {
            **{f"raw/{name}": digest for name, digest in landing.raw_sha256.items()},
            "shift": str(landing.shift_weeks),
            "identity": Identity(settings.pseudonym_key).key_id,
            "contract": str(contract.VERSION),
        }
    )


def _clean_all(settings: Settings, landing: Landing, advance: Callable[[str], None]) -> dict[str, Cleaned]:
    context = Context(
        landing.shift, customer_ids(settings).lazy(), pl.scan_parquet(raw_path(settings, SOURCES[names.ITEMS]))
    )
    done = {}
    for table, mapping in MAPPINGS.items():
        raw = pl.scan_parquet(raw_path(settings, SOURCES[table]), row_index_name=LINE, row_index_offset=1)
        done[table] = clean(table, _file(table), mapping(raw, context), landing.landed_at)
        advance(f"{table}: {done[table].rows.height:,} rows")
    return done


def _file(table: str) -> str:
    return f"{SOURCES[table]}.parquet"


def _write(settings: Settings, scratch: Path, cleaned: dict[str, Cleaned], integrated: dict[str, Integrated]) -> None:
    clean_, quarantine, whole = (
        scratch / folder.name for folder in (settings.clean, settings.quarantine, settings.integrated)
    )
    for folder in (clean_, quarantine, whole):
        folder.mkdir()
    for table in contract.SCHEMAS:
        cleaned[table].rows.write_parquet(clean_ / f"{table}.parquet")
        pl.concat([cleaned[table].rejected, integrated[table].rejected]).sort("line").write_parquet(
            quarantine / f"{table}.parquet"
        )
        integrated[table].rows.write_parquet(whole / f"{table}.parquet")
    ledgers = [part[table].merged for table in contract.SCHEMAS for part in (cleaned, integrated)]
    pl.concat(ledgers).write_parquet(clean_ / MERGED)


def _count(settings: Settings, table: str, cleaned: Cleaned, integrated: Integrated) -> TableLineage:
    landed = pl.scan_parquet(raw_path(settings, SOURCES[table])).select(pl.len()).collect().item()
    return TableLineage(
        table=table,
        file=_file(table),
        landed=landed,
        clean=cleaned.rows.height,
        merged=cleaned.merged.height + integrated.merged.height,
        quarantined=cleaned.rejected.height + integrated.rejected.height,
        derived=integrated.derived,
        integrated=integrated.rows.height,
    )
