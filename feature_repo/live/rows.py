"""The rows of the view `live` in Redis: read, counted up, written back where they are newer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from feature_repo.live.state import Positioned, by_customer, pack, unpack
from motherlode import names
from motherlode.events import LIVE
from motherlode.identity import Identity
from motherlode.online.keys import entity_text, live_key, row_key
from motherlode.online.live import Live
from motherlode.online.reader import mget
from motherlode.online.writer import Digest, OnlineWriter, Target

TARGET: Final = Target(names.LIVE, owned=True)


@dataclass(frozen=True)
class Counted:
    """What became of some events.

    Attributes:
        events: that were counted.
        again: that had been counted before.
        refused: rows of customers that were erased.
        damaged: rows that cannot be read; they are left as they are until a replay.
    """

    events: int = 0
    again: int = 0
    refused: int = 0
    damaged: int = 0


class LiveRows:
    """Counts events into rows.

    Rows only grow: of two writers the one that counted more events wins, by the event time first and then by the
    position, which grow together. So a writer that was thought dead and writes once more changes nothing.

    Args:
        client: a connection that answers bytes, to one server or a cluster.
        project: the Feast project.
        identity: outside ids → join keys.
        digest: of a customer's tombstone.
        generation: which rows; None: those that are live.
    """

    def __init__(
        self, client: Any, project: str, identity: Identity, digest: Digest, generation: int | None = None
    ) -> None:
        self._client, self._project, self._identity = client, project, identity
        self._writer = OnlineWriter(client, project, digest)
        self._generation = generation
        self._told, self._live = b"", Live()
        self._target = TARGET if generation is None else Target(names.LIVE, owned=True, generations=(generation,))

    def declare(self) -> None:
        """Say how rows are packed."""
        self._writer.declare(LIVE, self._target)

    def count(self, events: Sequence[Positioned]) -> Counted:
        """Count events, in the order of their positions, each at most once.

        Raises:
            redis.RedisError: the server is gone: some may be counted, and counting them again is harmless.
        """
        grouped = by_customer(events)
        if not grouped:
            return Counted()
        entities = [entity_text((key,)) for key in self._identity.join_keys_of(grouped)]
        rows = unpack(self._read(entities))
        changed, counted, again, damaged = [], 0, 0, 0
        for entity, row, theirs in zip(entities, rows, grouped.values(), strict=True):
            if row is None:
                damaged += 1
                continue
            new = sum(row.count(position, event) for position, event in theirs)
            counted, again = counted + new, again + len(theirs) - new
            if new:
                changed.append((entity, row))
        refused = 0
        if changed:
            written = self._writer.write(self._target, [entity for entity, _ in changed], pack([r for _, r in changed]))
            refused = written.refused
        return Counted(counted, again, refused, damaged)

    def _read(self, entities: Sequence[str]) -> list[bytes | None]:
        """Their rows; one round trip, two after a flip."""
        while True:
            generation = self._live.generation(names.LIVE) if self._generation is None else self._generation
            keys = [row_key(self._project, names.LIVE, entity, generation) for entity in entities]
            told, *rows = mget(self._client, [live_key(self._project), *keys])
            if (told or b"") == self._told:
                return rows
            self._told, self._live = told or b"", Live.from_json(told)
