"""What customers said of purposes, and how often they were contacted, out of the ledger and out of Redis."""

from collections.abc import Sequence
from typing import Any, Final

from feature_repo.warehouse.places import Place
from motherlode import consent, people
from motherlode.consent import Ledger
from motherlode.contacts import contacts_key
from motherlode.online.keys import entity_text
from motherlode.settings import Settings

_PATH: Final = f"{consent.FOLDER}/{consent.LEDGER}"


def find(settings: Settings, keys: Sequence[str]) -> list[Place]:
    """How many purposes customers said something of.

    Args:
        settings: whose home.
        keys: their join keys.
    """
    wanted = {entity_text((key,)) for key in keys}
    return _place(sum(customer in wanted for customer, _ in Ledger(settings).standing()))


def erase(settings: Settings, client: Any, keys: Sequence[str]) -> list[Place]:
    """Take every word of theirs, and of anybody else with a tombstone.

    Args:
        settings: whose home; the tombstones lie there.
        client: a connection; None where there is no server.
        keys: their join keys.
    """
    customers = [entity_text((key,)) for key in keys]
    taken = consent.erase(client, settings, customers) + people.erase(settings, customers)
    if client is not None:
        for customer in customers:
            taken += int(client.unlink(contacts_key(settings.project, customer)))
    return _place(taken)


def _place(rows: int) -> list[Place]:
    return [Place("consent", _PATH, rows)] if rows else []
