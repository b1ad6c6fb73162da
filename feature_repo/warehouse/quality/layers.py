"""The files that a state names, and which of them are new."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import polars as pl

from feature_repo.warehouse.quality import parquet
from feature_repo.warehouse.state import Cleaned, Landed, Part, State
from motherlode.settings import Settings


def scan(settings: Settings, parts: Iterable[Part], schema: pl.Schema) -> pl.LazyFrame:
    """The rows of files of one table; an empty frame of the schema where there are none."""
    paths = [settings.home / part.path for part in parts if part.rows]
    if not paths:
        return pl.LazyFrame(schema=schema)
    return pl.concat([pl.scan_parquet(path, glob=False) for path in paths], how="diagonal_relaxed")


def parts(state: State, table: str) -> tuple[Part, ...]:
    """The files of an integrated table, in the order of its months."""
    entry = state.integrated.get(table)
    return () if entry is None else tuple(part for _, part in sorted(entry.parts.items()))


def new_parts(state: State, before: State, table: str) -> tuple[Part, ...]:
    """The files of an integrated table that the state before did not have."""
    known = {part.path for part in parts(before, table)}
    return tuple(part for part in parts(state, table) if part.path not in known)


def new_cleaned(state: State, before: State, table: str) -> tuple[Cleaned, ...]:
    """What was cleaned of a table since the state before."""
    known = {(it.table, it.entry, it.file_id, it.inputs) for it in before.clean}
    return tuple(
        it for it in state.clean if it.table == table and (it.table, it.entry, it.file_id, it.inputs) not in known
    )


def new_landed(state: State, before: State) -> tuple[Landed, ...]:
    """The files landed since the state before, refused ones among them, in their order."""
    known = {(it.order, it.sha256_raw, it.problem) for it in before.raw}
    new = (it for it in state.raw if (it.order, it.sha256_raw, it.problem) not in known)
    return tuple(sorted(new, key=lambda it: it.order))


def newest_landing(state: State, table: str) -> datetime | None:
    """When the newest file of a table was landed, UTC; None where it has none."""
    orders = {it.order for it in state.clean if it.table == table}
    return max((it.landed_at for it in state.raw if it.order in orders), default=None)


def sample(settings: Settings, found: Sequence[Part], schema: pl.Schema, most: int) -> pl.DataFrame:
    """All rows of some files where they are no more than `most`, else so many from all over them."""
    if sum(part.rows for part in found) <= most:  # file by file: a plan of thousands takes a minute to make
        whole = [pl.read_parquet(settings.home / part.path, glob=False) for part in found if part.rows]
        return pl.concat(whole, how="diagonal_relaxed") if whole else pl.DataFrame(schema=schema)
    frames = parquet.sample((settings.home / part.path for part in found if part.rows), most)
    return pl.concat(frames, how="diagonal_relaxed")
