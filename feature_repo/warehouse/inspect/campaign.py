"""A file with a person, a call and its answer in every row: contacts, responses, and the persons' profiles."""

from dataclasses import replace
from typing import Final

from feature_repo.warehouse.inspect import columns, own
from feature_repo.warehouse.inspect.block import Block
from feature_repo.warehouse.inspect.columns import Made
from feature_repo.warehouse.inspect.fit import PERSONAL, Filled, Fit, assign
from feature_repo.warehouse.inspect.profile import ColumnProfile, FileProfile
from motherlode import names

_CALLED: Final = frozenset({"call", "campaign", "channel", "duration"})
_SAID: Final = _CALLED | {"response"}
_ARMS: Final = 20
_PROFILE: Final = 3
"""Attributes of persons from which the rows tell of customers too."""
_MANY_CALLS: Final = 100
"""More than a client is called in one campaign."""


def answer(file: FileProfile) -> ColumnProfile | None:
    """The column that says yes or no to what was asked; None where there is none."""
    return next((it for it in file.columns.values() if own.afterwards(it) and it.kind == "truth"), None)


def is_one(file: FileProfile, fit: Fit, last: str | None) -> bool:
    """Whether a file of customers, contacts or responses is one of calls and their answers.

    Args:
        last: the last campaign's id, where there is a file of campaigns.
    """
    if fit.table not in (names.CUSTOMERS, names.CONTACTS, names.RESPONSES) or answer(file) is None:
        return False
    if names.COUPON_ID in fit.filled:
        return False
    # A contact whose time nobody knows is none.
    timed = last is not None or any(column.kind == "time" for column in file.columns.values())
    return timed and any(column.meaning.concepts & _CALLED for column in file.columns.values())


def profiles(file: FileProfile, fit: Fit) -> Fit | None:
    """The customers that the rows tell of; None where they tell nothing of them."""
    if fit.table == names.CUSTOMERS:
        return fit
    attributes = sum(1 for column in file.columns.values() if column.meaning.concepts & PERSONAL)
    if attributes < _PROFILE:
        return None
    return Fit(names.CUSTOMERS, 0.5, assign(names.CUSTOMERS, file.columns), ())


def again(fit: Fit) -> bool:
    """Whether customers come more than once."""
    key = fit.filled.get(names.CUSTOMER_ID)
    return key is not None and not key.column.unique


def blocks(file: FileProfile, fit: Fit, last: str | None) -> list[Block]:
    """Contacts of all rows, and where there is a time, responses of those who said yes."""
    found = assign(names.CONTACTS, {name: it for name, it in file.columns.items() if not own.afterwards(it)})
    customer = _customer(file, fit, found)
    kept = {name: it for name, it in found.items() if name in (names.CHANNEL, names.EVENT_TIMESTAMP)}
    rest = [made for made in columns.canonical(file, names.CONTACTS, kept, False) if made.name in kept]
    campaign = _campaign(file, found.get(names.CAMPAIGN_ID), last)
    used = {it.column.name for it in kept.values()} | {it.clock[0].name for it in kept.values() if it.clock}
    used |= {campaign.spec} if isinstance(campaign.spec, str) else set()
    extras: list[Made] = []
    for column in file.columns.values():
        if of_call(column) and column.name not in used:
            taken = {it.name for it in (*rest, *extras)}
            extra = columns.extra(column, names.CONTACTS, file, taken)
            extras += [extra] if isinstance(extra, Made) else []
    contacts = Block(names.CONTACTS, file.source, 0.5, (customer, campaign, *rest, *extras))
    when = next((made for made in rest if made.name == names.EVENT_TIMESTAMP), None)
    said = answer(file)
    yes = [text for text, true in (said.truths or {}).items() if true] if said is not None else []
    if when is None or said is None or not yes:
        return [contacts]
    where = f"{columns.sql_name(said.name)} {_equals(said, yes)}"
    return [contacts, Block(names.RESPONSES, file.source, 0.5, (customer, campaign, when), where=where)]


def of_call(column: ColumnProfile) -> bool:
    """Whether a column tells of the call, not of the person."""
    return bool(column.meaning.concepts & _SAID) or _arm(column)


def _equals(said: ColumnProfile, yes: list[str]) -> str:
    if said.typed:
        return "= true" if yes == ["true"] else f"= {yes[0]}"
    listed = ", ".join("'" + text.replace("'", "''") + "'" for text in yes)
    return f"= {listed}" if len(yes) == 1 else f"in ({listed})"


def _customer(file: FileProfile, fit: Fit, found: dict[str, Filled]) -> Made:
    key = fit.filled.get(names.CUSTOMER_ID) or found.get(names.CUSTOMER_ID)
    return columns.canonical(file, names.CUSTOMERS, {names.CUSTOMER_ID: key} if key is not None else {}, False)[0]


def _campaign(file: FileProfile, found: Filled | None, last: str | None) -> Made:
    """Which campaign a row belongs to: an experiment's arm, a column, or one for all."""
    arm = next((it for it in file.columns.values() if _arm(it)), None)
    if arm is not None:
        return Made(names.CAMPAIGN_ID, arm.name, 0.4, "which campaign was it?", True)
    whole = Made(names.CAMPAIGN_ID, {"value": last or file.source}, 0.4, "which campaign was it?", True)
    if found is None or last is not None:
        return whole
    numbers = found.column.numbers
    if "id" not in found.column.meaning.concepts and numbers is not None and 0 < numbers.high < _MANY_CALLS:
        return replace(whole, note=f"which campaign was it? {found.column.name} seems to count a campaign's calls")
    return Made(names.CAMPAIGN_ID, found.reference, found.sure, columns.evidence(found.column, hide=False))


def _arm(column: ColumnProfile) -> bool:
    """An experiment's arm."""
    return column.meaning.concepts == {"segment"} and not column.meaning.unknown and column.different < _ARMS
