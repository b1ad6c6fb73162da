"""The integrated tables, quarantine, the merge ledger, and the way back from a join key to an outside id."""

from collections.abc import Iterable
from typing import Final

import polars as pl

from feature_repo.warehouse import parts, vault
from feature_repo.warehouse.contract import MERGED, QUARANTINE, SCHEMAS
from feature_repo.warehouse.state import Integrated, Part, State, read
from motherlode import names
from motherlode.errors import DataError
from motherlode.settings import Settings

_LOAD: Final = "Run `motherlode ingest`."
INTEGER: Final = r"^(0|-?[1-9][0-9]{0,17})$"
"""An integer as a machine writes it: `007` is none, since it would come back as 7."""


def scan(settings: Settings, name: str) -> pl.LazyFrame:
    """An integrated table: the columns of `contract.SCHEMAS[name]`, then the table's own.

    An item's `outside_id` is Int64 where the company counts its items, else String. A table that the mapping leaves
    out has no rows.

    Raises:
        DataError: there is no such table, or nothing was loaded.
    """
    return scan_state(settings, _loaded(settings), name)


def scan_state(settings: Settings, state: State, name: str) -> pl.LazyFrame:
    """A table of a state: the current one, or one that is not the state yet.

    Raises:
        DataError: there is no such table.
    """
    if name not in SCHEMAS:
        raise DataError(f"There is no table {name!r}.", f"Known: {', '.join(SCHEMAS)}.")
    table = state.integrated.get(name)
    months = parts.scan(settings, table.parts.values()) if table is not None else []
    # A column of a later month alone, such as one that a new file brought, is null in the earlier ones.
    return pl.concat(months, how="diagonal") if months else pl.LazyFrame(schema=SCHEMAS[name])


def scan_all(settings: Settings) -> dict[str, pl.LazyFrame]:
    """Every integrated table, by name.

    Raises:
        DataError: nothing was loaded.
    """
    state = _loaded(settings)
    return {name: scan_state(settings, state, name) for name in SCHEMAS}


def outside_ids(settings: Settings) -> pl.DataFrame:
    """Every customer: `outside_id` as the company has it, and `customer_id`, the key that the tables know them by.

    Outside ids of one person share a key. `outside_id` is Int64 where every one is an integer, else String; ascending.

    Raises:
        DataError: nothing was loaded, or raw is encrypted and its key is not here.
    """
    state = _loaded(settings)
    known = identities(settings, state.identities)
    for matches in parts.scan(settings, [state.matches]):
        aliases = matches.select(names.CUSTOMER_ID, "into_customer_id").collect()
        known = known.join(aliases, on=names.CUSTOMER_ID, how="left", maintain_order="left")
        known = known.select(
            names.OUTSIDE_ID, pl.coalesce("into_customer_id", names.CUSTOMER_ID).alias(names.CUSTOMER_ID)
        )
    everyone = scan_state(settings, state, names.CUSTOMERS).select(names.CUSTOMER_ID).collect()
    known = known.join(everyone, on=names.CUSTOMER_ID, how="semi", maintain_order="left")
    if known[names.OUTSIDE_ID].str.contains(INTEGER).all():
        known = known.with_columns(pl.col(names.OUTSIDE_ID).cast(pl.Int64))
    return known.sort(names.OUTSIDE_ID)


def identities(settings: Settings, known: Iterable[Part]) -> pl.DataFrame:
    """Parts of `State.identities`: `outside_id`, `customer_id`, both String.

    Raises:
        DataError: they are encrypted and the key is not here.
    """
    schema = {names.OUTSIDE_ID: pl.String, names.CUSTOMER_ID: pl.String}
    frames = [pl.DataFrame(schema=schema)]
    for part in known:
        with vault.reader(settings.home / part.path, settings) as file:
            frames.append(pl.DataFrame(file.read(columns=list(schema))))
    return pl.concat(frames)


def quarantine(settings: Settings, table: str | None = None) -> pl.LazyFrame:
    """Rejected rows, with the columns of `contract.QUARANTINE`.

    Args:
        settings: whose warehouse.
        table: one table; None: all. A source that is looked up in alone stands under its own name.

    Raises:
        DataError: nothing was loaded.
    """
    return quarantine_state(settings, _loaded(settings), table)


def quarantine_state(settings: Settings, state: State, table: str | None = None) -> pl.LazyFrame:
    """The same of a state: the current one, or one that is not the state yet."""
    found = [cleaned.quarantine for cleaned in state.clean]
    found += [entry.quarantine for entry in _entries(state)]
    rows = parts.together(settings, found, QUARANTINE)
    return rows if table is None else rows.filter(pl.col("table") == table)


def merged(settings: Settings, table: str | None = None) -> pl.LazyFrame:
    """The merge ledger, with the columns of `contract.MERGED`.

    Raises:
        DataError: nothing was loaded.
    """
    return merged_state(settings, _loaded(settings), table)


def merged_state(settings: Settings, state: State, table: str | None = None) -> pl.LazyFrame:
    """The same of a state: the current one, or one that is not the state yet."""
    rows = parts.together(settings, [entry.ledger for entry in _entries(state)], MERGED)
    return rows if table is None else rows.filter(pl.col("table") == table)


def _entries(state: State) -> list[Integrated]:
    return [*state.integrated.values(), *state.lookups.values()]


def _loaded(settings: Settings) -> State:
    state = read(settings)
    if not state.loads:
        raise DataError(f"Nothing was loaded in {settings.home}.", _LOAD)
    return state
