"""One landed file on its way into one canonical table: what is read of it, how, and all that the answer depends on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
import polars as pl

from feature_repo.warehouse import contract, lookups, raw
from feature_repo.warehouse.identities import Identities
from feature_repo.warehouse.lookups import LookUps
from feature_repo.warehouse.mapping.compile import FILE, compile_table
from feature_repo.warehouse.mapping.identifying import identifiers
from feature_repo.warehouse.mapping.made import Compiled
from feature_repo.warehouse.mapping.model import Join, TableMap
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.state import Landed, digest
from motherlode.settings import Settings

BATCH: Final = 1_000_000
"""Rows at a time."""


@dataclass(frozen=True)
class Task:
    """One landed file to be cleaned into one canonical table.

    Attributes:
        table, entry, block: the table, and which of its blocks of the mapping.
        landed: the file.
        joins: look-ups, in the mapping's order.
        inputs: digest of all that the answer depends on.
    """

    table: str
    entry: int
    block: TableMap
    landed: Landed
    joins: tuple[Join, ...]
    inputs: str


@dataclass(frozen=True)
class Place:
    """What every task of a load needs.

    Attributes:
        settings, project: whose.
        identities: outside ids → join keys.
        look_ups: what rows are looked up in.
        shift_weeks: by which every date moves.
        made: expressions of files seen so far: those of one shape share them, be they thousands.
    """

    settings: Settings
    project: Project
    identities: Identities
    look_ups: LookUps
    shift_weeks: int = 0
    made: dict[tuple[object, ...], Compiled] = field(default_factory=dict, compare=False, repr=False)

    def beside(self, frame: pl.DataFrame, join: Join, made: Compiled) -> pl.DataFrame:
        """The frame with the columns that are needed of a look-up."""
        look_up, partners = self.look_ups.of(join)
        needed = sorted(f"{join.source}.{name}" for name in made.lookup_columns.get(join.source, ()))
        return lookups.beside(frame, look_up, partners.select(pl.col(r"^_on\d+$"), *needed), join)


def blocks(project: Project, table: str) -> tuple[TableMap, ...]:
    """A table's blocks of the mapping."""
    found = project.mapping.tables.get(table, [])
    return (found,) if isinstance(found, TableMap) else tuple(found)


def inputs(
    project: Project,
    table: str,
    block: TableMap,
    landed: Landed,
    others: Iterable[Landed],
    key_id: str,
    shift_weeks: int,
) -> str:
    """Digest of all that a file's clean rows depend on.

    Args:
        project, table, block: the mapping.
        landed: the file.
        others: the files of its look-ups.
        key_id: of the pseudonym key.
        shift_weeks: by which dates move.
    """
    sources = [
        (name, msgspec.structs.replace(project.mapping.sources[name], files=None, database=None))
        for name in (block.from_, *(join.source for join in block.join))
    ]
    everywhere = (project.mapping.time_zone, project.mapping.currency, key_id, shift_weeks)
    # A hash of Polars stands in every clean row, and Polars may change it with any version.
    versions = (contract.VERSION, pl.__version__)
    files = [(each.sha256, each.path, sorted(each.how.items())) for each in (landed, *others)]
    hides = identifiers(project.mapping, landed.source) if landed.malformed else ()
    told = (table, block, sources, everywhere, versions, files, landed.name, landed.order, landed.landed_at, hides)
    return digest(msgspec.json.encode(told))


def compiled(place: Place, task: Task) -> Compiled:
    """A task's expressions.

    Raises:
        DataError: the file lacks a mapped column, or a column of a look-up's key.
    """
    schema = raw.schema(place.settings, task.landed)
    for join in task.joins:
        lookups.require(list(schema), list(lookups.pairs(join)), join.source)
    found = signs(place, task)
    shape = (task.table, task.entry, *schema.items(), *((name, *sorted(found[name].items())) for name in sorted(found)))
    if shape not in place.made:
        known = {join.source: place.look_ups.of(join)[0].schema for join in task.joins}
        place.made[shape] = compile_table(place.project, task.table, task.block, schema, known, found)
    return place.made[shape]


def signs(place: Place, task: Task) -> dict[str, dict[str, str]]:
    """The decimal sign and the sign between thousands that text files showed, by source.

    A look-up's several files are one table: its newest file that showed any tells.
    """
    shown = {join.source: [_signs(each) for each in place.look_ups.of(join)[0].files] for join in task.joins}
    looked_up = {source: next((each for each in reversed(them) if each), {}) for source, them in shown.items()}
    return {**looked_up, task.landed.source: _signs(task.landed)}


def _signs(landed: Landed) -> dict[str, str]:
    found = {"decimal": raw.found_decimal(landed), "thousands": raw.found_thousands(landed)}
    return {name: sign for name, sign in found.items() if sign is not None}


def batches(place: Place, task: Task, made: Compiled) -> Iterator[pl.DataFrame]:
    """The file's rows, a batch at a time: what the expressions need, `_row`, `_line`, `_file`, look-ups beside.

    Raises:
        DataError: the file cannot be read.
    """
    wanted = [name for name in raw.schema(place.settings, task.landed) if name in made.raw_columns]
    for batch in raw.batches(place.settings, task.landed, wanted, BATCH):
        frame = batch.with_columns(pl.lit(task.landed.name).alias(FILE))
        for join in task.joins:
            frame = place.beside(frame, join, made)
        yield frame
