"""Splink on DuckDB: candidates, and the probability of each. The only module that knows either library."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import duckdb
import polars as pl
import psutil
from splink import DuckDBAPI, Linker, SettingsCreator, block_on
from splink.internals.exceptions import SplinkException

from feature_repo.warehouse.matching import model
from feature_repo.warehouse.matching.normalise import BIRTH_DATE, EMAIL, ID, KEYS
from motherlode.errors import DataError

LEFT, RIGHT, PROBABILITY, EVIDENCE = "left", "right", "probability", "evidence"
_TABLE: Final = "people"
_CERTAIN: Final = 1 - 1e-12
"""The highest threshold that Splink can make a weight of."""
_SHARE: Final = 0.8
"""Of the memory that is free, DuckDB may use this much."""


@contextmanager
def database(people: pl.DataFrame) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory that holds `people`; it reaches no network and writes no file.

    Without a library of its own for encryption DuckDB would spill names and addresses in clear: it may not spill.

    Raises:
        DataError: memory does not suffice.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{int(_SHARE * psutil.virtual_memory().available) // 2**20}MiB",
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(":memory:", config=config)
    try:
        connection.register("arrived", people.to_arrow())
        connection.execute(f"CREATE TABLE {_TABLE} AS SELECT * FROM arrived")
        connection.unregister("arrived")
        yield connection
    except (duckdb.OutOfMemoryException, SplinkException) as error:
        if not _for_memory(error):
            raise
        raise DataError(
            f"{len(people):,} customers cannot be compared: memory does not suffice.",
            "Load on a machine with more memory, or leave `matching` out: names are not written to a disk meanwhile.",
        ) from error
    finally:
        connection.close()


def _for_memory(error: BaseException) -> bool:
    """Whether DuckDB's lack of memory is behind an error."""
    return isinstance(error, duckdb.OutOfMemoryException) or (
        error.__cause__ is not None and _for_memory(error.__cause__)
    )


def score(connection: duckdb.DuckDBPyConnection, people: pl.DataFrame, threshold: float) -> pl.DataFrame:
    """The pairs that share a key and are one person with `threshold` or more.

    A pair needs evidence of its own person, a name or a birth date, besides what a household shares.

    Args:
        connection: of `database`.
        people: of `normalise.people`.
        threshold: probability, 0..1.

    Returns:
        `left`, `right` (ids, left < right), `probability`, `evidence`; sorted.
    """
    # A comparison of nothing, or a key that nobody has, would only cost time.
    there = {column for column in people.columns if people[column].null_count() < len(people)}
    keys = [key for key in KEYS if key in there]
    if not keys:
        return pl.DataFrame(schema={LEFT: pl.Int64, RIGHT: pl.Int64, PROBABILITY: pl.Float64, EVIDENCE: pl.String})
    every = model.comparisons(len(people), named="full" in there)
    comparisons = tuple(comparison for comparison in every if there.intersection(comparison.columns))
    settings = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name=ID,
        comparisons=[comparison.splink() for comparison in comparisons],
        blocking_rules_to_generate_predictions=[block_on(key) for key in keys],
        probability_two_random_records_match=model.prior(len(people)),
        retain_matching_columns=True,  # the levels come with them
    )
    logging.getLogger("splink").setLevel(logging.ERROR)
    api = DuckDBAPI(connection)
    linker = Linker(api.register(_TABLE), settings, log_level=None, validate_settings=False)
    linker.table_management.register_term_frequency_lookup(api.register(_name_shares(people).to_arrow()), "full")
    found = linker.inference.predict(threshold_match_probability=min(threshold, _CERTAIN), warning_mode="never")
    gammas = [f"gamma_{comparison.name}" for comparison in comparisons]
    levels = ", ".join((f"{ID}_l", f"{ID}_r", "match_probability", *gammas))
    scored = _told(_answer(connection, f"SELECT {levels} FROM {found.physical_name}"), comparisons)
    return scored.filter(pl.col(PROBABILITY) >= threshold)


def contradictions(connection: duckdb.DuckDBPyConnection, members: pl.DataFrame) -> pl.DataFrame:
    """Which members of one component cannot be one person.

    Args:
        connection: of `database`.
        members: `id`, `component`.

    Returns:
        `left`, `right`: ids, left < right.
    """
    columns = [name for name, *_ in connection.execute(f"DESCRIBE {_TABLE}").fetchall()]
    sides = ", ".join(f'{side}."{name}" AS "{name}_{side}"' for side in ("l", "r") for name in columns)
    connection.register("members", members.to_arrow())
    try:
        answer = _answer(
            connection,
            f"WITH pairs AS (SELECT {sides} FROM members a JOIN members b USING (component) "
            f"JOIN {_TABLE} l ON l.{ID} = a.{ID} JOIN {_TABLE} r ON r.{ID} = b.{ID} WHERE a.{ID} < b.{ID}) "
            f'SELECT {ID}_l AS "{LEFT}", {ID}_r AS "{RIGHT}" FROM pairs WHERE {" OR ".join(model.CONTRADICTIONS)}',
        )
    finally:
        connection.unregister("members")
    return answer.sort(LEFT, RIGHT)


def _answer(connection: duckdb.DuckDBPyConnection, sql: str) -> pl.DataFrame:
    frame = pl.from_arrow(connection.sql(sql).to_arrow_table())
    assert isinstance(frame, pl.DataFrame)
    return frame


def _name_shares(people: pl.DataFrame) -> pl.DataFrame:
    """The share of people that have each full name, as Splink's table of term frequencies.

    Counted are the people behind the rows, as birth dates and e-mails tell them apart, and two of them are left out:
    a name that only the doubled person has is as rare as a name can be.
    """
    identity = pl.coalesce(BIRTH_DATE, EMAIL, "phone", "street", pl.col(ID).cast(pl.String))
    return (
        people.filter(pl.col("full").is_not_null())
        .group_by("full")
        .agg(((identity.n_unique().cast(pl.Float64) - 2).clip(0) / max(len(people), 1)).alias("tf_full"))
        .sort("full")
    )


def _told(scored: pl.DataFrame, comparisons: tuple[model.Comparison, ...]) -> pl.DataFrame:
    """Splink's answer with the evidence in words, without the pairs that only share a household."""
    says, personal = [], []
    for comparison in comparisons:
        gamma = pl.col(f"gamma_{comparison.name}")
        levels = {number: comparison.level(number) for number in range(len(comparison.levels))}
        says.append(
            gamma.replace_strict(
                {n: it.says or None for n, it in levels.items() if it}, default=None, return_dtype=pl.String
            )
        )
        personal.append(gamma.is_in([n for n, it in levels.items() if it and it.personal]))
    ids = pl.col(f"{ID}_l"), pl.col(f"{ID}_r")
    return (
        scored.filter(pl.any_horizontal(personal))
        .select(
            pl.min_horizontal(ids).alias(LEFT),
            pl.max_horizontal(ids).alias(RIGHT),
            pl.col("match_probability").alias(PROBABILITY),
            pl.concat_str(says, separator=", ", ignore_nulls=True).alias(EVIDENCE),
        )
        .sort(LEFT, RIGHT)
    )
