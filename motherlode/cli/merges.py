"""`motherlode merges`: which customers were found to be one person, and how that is undone."""

from pathlib import Path

import click
import msgspec
import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feature_repo.warehouse import parts, privacy
from feature_repo.warehouse import state as states
from feature_repo.warehouse.matching import MATCHES
from feature_repo.warehouse.state import State
from motherlode import audit, names
from motherlode.cli import options
from motherlode.errors import DataError
from motherlode.lock import exclusive
from motherlode.settings import Settings

_INTO = "into_customer_id"
Pair = tuple[str, str]


@click.group(invoke_without_command=True)
@options.home
@click.pass_context
def merges(context: click.Context, home: Path | None) -> None:
    """List which customers were found to be one person; undo a merge, or take that back."""
    if context.invoked_subcommand is None:
        context.invoke(list_, customer=None, limit=20, home=home)


@merges.command("list")
@click.option("--customer", help="Only this customer's, by outside id or join key.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, the least sure first."
)
@options.home
def list_(customer: str | None, limit: int, home: Path | None) -> None:
    """Print the merges with their probability and evidence, the least sure first, and the pairs that are kept apart."""
    settings, console = Settings.from_env(home=home), Console()
    state = _state(settings)
    ledger = _ledger(settings, state)
    if customer is not None:
        keys = list(_keys(settings, customer))
        ledger = ledger.filter(pl.any_horizontal(pl.col(names.CUSTOMER_ID, _INTO).is_in(keys)))
    found = ledger.sort("probability", names.CUSTOMER_ID).head(limit)
    table = Table(title=f"{found.height:,} of {ledger.height:,} merged customers", title_justify="left")
    for heading in ("customer", "into", "probability", "evidence"):
        table.add_column(heading, justify="right" if heading == "probability" else "left", overflow="fold")
    for left, into, probability, evidence in found.iter_rows():
        # Rounded down: what is not certain is not printed as 1.
        table.add_row(Text(left), Text(into), f"{int(probability * 10_000) / 10_000:.4f}", Text(evidence or ""))
    console.print(table)
    for left, right in state.kept_apart:
        console.print(f"Kept apart: {left} and {right}.", markup=False, highlight=False, soft_wrap=True)


@merges.command()
@click.argument("customer")
@click.argument("into")
@options.home
def undo(customer: str, into: str, home: Path | None) -> None:
    """Tell that CUSTOMER and INTO, by outside ids or join keys, are two people; the next load parts them."""
    settings = Settings.from_env(home=home)
    with exclusive(settings):
        state = _state(settings)
        person = dict(_ledger(settings, state).select(names.CUSTOMER_ID, _INTO).iter_rows())
        pairs = _pairs(settings, customer, into)
        if _first(pairs, state.kept_apart) is not None:
            raise DataError(f"{customer} and {into} are kept apart already.", "Run `motherlode ingest` to part them.")
        survivors = set(person.values())
        merged = [
            (left, right)
            for left, right in pairs
            if left != right
            and {left, right} <= person.keys() | survivors
            and person.get(left, left) == person.get(right, right)
        ]
        if not merged:
            raise DataError(f"{customer} and {into} are not merged.", "See `motherlode merges list --customer ID`.")
        _write(
            settings, msgspec.structs.replace(state, kept_apart=(*state.kept_apart, merged[0])), "unmerge", merged[0]
        )
    _say(f"{customer} and {into} are kept apart from now on.")


@merges.command()
@click.argument("customer")
@click.argument("into")
@options.home
def redo(customer: str, into: str, home: Path | None) -> None:
    """Take an `undo` back: the next load may find CUSTOMER and INTO to be one person again."""
    settings = Settings.from_env(home=home)
    with exclusive(settings):
        state = _state(settings)
        told = _first(_pairs(settings, customer, into), state.kept_apart)
        if told is None:
            raise DataError(f"{customer} and {into} are not kept apart.", "See `motherlode merges`.")
        left = tuple(pair for pair in state.kept_apart if pair != told)
        _write(settings, msgspec.structs.replace(state, kept_apart=left), "remerge", told)
    _say(f"{customer} and {into} may be one person again.")


def _state(settings: Settings) -> State:
    state = states.read(settings)
    privacy.check_keys(settings, state)
    if not state.loads:
        raise DataError(f"Nothing was loaded into {settings.home}.", "Run `motherlode ingest`.")
    return state


def _ledger(settings: Settings, state: State) -> pl.DataFrame:
    frames = parts.scan(settings, [state.matches])
    # A load that had nobody to compare leaves a ledger of fewer columns.
    return pl.concat([pl.LazyFrame(schema=MATCHES), *frames], how="diagonal").select(*MATCHES).collect()


def _keys(settings: Settings, text: str) -> tuple[str, ...]:
    """The join keys that a text may stand for: it is one, or an outside id."""
    return tuple(dict.fromkeys((text, *settings.identity.join_keys(text))))


def _pairs(settings: Settings, customer: str, into: str) -> list[Pair]:
    return [(left, right) for left in _keys(settings, customer) for right in _keys(settings, into)]


def _first(pairs: list[Pair], kept: tuple[Pair, ...]) -> Pair | None:
    """The pair as it is kept apart, in whatever order."""
    known = {*pairs, *((right, left) for left, right in pairs)}
    return next((pair for pair in kept if pair in known), None)


def _write(settings: Settings, state: State, action: str, pair: Pair) -> None:
    audit.check(settings)
    states.write(settings, state)
    # Without a key a join key is an outside id, which the log must not hold.
    shown = pair if settings.identity.keyed else (audit.HIDDEN, audit.HIDDEN)
    audit.record(settings, action, names.CUSTOMERS, customer=shown[0], into=shown[1])


def _say(what: str) -> None:
    Console().print(f"{what} Run `motherlode ingest` to bring the tables in line.", markup=False, soft_wrap=True)
