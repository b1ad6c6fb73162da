"""How far a view's materialisation is, kept in Redis behind the rows themselves: what loses them loses this too.

A run that was killed goes on where it was, if the next one has the same work: the same rows of the same files, the
same columns, the same generation. Otherwise it begins anew, which newest-wins makes harmless.
"""

import hashlib
import time
from typing import Any, Final

import numpy as np
import redis.cluster

from feature_repo.stores.picks import Marks
from feature_repo.stores.sources import Source
from motherlode.packed import Schema

EVERY_S: Final = 1.0
"""Seconds between two notes."""

KEPT_S: Final = 86_400
"""Seconds that Redis keeps a note: a later run begins anew."""


class Checkpoint:
    """A view's place in a run.

    Args:
        client: a connection. With a cluster nothing is kept: its shards lose data one by one.
        project: the Feast project.
        generation: that is written.
        schema: the rows'.
        source: where they are read.
        marks: shape (rows of the source,), the rows that are to be written.

    Attributes:
        marks: as given.
        total: how many rows are marked.
        after: rows before this number were written by an earlier run.
        sent: how many marked rows these are.
    """

    def __init__(
        self, client: Any, project: str, generation: int, schema: Schema, source: Source, marks: Marks
    ) -> None:
        self.marks = marks
        self.total = int(marks.sum())
        self._client = None if isinstance(client, redis.cluster.RedisCluster) else client
        # Beside the rows, so that whatever removes them removes it.
        self._key = f"{project}/{schema.view}/{generation}/@sent"
        self._work = _digest(schema, source, marks)
        self._noted = time.monotonic()
        self.after = self._read()
        self.sent = int(marks[: self.after].sum())

    def _read(self) -> int:
        held: Any = None if self._client is None or self._work is None else self._client.get(self._key)
        work, _, after = (held or b"").decode().partition(" ")
        return int(after) if work == self._work else 0

    def reached(self, up_to: int) -> None:
        """Note that all marked rows before this number are in; no more often than it is worth."""
        now = time.monotonic()
        if self._client is not None and self._work is not None and up_to and now - self._noted >= EVERY_S:
            self._client.set(self._key, f"{self._work} {up_to}", ex=KEPT_S)
            self._noted = now

    def clear(self) -> None:
        """The view is done."""
        if self._client is not None:
            self._client.unlink(self._key)


def _digest(schema: Schema, source: Source, marks: Marks) -> str | None:
    """What is to be written, in short; None where the source does not say whether it is still the same."""
    if source.files is None:
        return None
    files = dict.fromkeys((str(group.file.path), group.file.stamp) for group in source.files.groups)
    digest = hashlib.sha256(f"{schema.mark} {list(files)}".encode())
    digest.update(np.packbits(marks).tobytes())
    return digest.hexdigest()
