"""Customers: which of them are one person, and everyone who occurs anywhere."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

import msgspec
import polars as pl

from feature_repo.warehouse import duplicates, matching, parts, raw
from feature_repo.warehouse.contract import LINE, ROW
from feature_repo.warehouse.duplicates import UNIT
from feature_repo.warehouse.integrate import imputing
from feature_repo.warehouse.integrate.table import (
    INTO,
    SAME_PERSON,
    Clean,
    Outcome,
    Place,
    digest_of,
    merge,
    whole,
    write_whole,
)
from feature_repo.warehouse.mapping.compile import compile_matching
from feature_repo.warehouse.state import Integrated, Part, State, digest
from feature_repo.warehouse.task import Place as Cleaning
from feature_repo.warehouse.task import Task, batches, signs
from motherlode import names

NOBODY: Final = pl.DataFrame(schema={names.CUSTOMER_ID: pl.String, INTO: pl.String})
"""No aliases."""

_FOLDER: Final = "integrated/matches"
_COMPARED_BY: Final = ("splink", "duckdb")
"""Packages whose other versions may find others."""


def match(cleaning: Cleaning, place: Place, clean: Clean, tasks: Sequence[Task], before: State) -> Part | None:
    """Find customers who are one person, where the mapping says what to compare.

    Args:
        cleaning, place: whose.
        clean: the customers.
        tasks: how each of their files is read.
        before: what was found before, and who is to be kept apart.
    """
    wanted = cleaning.project.mapping.matching
    if wanted is None or not clean.units:
        return None
    stem = _stem(cleaning, clean, tasks, before)
    known = before.matches
    if not place.again and known is not None and f"/{stem}." in known.path and parts.holds(place.settings, known):
        return known
    people = _people(cleaning, place, clean, tasks)
    if not people.height:
        return parts.write_empty(place.settings, _FOLDER, stem, NOBODY)
    found = matching.find(people, wanted.threshold, before.kept_apart)
    if not found.height:  # a file all the same: it says that these were compared
        return parts.write_empty(place.settings, _FOLDER, stem, found)
    return parts.write(place.settings, _FOLDER, stem, [found])


def stands(cleaning: Cleaning, clean: Clean, tasks: Sequence[Task], before: State) -> bool:
    """Whether who was found to be one person is what would be found now."""
    if cleaning.project.mapping.matching is None or not clean.units:
        return before.matches is None
    return before.matches is not None and f"/{_stem(cleaning, clean, tasks, before)}." in before.matches.path


def _stem(cleaning: Cleaning, clean: Clean, tasks: Sequence[Task], before: State) -> str:
    """The part is named by what it is made from, so that what was found stands while that is the same."""
    told = (cleaning.project.mapping.matching, before.kept_apart, [task.inputs for task in tasks])
    return digest(clean.inputs(), msgspec.json.encode(told), *map(version, _COMPARED_BY))[:16]


def aliases(place: Place, matches: Part | None) -> pl.DataFrame:
    """Whom customers were found to be: `customer_id`, `into_customer_id`."""
    frames = [frame.select(names.CUSTOMER_ID, INTO).collect() for frame in parts.scan(place.settings, [matches])]
    return pl.concat([NOBODY, *frames]).sort(names.CUSTOMER_ID)


def customers(place: Place, clean: Clean, found: pl.DataFrame, seen: Sequence[pl.DataFrame]) -> Integrated:
    """Everyone who occurs anywhere; who was merged fills what the survivor's row lacks.

    Args:
        place, clean: whose, and what of.
        found: `customer_id`, `into_customer_id`.
        seen: customers of events, `customer_id`.
    """
    everyone = pl.concat([NOBODY.select(names.CUSTOMER_ID), *seen]).unique().drop_nulls().sort(names.CUSTOMER_ID)
    inputs = clean.inputs(digest_of(found), digest_of(everyone), *imputing.versions(clean))
    if (known := place.kept(names.CUSTOMERS, inputs)) is not None:
        return known
    outcome = Outcome()
    rows = _one_each(clean, _joined_blocks(place, clean), found, outcome)
    rows = imputing.fill(clean, rows, None, outcome)
    unlisted = everyone.join(rows, on=names.CUSTOMER_ID, how="anti", maintain_order="left")
    outcome.derived = unlisted.height
    return write_whole(place, clean, pl.concat([rows, unlisted], how="diagonal"), inputs, outcome)


def _joined_blocks(place: Place, clean: Clean) -> pl.DataFrame:
    """Customers; what one block of the mapping knows of a customer fills what a later block's row lacks."""
    rows = whole(place.settings, clean)
    if len({unit.cleaned.entry for unit in clean.units}) < 2:
        return rows
    entries = {unit.number: unit.cleaned.entry for unit in clean.units}
    block = pl.col(UNIT).replace_strict(entries, return_dtype=pl.Int64)
    other = pl.col("into_unit").replace_strict(entries, return_dtype=pl.Int64)
    replaced = clean.gone.merged.filter((pl.col("rule") == duplicates.REPLACED) & (block != other))
    every = whole(place.settings, _with_duplicates(clean))
    donors = every.join(replaced, on=[UNIT, ROW], how="inner", maintain_order="left")
    return _filled(rows, donors.drop(UNIT, ROW, LINE).rename({"into_unit": UNIT, "into_row": ROW}), [UNIT, ROW])


def _with_duplicates(clean: Clean) -> Clean:
    """The same table with its duplicates still in it."""
    return Clean(clean.table, clean.units, clean.columns, clean.key, clean.keep, clean.last, clean.impute)


def _one_each(clean: Clean, rows: pl.DataFrame, found: pl.DataFrame, outcome: Outcome) -> pl.DataFrame:
    """One row a person: the merged ones' rows into the survivor's, whose nulls they fill in their order.

    Who refused a purpose under any of the ids has refused it.
    """
    if not found.height:
        return rows
    known = rows.join(found, on=names.CUSTOMER_ID, how="left", maintain_order="left")
    person = pl.coalesce(INTO, names.CUSTOMER_ID)
    known = known.with_columns(person.alias("_person"), pl.col(INTO).is_not_null().alias("_merged")).drop(INTO)
    # A survivor without a row of its own lives on in the first one that was merged into it.
    order = known.sort("_merged", UNIT, ROW)
    first = order.group_by("_person", maintain_order=True).agg(
        pl.col(UNIT).first().alias("into_unit"),
        pl.col(ROW).first().alias("into_row"),
        pl.col(LINE).first().alias("into_line"),
    )
    placed = order.join(first, on="_person", how="left", maintain_order="left")
    stays = (pl.col(UNIT) == pl.col("into_unit")) & (pl.col(ROW) == pl.col("into_row"))
    gone = placed.filter(~stays)
    outcome.merged.append(merge(clean, gone, SAME_PERSON))
    kept = placed.filter(stays).with_columns(pl.col("_person").alias(names.CUSTOMER_ID)).sort(UNIT, ROW)
    kept = kept.drop("_person", "_merged", "into_unit", "into_row", "into_line")
    donors = gone.drop(UNIT, ROW, LINE, "_person", "_merged", "into_line", names.CUSTOMER_ID)
    filled = _filled(kept, donors.rename({"into_unit": UNIT, "into_row": ROW}), [UNIT, ROW])
    asked = [name for name, dtype in rows.schema.items() if name.startswith(names.CONSENT) and dtype == pl.Boolean]
    asked = [name for name in asked if not name.endswith("_missing")]
    told = placed.group_by(pl.col("_person").alias(names.CUSTOMER_ID)).agg(pl.col(asked).min())
    return filled.update(told, on=names.CUSTOMER_ID, how="left") if asked else filled


def _filled(rows: pl.DataFrame, donors: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Rows whose nulls are filled by their donors', the first that has a value."""
    columns = [name for name in donors.columns if name not in key and name in rows.columns]
    firsts = donors.group_by(key, maintain_order=True).agg(
        pl.col(name).drop_nulls().first().alias(f"_of {name}") for name in columns
    )
    found = rows.join(firsts, on=key, how="left", maintain_order="left")
    return found.with_columns(pl.coalesce(name, f"_of {name}").alias(name) for name in columns).drop(
        f"_of {name}" for name in columns
    )


def _people(cleaning: Cleaning, place: Place, clean: Clean, tasks: Sequence[Task]) -> pl.DataFrame:
    """What customers are compared by, read from raw into memory alone: the rows that live on, in landing order."""
    kept = whole(place.settings, clean).select(UNIT, ROW, names.CUSTOMER_ID)
    frames = []
    for unit, task in zip(clean.units, tasks, strict=True):
        known = {join.source: cleaning.look_ups.of(join)[0].schema for join in task.joins}
        schema = raw.schema(cleaning.settings, task.landed)
        made = compile_matching(cleaning.project, task.block, schema, known, signs(cleaning, task))
        mine = kept.filter(pl.col(UNIT) == unit.number)
        for batch in batches(cleaning, task, made):
            rows = batch.select(ROW, *(column.value.alias(column.name) for column in made.columns))
            frames.append(mine.join(rows, on=ROW, how="inner", maintain_order="left").drop(UNIT, ROW))
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame()
