"""The point-in-time join on the CPU: labels against sources, what views have in common looked up once."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute

from feature_repo.stores import picks
from feature_repo.stores.arrow import in_utc, join_chunks, plain, small
from feature_repo.stores.labels import Labels, comparable, key_type
from feature_repo.stores.picks import NEVER, NONE, Column, Combined, Index, Integers, Marks, Times
from feature_repo.stores.sources import Source

_FOREVER: Final = 2**62
"""Microseconds: a time to live that no age exceeds."""
_EVER: Final = (-(2**63), 2**63 - 1)


@dataclass(frozen=True)
class Dated:
    """What a source's rows are found by.

    Attributes:
        keys: each join key's column, in the types of `arrow.plain`.
        events, created: microseconds since 1970 UTC; NEVER where there is no created time.
        numbers: of the rows.
        rows: how many the source has, those included that are not here.
    """

    keys: tuple[pa.Array, ...]
    events: Times
    created: Times
    numbers: Integers
    rows: int

    def like(self, other: "Dated") -> bool:
        """Whether the same labels find the same rows here as there, as long as no two rows are of one time."""
        return (
            self.rows == other.rows
            and np.array_equal(self.events, other.events)
            and np.array_equal(self.numbers, other.numbers)
            and all(ours.equals(theirs) for ours, theirs in zip(self.keys, other.keys, strict=True))
        )


@dataclass(frozen=True)
class Picked:
    """What was found for a question that another view may ask too.

    Attributes:
        asked: the label columns of its keys.
        dated: in what.
        by_created: whether a row counted only from its created time on.
        ties: whether rows of one time were told apart by their created time.
        rows: shape (labels,): the row's number, NONE where there is none.
    """

    asked: tuple[str, ...]
    dated: Dated
    by_created: bool
    ties: bool
    rows: Integers

    def answers(self, asked: tuple[str, ...], dated: Dated, *, by_created: bool) -> bool:
        """Whether this is also the answer to another question."""
        if asked != self.asked or by_created != self.by_created or not dated.like(self.dated):
            return False
        return not (by_created or self.ties) or np.array_equal(dated.created, self.dated.created)


class Lookup:
    """One call's questions.

    Args:
        labels: what is asked about.
        by_created: a row counts only from its created time on.
    """

    def __init__(self, labels: Labels, *, by_created: bool) -> None:
        self._labels = labels
        self._times: Times = labels.times_us.fill_null(NEVER).to_numpy()
        self._by_created = by_created
        self._encoded: dict[str, tuple[Integers, pl.Series]] = {}
        self._picked: list[Picked] = []

    def columns(
        self, source: Source, keys: Mapping[str, str], features: Sequence[str], *, ttl_us: int | None
    ) -> list[pa.Array]:
        """Features of the row that each label may see, null where there is none; a column each.

        Args:
            source: the view's.
            keys: join key in the source → label column.
            features: which columns.
            ttl_us: an older row is none.

        Raises:
            DataError: the labels lack a key, or have it in another type.
        """
        rows = self.pick(source, keys, ttl_us=ttl_us)
        none = rows < 0
        used: Marks = np.zeros(source.rows, dtype=np.bool_)
        used[rows[~none]] = True
        # Where each row that is used stands among them.
        places = np.cumsum(used, dtype=rows.dtype)[rows] - 1 if len(used) else rows
        chosen = pa.array(places, mask=none if none.any() else None)
        table = source.take(used, features)
        del rows, none, used, places
        gathered: list[pa.Array] = []
        with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
            gathered.extend(pool.map(lambda name: _gather(table.column(name), chosen), features))
        return gathered

    def pick(self, source: Source, keys: Mapping[str, str], *, ttl_us: int | None) -> Integers:
        """The number of the row that each label may see, NONE where there is none; see `columns`."""
        ttl = None if ttl_us is None or ttl_us >= _FOREVER else ttl_us
        for column in keys.values():
            self._labels.require(column)
        dated = _dated(source, list(keys), self._span(ttl))
        by_created = self._by_created and source.created is not None
        if by_created:
            there = dated.created != NEVER
            dated = dated if there.all() else _filtered(dated, there)
        asked = tuple(keys.values())
        found = next((each for each in self._picked if each.answers(asked, dated, by_created=by_created)), None)
        if found is None:
            found = self._search(asked, dated, [key_type(source.schema[name]) for name in keys], by_created=by_created)
            self._picked.append(found)
        return found.rows if ttl is None else self._fresh(found, dated, ttl)

    def _span(self, ttl: int | None) -> tuple[int, int]:
        """Between which event times a row may lie that any label may see."""
        if self._labels.span_us is None:
            return 0, -1
        first, last = self._labels.span_us
        return _EVER[0] if ttl is None else first - ttl, last

    def _search(
        self, asked: tuple[str, ...], dated: Dated, types: Sequence[pl.DataType], *, by_created: bool
    ) -> Picked:
        encoded = [self._column(name, key, dtype) for name, key, dtype in zip(asked, dated.keys, types, strict=True)]
        columns = [column for column, _ in encoded]
        codes, combined = picks.combine([codes for _, codes in encoded], [c.size for c in columns], len(dated.events))
        index = _index(dated, codes, combined, len(self._times), by_created=by_created)
        rows = np.empty(len(self._times), dtype=index.rows.dtype)

        def search(part: slice) -> None:
            rows[part] = index.search(combined.of(columns, part), self._times[part])

        picks.in_parts(len(rows), search)
        return Picked(asked, dated, by_created, index.ties, rows)

    def _column(self, name: str, key: pa.Array, dtype: pl.DataType) -> tuple[Column, Integers]:
        """A label column against a source's key, and the codes of the source's rows."""
        if name not in self._encoded:
            self._encoded[name] = _encode(name, self._labels.table.column(name))
        indices, distinct = self._encoded[name]
        coded = key.dictionary_encode()
        known = _arrow(pl.Series(pl.from_arrow(coded.dictionary)).cast(dtype))
        wanted = _arrow(comparable(distinct, dtype))
        codes = pa.compute.index_in(wanted, value_set=known).fill_null(NONE).to_numpy()
        return Column(indices, np.append(codes, NONE), max(len(known), 1)), coded.indices.to_numpy()

    def _fresh(self, found: Picked, dated: Dated, ttl: int) -> Integers:
        """The rows that are no older than a time to live."""
        events = np.zeros(dated.rows, dtype=np.int64)
        events[dated.numbers] = dated.events
        fresh = np.empty_like(found.rows)

        def judge(part: slice) -> None:
            rows = found.rows[part]
            stale = self._times[part] - events[rows] > ttl if len(events) else False
            fresh[part] = np.where(stale, NONE, rows)

        picks.in_parts(len(fresh), judge)
        return fresh


def _dated(source: Source, keys: Sequence[str], within: tuple[int, int]) -> Dated:
    """The rows that have a key and an event time within a span."""
    times = [source.time] if source.created is None else [source.time, source.created]
    table, numbers = source.dated(list(dict.fromkeys([*keys, *times])), within)
    frame = pl.DataFrame(pl.from_arrow(in_utc(table.select(list(dict.fromkeys(times))))))
    micros = frame.select(source.event_us(), source.created_us())
    events, created = micros.to_series(0), micros.to_series(1)
    there = events.is_between(*within).fill_null(False).to_numpy()
    for key in keys:
        column = table.column(key)
        if column.null_count:
            there = there & column.is_valid().to_numpy()
    whole = Dated(
        tuple(_normal(join_chunks([table.column(key)], plain(table.column(key).type))) for key in keys),
        events.fill_null(0).to_numpy(),
        created.fill_null(NEVER).to_numpy(),
        numbers,
        source.rows,
    )
    return whole if there.all() else _filtered(whole, there)


def _filtered(dated: Dated, there: Marks) -> Dated:
    mask = pa.array(there)
    return Dated(
        tuple(key.filter(mask) for key in dated.keys),
        dated.events[there],
        dated.created[there],
        dated.numbers[there],
        dated.rows,
    )


def _index(dated: Dated, codes: Integers, combined: Combined, labels: int, *, by_created: bool) -> Index:
    if not by_created:
        return picks.build(dated.numbers, codes, dated.events, [dated.created], keys=combined.count, labels=labels)
    kept = picks.known(codes, dated.events, dated.created)
    times = np.maximum(dated.events, dated.created)[kept]
    # The rows kept come in the order of their age.
    return picks.build(dated.numbers[kept], codes[kept], times, [], keys=combined.count, labels=labels)


def _encode(name: str, column: pa.ChunkedArray) -> tuple[Integers, pl.Series]:
    """A label column as each label's distinct value, one more standing for null, and the distinct values."""
    values = _normal(join_chunks([column], plain(column.type)))
    if pa.types.is_null(values.type):
        return np.zeros(len(values), dtype=np.int32), pl.Series(name, [], dtype=pl.Null)
    coded = values.dictionary_encode()
    distinct = pl.DataFrame(pl.from_arrow(in_utc(pa.table({name: coded.dictionary})))).to_series()
    return coded.indices.fill_null(len(coded.dictionary)).to_numpy(), distinct


def _normal(values: pa.Array) -> pa.Array:
    """Floats without the zero that has a sign: it equals the other."""
    return pa.compute.add(values, pa.scalar(0.0, values.type)) if pa.types.is_floating(values.type) else values


def _arrow(series: pl.Series) -> pa.Array:
    return series.to_arrow(compat_level=pl.CompatLevel.oldest())


def _gather(column: pa.ChunkedArray, chosen: pa.Array) -> pa.Array:
    values = join_chunks([column], column.type)
    return small(pa.compute.take(values, chosen, boundscheck=False))
