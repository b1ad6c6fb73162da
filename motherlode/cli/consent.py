"""`motherlode consent`: what customers said of the purposes that they are answered for."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from feature_repo.mart import customers
from motherlode import consent as consents
from motherlode.cli import options
from motherlode.consent import Ledger, Purposes, UnknownPurposeError, Word
from motherlode.errors import DataError, SettingsError
from motherlode.online.keys import entity_text
from motherlode.online.tombstones import Tombstones
from motherlode.people import People
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

_PURPOSE = click.option("--purpose", required=True, help="One of MOTHERLODE_PURPOSES that needs consent.")


@click.group()
def consent() -> None:
    """What customers said: withdraw, grant, show, or take over what the company's tables say."""


@consent.command()
@click.argument("customer")
@_PURPOSE
@options.home
def withdraw(customer: str, purpose: str, home: Path | None) -> None:
    """CUSTOMER, by the company's id, gets no personal answer for the purpose any more, from now on."""
    _say(home, customer, purpose, granted=False)


@consent.command()
@click.argument("customer")
@_PURPOSE
@options.home
def grant(customer: str, purpose: str, home: Path | None) -> None:
    """CUSTOMER, by the company's id, agrees to personal answers for the purpose."""
    _say(home, customer, purpose, granted=True)


@consent.command()
@click.argument("customer")
@options.home
def show(customer: str, home: Path | None) -> None:
    """What CUSTOMER said of each purpose, and what becomes of it."""
    settings = Settings.from_env(home=home)
    standing = Ledger(settings).standing()
    names = [entity_text((key,)) for key in settings.identity.join_keys(customer)]
    table = Table("purpose", "rule", "said", "at (UTC)", "personal answers")
    for purpose, rule in Purposes.of(settings).rules.items():
        words = [standing[name, purpose] for name in names if (name, purpose) in standing]
        newest = max(words, key=lambda word: word.rank, default=None)
        allowed = consents.allows(rule, [word.signed for word in words])
        table.add_row(purpose, rule, *_told(newest), "yes" if allowed else "no")
    Console().print(table)


@consent.command()
@options.home
def load(home: Path | None) -> None:
    """Take over what the company's tables say: the columns `consent_<purpose>` of the customers in the mart.

    They have no time, so whatever a customer said here or over HTTP counts before them, and a "no" under one of a
    person's ids counts before a "yes" under another.
    """
    settings = Settings.from_env(home=home)
    known = {name for name, rule in Purposes.of(settings).rules.items() if rule != "free"}
    standing = Ledger(settings).standing()
    said = [(entity_text((key,)), purpose, yes) for key, purpose, yes in customers.said(settings) if purpose in known]
    refusing = [(key, purpose) for key, purpose, yes in said if not yes]
    ledger = Ledger(settings)
    try:
        others = _others(settings, {key for key, _ in refusing})
    except DataError as error:
        kept = ledger.add(_new([(key, purpose, False) for key, purpose in refusing], standing))
        _into_redis(settings, kept)
        what = f"{len(kept):,} new withdrawals of the tables are kept, each for its own id alone, and no agreement"
        raise DataError(f"{what}: {error.problem}", f"{error.remedy} Then load again.") from error
    refused = {*refusing, *((other, purpose) for key, purpose in refusing for other in others[key])}
    told = ledger.add(
        _new([(key, purpose, yes and (key, purpose) not in refused) for key, purpose, yes in said], standing)
    )
    withdrawn = [word for word in told if not word.granted]
    spread = [replace(word, customer=other) for word in withdrawn for other in others.get(word.customer, ())]
    _into_redis(settings, [*told, *ledger.add(spread)])
    Console().print(f"{len(told):,} words of {len(said):,} in the tables are new.", highlight=False)


def _others(settings: Settings, customers: Collection[str]) -> Mapping[str, Sequence[str]]:
    """Customer → the other names of that person."""
    with closing(People(settings)) as people:
        return {customer: people.others([customer]) for customer in customers}


def _new(said: Iterable[tuple[str, str, bool]], standing: Mapping[tuple[str, str], Word]) -> list[Word]:
    words = (_news(key, purpose, yes, standing.get((key, purpose))) for key, purpose, yes in said)
    return [word for word in words if word is not None]


def _news(customer: str, purpose: str, granted: bool, before: Word | None) -> Word | None:
    """What the tables say, where they say it anew, and the customer said nothing themselves."""
    if before is None:
        return Word(customer, purpose, granted, 1)
    if before.at >= consents.TABLES or before.granted == granted:
        return None
    return Word(customer, purpose, granted, before.at + 1)


def _say(home: Path | None, customer: str, purpose: str, *, granted: bool) -> None:
    settings = Settings.from_env(home=home)
    _require(settings, purpose)
    keys = [entity_text((key,)) for key in settings.identity.join_keys(customer)]
    at = int(datetime.now(UTC).timestamp() * 1000)
    word = Word(keys[0], purpose, granted, at)
    ledger, problem = Ledger(settings), None
    kept = ledger.add([word])  # whatever becomes of the person's other names
    try:
        with closing(People(settings)) as people:
            kept += ledger.add(people.words(word, keys)[1:])
    except DataError as error:
        problem = error
    _into_redis(settings, kept)
    if problem is not None:
        what = f"{purpose} is withdrawn under this id alone, and not under others that the person may have"
        raise DataError(f"{what}: {problem.problem}", problem.remedy) from problem
    if not kept:
        Console().print("The customer was erased: nothing is kept.")
        return
    Console().print(f"Kept: {purpose} {'granted' if granted else 'withdrawn'}. It counts from now on.", highlight=False)


def _require(settings: Settings, purpose: str) -> None:
    try:
        rule = Purposes.of(settings).rule(purpose)
    except UnknownPurposeError as error:
        raise SettingsError(str(error), f"Use one of {', '.join(error.known)} (MOTHERLODE_PURPOSES).") from None
    if rule == "free":
        raise SettingsError(f"The purpose {purpose!r} needs no consent.", "Give it a rule in MOTHERLODE_PURPOSES.")


def _into_redis(settings: Settings, kept: Sequence[Word]) -> None:
    """What the ledger has: should Redis be gone, the next server of this home tells it."""
    if kept:
        with running(settings) as bound, connect(bound) as client:
            consents.tell(client, settings.project, kept, Tombstones(settings))


def _told(word: Word | None) -> tuple[str, str]:
    if word is None:
        return "nothing", ""
    said = "yes" if word.granted else "no"
    if word.at < consents.TABLES:
        return f"{said}, by the tables", ""
    return said, datetime.fromtimestamp(word.at / 1000, UTC).isoformat(sep=" ", timespec="seconds")[:19]
