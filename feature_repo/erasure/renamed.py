"""Rows that customers have online under previous pseudonym keys: they go when a re-key ends."""

from collections.abc import Sequence

from motherlode import consent, contacts, redis_server
from motherlode.online.keys import entity_text
from motherlode.online.tombstones import Tombstones
from motherlode.online.writer import OnlineWriter
from motherlode.settings import Settings


def remove(settings: Settings, outside_ids: Sequence[str]) -> int:
    """Remove the rows that customers have under previous pseudonym keys; returns how many there were.

    Args:
        settings: bound to a server, or the embedded Valkey runs for the length of the call.
        outside_ids: every customer that may have rows.
    """
    with redis_server.running(settings) as bound, redis_server.connect(bound) as client:
        writer = OnlineWriter(client, settings.project, Tombstones(settings).of_entity)
        _, *before = settings.identity.every_join_key_of(outside_ids)
        consent.move(client, settings, outside_ids)
        contacts.move(client, settings.project, consent.renamed(settings, outside_ids))
        return sum(writer.remove([entity_text([key]) for key in keys]) for keys in before)
