"""What customers said of purposes, how often they were contacted, and who is one person with them: out of it all."""

from collections.abc import Sequence
from typing import Any, Final

from feature_repo.warehouse.places import Place
from motherlode import consent, people
from motherlode.consent import Ledger
from motherlode.contacts import contacts_key
from motherlode.online.keys import entity_text
from motherlode.settings import Settings

_PATH: Final = f"{consent.FOLDER}/{consent.LEDGER}"
_PEOPLE: Final = f"{consent.FOLDER}/{people.FILE}"


def find(settings: Settings, keys: Sequence[str]) -> list[Place]:
    """How many purposes customers said something of, and how many of their names are known as one person's.

    Args:
        settings: whose home.
        keys: their join keys.
    """
    wanted = {entity_text((key,)) for key in keys}
    said = sum(customer in wanted for customer, _ in Ledger(settings).standing())
    return [*_place(said), *_one_person(people.count(settings, wanted))]


def erase(settings: Settings, client: Any, keys: Sequence[str]) -> list[Place]:
    """Take every word and name of theirs, and of anybody else with a tombstone.

    Args:
        settings: whose home; the tombstones lie there.
        client: a connection; None where there is no server.
        keys: their join keys.
    """
    customers = [entity_text((key,)) for key in keys]
    taken = consent.erase(client, settings, customers)
    if client is not None:
        for customer in customers:
            taken += int(client.unlink(contacts_key(settings.project, customer)))
    return [*_place(taken), *_one_person(people.erase(settings, customers))]


def _one_person(names: int | None) -> list[Place]:
    """The file that says who is one person; of one that could not be read, and went whole, nobody knows the rows."""
    return [] if names == 0 else [Place("one person", _PEOPLE, names or 0)]


def _place(rows: int) -> list[Place]:
    return [Place("consent", _PATH, rows)] if rows else []
