"""A project's rows in a real Valkey: one view of one integer, written and read in a line."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import redis

from motherlode.online.reader import OnlineReader, ViewRequest
from motherlode.online.writer import OnlineWriter, Target, Written
from motherlode.packed import Column, Schema, Values, ViewRows, encode

CUSTOMERS = Target("v", owned=True)
BASKETS = Target("v", owned=True, indexed=True)


def digest(entity: str) -> str:
    return f"digest of {entity[::-1]}"


@dataclass
class Rows:
    """Rows of the view `v` in the project `p`.

    Attributes:
        client: a connection.
        project: whose rows.
        target: what they are to the writer.
    """

    client: redis.Redis
    project: str = "p"
    target: Target = CUSTOMERS
    schema: Schema = field(default_factory=lambda: Schema("v", (Column("x", "int64"),)))

    def __post_init__(self) -> None:
        self.writer = OnlineWriter(self.client, self.project, digest)
        self.writer.declare(self.schema, self.target)

    def pack(self, x: int, event: int, created: int = 0) -> bytes:
        values = Values(np.array([x]), np.array([True]))
        return encode(self.schema, {"x": values}, np.array([event]), np.array([created]))[0]

    def write(
        self, entities: Sequence[str], x: int, event: int, created: int = 0, target: Target | None = None
    ) -> Written:
        row = self.pack(x, event, created)
        return self.writer.write(target or self.target, entities, [row] * len(entities))

    def look(self, *entities: str) -> ViewRows:
        return OnlineReader(self.client, self.project, [ViewRequest("v", self.schema.columns, None)]).read(entities)[
            "v"
        ]

    def read(self, *entities: str) -> list[int | None]:
        """Each entity's value; None where there is no row."""
        values = self.look(*entities).columns["x"]
        return [int(x) if ok else None for x, ok in zip(values.data, values.valid, strict=True)]


@pytest.fixture
def rows(client: redis.Redis) -> Rows:
    return Rows(client)
