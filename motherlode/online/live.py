"""Generations: which rows of a view are read, and which a new generation is being made of beside them.

A view's rows lie under the number of their generation. `@live` says which number readers read; each guard holds a copy,
which the writing script compares with what the writer thought, so that no row is written for generations that are over.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self

import msgspec

from motherlode.errors import StoreError
from motherlode.online.keys import BUCKETS, guard_key, live_key
from motherlode.online.scripts import PLACE_LIVE, SWITCH

LIVE_FIELD: Final = "@live"
"""The field of a guard that holds a copy of what is live."""
_TRIES: Final = 100


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """Which generation of each view is which.

    Attributes:
        version: counts the changes.
        views: view → the generation that is read; 0 where it is not named.
        shadows: view → the generation that is being made beside it: every write goes there too.
        previous: view → the generation that was read before, kept for a rollback.
        last: view → the highest number given so far.
    """

    version: int = 0
    views: Mapping[str, int] = {}
    shadows: Mapping[str, int] = {}
    previous: Mapping[str, int] = {}
    last: Mapping[str, int] = {}

    @classmethod
    def from_json(cls, data: bytes | None) -> Self:
        """From the bytes at `@live`; None, as in a store where nothing was ever flipped: generation 0 everywhere."""
        return cls() if not data else msgspec.json.decode(data, type=cls)

    def to_json(self) -> bytes:
        """Empty for the first state, so that a store without `@live` is in it."""
        return b"" if not self.version else msgspec.json.encode(self, order="deterministic")

    def generation(self, view: str) -> int:
        """The one that is read."""
        return self.views.get(view, 0)

    def written(self, view: str) -> tuple[int, ...]:
        """Those that a write goes to: what is read, and its shadow."""
        shadow = self.shadows.get(view)
        return (self.generation(view),) if shadow is None else (self.generation(view), shadow)

    def kept(self, view: str) -> frozenset[int]:
        """Those whose rows may be there."""
        others = (named[view] for named in (self.shadows, self.previous) if view in named)
        return frozenset({self.generation(view), *others})


def read(client: Any, project: str) -> Live:
    """What is live now.

    Args:
        client: a `redis.Redis` or a `redis.cluster.RedisCluster`.
    """
    return Live.from_json(client.get(live_key(project)))


def place(client: Any, project: str, live: Live, buckets: Iterable[int] = range(BUCKETS)) -> None:
    """Copy what is live into guards, every one by default; a newer one that lies there stays."""
    if not live.version:
        return  # as it is where nothing lies
    script = client.register_script(PLACE_LIVE)
    for number in buckets:
        script(keys=[guard_key(project, number)], args=[live.to_json(), live.version])


def heal(client: Any, project: str, buckets: Iterable[int]) -> None:
    """Make guards and `@live` agree, where a switcher died between them, or where a failover lost one of them.

    The newer one wins. The pointer is always set before its copies, so a copy that is newer was the pointer once.
    """
    for number in buckets:
        now = read(client, project)
        copy: bytes | None = client.hget(guard_key(project, number), LIVE_FIELD)
        if Live.from_json(copy).version > now.version:
            client.register_script(SWITCH)(keys=[live_key(project)], args=[now.to_json(), copy])
        else:
            place(client, project, now, [number])


def switch(client: Any, project: str, change: Callable[[Live], Live]) -> Live:
    """Change what is live, in one step for readers; when this returns no writer writes for what was live before.

    Args:
        change: from what is live to what shall be; `version` is set here. Called anew where somebody else was faster.

    Raises:
        StoreError: others change it without end.
    """
    script = client.register_script(SWITCH)
    for _ in range(_TRIES):
        now = read(client, project)
        wanted = msgspec.structs.replace(change(now), version=now.version + 1)
        if script(keys=[live_key(project)], args=[now.to_json(), wanted.to_json()]):
            place(client, project, wanted)
            return wanted
    raise StoreError(f"What is live in project {project!r} changes without end.", "Run one flip at a time.")
