"""A new generation of a view beside the one that is read: are they alike enough to read the new one?

Rows are counted in Redis, and features compared on a sample: the same customers on both sides, those with the smallest
hashes, so that a sample needs no list of keys.
"""

import heapq
import zlib
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from feature_repo.stores.shadow import keys_of
from motherlode import stability
from motherlode.online.keys import entity_of, row_key, schema_key
from motherlode.online.reader import mget, now_us
from motherlode.packed import Column, Schema, Status, Values, ViewRows, created_us_of, decode, fingerprint_of

SAMPLE: Final = 10_000
"""Entities compared a view and a side, at the most."""
_READ: Final = 1000
"""Rows fetched in one round trip."""
_CATEGORIES: Final = 20
_ENOUGH: Final = 100
"""Values on either side from which on a distribution is judged: with fewer it moves by chance."""
_NUMBERS: Final = frozenset({"bool", "int32", "int64", "float32", "float64"})


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """How far a new generation may be from what is read.

    Attributes:
        lost: share of the rows that may be missing.
        gained: share of the rows that may be added.
        nulls: by how much a feature's share of nulls may rise, 0 to 1.
        shift: a feature's population stability index, at the most: 0.1 is a small shift, 0.25 a large one.
        unequal: share of the rows of the same event and created time whose value may be another.
    """

    lost: float = 0.05
    gained: float = 1.0
    nulls: float = 0.05
    shift: float = 0.25
    unequal: float = 0.01


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One feature on both sides; what cannot be said is None.

    Attributes:
        name: of the feature.
        what: "both", or "new", "gone" or "retyped" in the new generation.
        nulls_live, nulls_shadow: share of nulls, 0 to 1.
        shift: population stability index of the values: of numbers in tenths of the live ones, of a list by its length,
            of strings in the commonest of the live ones. Times move by themselves, and are not judged.
        unequal: of the rows whose event and created times are the same, the share with another value.
    """

    name: str
    what: str = "both"
    nulls_live: float | None = None
    nulls_shadow: float | None = None
    shift: float | None = None
    unequal: float | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One view's new generation beside the one that is read.

    Attributes:
        view: its name.
        live, shadow: the generations' numbers.
        live_rows, shadow_rows: rows that Redis holds of each.
        sent: rows that were sent to the new one, and that Redis must hold: neither refused nor forgotten since.
        sampled: entities compared that both have.
        unchanged: of these, with the same event and created time.
        features: by name.
        refusals: why the new one should not be read; empty where it should.
    """

    view: str
    live: int
    shadow: int
    live_rows: int
    shadow_rows: int
    sent: int
    sampled: int
    unchanged: int
    features: tuple[Feature, ...]
    refusals: tuple[str, ...]


def compare(
    client: Any,
    project: str,
    view: str,
    generations: tuple[int, int],
    sent: Callable[[], int],
    thresholds: Thresholds,
    sample: int = SAMPLE,
) -> Comparison:
    """Compare a view's two generations.

    Args:
        client: a connection, to one server or a cluster.
        project: the Feast project.
        view: the feature view.
        generations: the one that is read, and the new one.
        sent: how many rows the new one must hold: asked after they were counted, as rows are forgotten meanwhile.
        thresholds: from where on the new one should not be read.
        sample: entities compared a side, at the most.
    """
    (live_rows, of_live), (shadow_rows, of_shadow) = (
        _count(keys_of(client, project, view, number), sample) for number in generations
    )
    due = sent()
    entities = sorted({*of_live, *of_shadow})
    before, after = (_Side(client, project, view, number, entities) for number in generations)
    both = before.there & after.there
    unchanged = both & (before.created == after.created) & (before.rows.event_us == after.rows.event_us)
    features = _features(before, after, unchanged)
    return Comparison(
        view=view,
        live=generations[0],
        shadow=generations[1],
        live_rows=live_rows,
        shadow_rows=shadow_rows,
        sent=due,
        sampled=int(both.sum()),
        unchanged=int(unchanged.sum()),
        features=features,
        refusals=(
            *_rows(live_rows, shadow_rows, due, thresholds),
            *(_unread(before, after) if live_rows and shadow_rows and not both.any() else ()),
            *_refusals(features, live_rows, thresholds),
        ),
    )


class _Side:
    """The sampled entities' rows in one generation.

    Attributes:
        columns: its features, by name.
        rows: as decoded, stale ones too.
        created: shape (N,), created times; 0 where there is no row.
        there: shape (N,), whether there is a row.
    """

    def __init__(self, client: Any, project: str, view: str, generation: int, entities: Sequence[str]) -> None:
        found: list[bytes | None] = []
        for start in range(0, len(entities), _READ):
            part = entities[start : start + _READ]
            found += mget(client, [row_key(project, view, entity, generation) for entity in part])
        marks = [mark for row in found if row and (mark := fingerprint_of(row)) is not None]
        # A generation that was written while a column was added holds rows of two schemas: the commoner is looked at.
        commonest = max(set(marks), key=marks.count, default=None)
        data = None if commonest is None else client.get(schema_key(project, commonest))
        schema = Schema(view, ()) if data is None else Schema.from_json(data)
        self.columns: Mapping[str, Column] = {column.name: column for column in schema.columns}
        self.rows: ViewRows = decode(found, schema.columns, {schema.fingerprint: schema}, now_us=now_us())
        self.there: npt.NDArray[np.bool_] = self.rows.status == Status.PRESENT
        created = [(created_us_of(row) if row else None) or 0 for row in found]
        self.created: npt.NDArray[np.int64] = np.array(created, dtype=np.int64)

    def values(self, name: str) -> npt.NDArray[Any]:
        """A feature's values that are not null."""
        values = self.rows.columns[name]
        data: npt.NDArray[Any] = values.data[values.valid & self.there]
        return data

    def nulls(self, name: str) -> float | None:
        """A feature's share of nulls; None without rows."""
        n = int(self.there.sum())
        return None if n == 0 else 1 - int((self.rows.columns[name].valid & self.there).sum()) / n


def _features(before: _Side, after: _Side, unchanged: npt.NDArray[np.bool_]) -> tuple[Feature, ...]:
    found = []
    for name in sorted({*before.columns, *after.columns}):
        if name not in after.columns:
            found.append(Feature(name=name, what="gone", nulls_live=before.nulls(name)))
        elif name not in before.columns:
            found.append(Feature(name=name, what="new", nulls_shadow=after.nulls(name)))
        elif before.columns[name] != after.columns[name]:
            found.append(Feature(name=name, what="retyped"))
        else:
            feature = Feature(
                name=name,
                nulls_live=before.nulls(name),
                nulls_shadow=after.nulls(name),
                shift=_shift(before.columns[name].dtype, before.values(name), after.values(name)),
                unequal=_unequal(before.rows.columns[name], after.rows.columns[name], unchanged),
            )
            found.append(feature)
    return tuple(found)


def _rows(live: int, shadow: int, sent: int, thresholds: Thresholds) -> list[str]:
    found = []
    if shadow < sent:
        found.append(f"{sent:,} rows were sent and Redis holds {shadow:,} of them")
    if live and shadow < live * (1 - thresholds.lost):
        found.append(f"it has {shadow:,} rows, what is read {live:,}: more than {thresholds.lost:.0%} are missing")
    if live and shadow > live * (1 + thresholds.gained):
        found.append(f"it has {shadow:,} rows, what is read {live:,}: more than {thresholds.gained:.0%} are added")
    return found


def _unread(before: _Side, after: _Side) -> list[str]:
    """Why nothing could be compared, where both sides have rows."""
    if not before.there.any():
        return ["no row of what is read can be read to compare it: `motherlode materialize` first, or --force"]
    if not after.there.any():
        return ["no row of it can be read"]
    return ["none of the entities looked at has a row that can be read on both sides"]


def _refusals(features: Iterable[Feature], live: int, thresholds: Thresholds) -> list[str]:
    found = []
    for each in features if live else ():
        if each.what in ("gone", "retyped"):
            found.append(f"feature {each.name!r} is {each.what}: readers of the old one would get nothing")
        rise = None if each.nulls_live is None or each.nulls_shadow is None else each.nulls_shadow - each.nulls_live
        if rise is not None and rise > thresholds.nulls:
            found.append(f"feature {each.name!r} is null in {each.nulls_shadow:.1%}, not {each.nulls_live:.1%}")
        if each.shift is not None and each.shift > thresholds.shift:
            found.append(f"feature {each.name!r} has shifted: PSI {each.shift:.2f}")
        if each.unequal is not None and each.unequal > thresholds.unequal:
            found.append(f"feature {each.name!r} differs in {each.unequal:.1%} of rows with the same times")
    return found


def _count(keys: Iterable[bytes], sample: int) -> tuple[int, list[str]]:
    """How many keys there are, however often each comes, and the entities of those with the smallest hashes.

    Memory: 8 bytes a key, and as much again in the end.
    """
    hashes = array("q")

    def hashed() -> Iterable[tuple[int, str]]:
        for key in keys:
            entity = entity_of(key)
            hashes.append(hash(entity))
            yield zlib.crc32(entity.encode()), entity

    smallest = heapq.nsmallest(sample, hashed())
    return len(np.unique(np.frombuffer(hashes, dtype=np.int64))), [entity for _, entity in smallest]


def _shift(dtype: str, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> float | None:
    """The population stability index of the values that are there."""
    if dtype.startswith("list<"):
        dtype, before, after = "int64", *(np.array([len(each) for each in side], np.int64) for side in (before, after))
    if dtype not in _NUMBERS and dtype != "string":
        return None
    if dtype.startswith("float"):
        before, after = before[~np.isnan(before)], after[~np.isnan(after)]
    if min(len(before), len(after)) < _ENOUGH:
        return None
    if dtype in _NUMBERS:
        edges = stability.bins(before)
        return stability.of_counts(*(stability.counted(edges, side) for side in (before, after)))
    counts = _by_word(before)
    return stability.of_counts(*(counts(side) for side in (before, after)))


def _by_word(live: npt.NDArray[Any]) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.int64]]:
    words, counts = np.unique(live.astype(str), return_counts=True)
    commonest = np.sort(words[np.argsort(-counts, kind="stable")[:_CATEGORIES]])

    def count(side: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        places = np.searchsorted(commonest, side.astype(str)).clip(0, len(commonest) - 1)
        places = np.where(commonest[places] == side.astype(str), places, len(commonest))
        return np.bincount(places, minlength=len(commonest) + 1).astype(np.int64)

    return count


def _unequal(before: Values, after: Values, unchanged: npt.NDArray[np.bool_]) -> float | None:
    n = int(unchanged.sum())
    if n == 0:
        return None
    at = np.flatnonzero(unchanged)
    nulls = before.valid[at] != after.valid[at]
    if before.data.dtype == object:
        values = np.array([not np.array_equal(before.data[i], after.data[i]) for i in at], dtype=np.bool_)
    else:
        values = before.data[at] != after.data[at]
        if before.data.dtype.kind == "f":
            values &= ~(np.isnan(before.data[at]) & np.isnan(after.data[at]))
    return float((nulls | (values & before.valid[at] & after.valid[at])).sum() / n)
