"""What a build has to compute: from what each view has, what it is to have, and what changed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from feature_repo.features.view import View
from feature_repo.mart import pieces, timeline
from feature_repo.mart.changes import ALWAYS, PERIOD, Changes, Grid
from feature_repo.mart.manifest import Built, Manifest, Piece
from feature_repo.mart.partition import Batch, Keep
from motherlode import names


@dataclass(frozen=True)
class Work:
    """What is to be done for one view.

    Attributes:
        view: which.
        kept: its pieces that may go on holding rows; none where it is built wholly.
        wanted: the snapshots that it has from now on.
        batches: partition → times and customers (None: all) to compute; `pieces.WHOLE` for a view computed whole.
        dropped: times that it has and is not to have.
    """

    view: View
    kept: tuple[Piece, ...]
    wanted: tuple[datetime, ...]
    batches: Mapping[int, tuple[Batch, ...]]
    dropped: tuple[datetime, ...]

    @property
    def in_two(self) -> bool:
        """Whether its partitions' rows are compared by a second pass."""
        return self.view.across is not None and not self.view.whole

    @property
    def computed(self) -> tuple[datetime, ...]:
        """The times of which any partition has rows to compute, ascending."""
        return tuple(sorted({time for each in self.batches.values() for batch in each for time in batch.snapshots}))

    def partitions(self, number: int) -> Sequence[int]:
        """Where its rows stand, of so many partitions of the customers."""
        return (pieces.WHOLE,) if self.view.whole else range(number)

    def months(self, partition: int) -> set[str]:
        """The months whose pieces of a partition are replaced."""
        if self.in_two:
            return set(pieces.by_era((*self.computed, *self.dropped)))
        own = (time for batch in self.batches.get(partition, ()) for time in batch.snapshots)
        return set(pieces.by_era((*own, *self.dropped)))

    def pieces(self, partition: int) -> tuple[Piece, ...]:
        """Its pieces of a partition that are replaced."""
        months = self.months(partition)
        return tuple(each for each in self.kept if each.partition == partition and each.era in months)

    def keep(self, partition: int) -> Keep:
        """What a job needs to know of it."""
        return Keep(self.pieces(partition), self.wanted, self.computed if self.in_two else ())


def wanted(view: View, snapshots: Sequence[datetime], grid: Grid) -> tuple[datetime, ...]:
    """The snapshots that a view has: all of the mart's, or those on its own wider grid, and the latest."""
    earlier = () if view.latest_only else snapshots[:-1]
    apart = grid.cadence * max(1, view.spacing // grid.cadence)
    return (*(time for time in earlier if not (time - grid.anchor) % apart), *snapshots[-1:])


def stood(view: View, built: Manifest) -> tuple[datetime, ...]:
    """The snapshots that a view has in a mart."""
    if built.anchor is None:
        return ()
    return wanted(view, built.snapshots, Grid(built.anchor, timedelta(days=built.cadence_days)))


def whole(view: View, snapshots: Sequence[datetime], partitions: int, grid: Grid | None) -> Work:
    """A view that is built wholly; without a grid there is no snapshot."""
    times = () if grid is None else wanted(view, snapshots, grid)
    work = Work(view, (), times, {}, ())
    batches = {number: (Batch((view.name,), times),) for number in work.partitions(partitions)} if times else {}
    return replace(work, batches=batches)


def changed(
    view: View,
    built: Built,
    before: Sequence[datetime],
    snapshots: Sequence[datetime],
    partitions: int,
    changes: Changes,
    grid: Grid,
) -> Work:
    """A view of which only what changed is computed.

    Args:
        view: which.
        built: what there is of it.
        before, snapshots: the mart's snapshots so far, and from now on.
        partitions: of the customers.
        changes: since it was built; none of a whole table that it reads.
        grid: where the periods begin.
    """
    old, times = wanted(view, before, grid), wanted(view, snapshots, grid)
    stay = [time for time in times if time in set(old)]
    new = tuple(time for time in times if time not in set(old))
    touched = _touched(changes.of(view.reads), stay, grid)
    batches: dict[int, list[Batch]] = defaultdict(list)
    if view.whole:
        since = [] if touched.is_empty() else _after(stay, grid, [touched[PERIOD].min()])
        if together := tuple(sorted({*new, *since})):
            batches[pieces.WHOLE].append(Batch((view.name,), together))
    else:
        for number, some in _by_partition(touched, partitions):
            customers = tuple(some[names.CUSTOMER_ID].sort())
            batches[number].append(Batch((view.name,), _after(stay, grid, [some[PERIOD].min()]), customers))
        for number in range(partitions) if new else ():
            batches[number].append(Batch((view.name,), new))
    dropped = tuple(time for time in old if time not in set(times))
    return Work(view, built.pieces, times, {number: tuple(each) for number, each in batches.items()}, dropped)


def batches(works: Iterable[Work], partition: int) -> tuple[Batch, ...]:
    """The batches of several views in one partition, those of the same rows put together."""
    found: dict[tuple[tuple[datetime, ...], tuple[str, ...] | None], list[str]] = defaultdict(list)
    for work in works:
        for batch in work.batches.get(partition, ()):
            found[batch.snapshots, batch.customers].append(work.view.name)
    return tuple(Batch(tuple(views), times, customers) for (times, customers), views in found.items())


def _touched(found: pl.DataFrame, stay: Sequence[datetime], grid: Grid) -> pl.DataFrame:
    """Of the customers that changed, those of whom a snapshot that stays may see the change."""
    if not stay:
        return found.clear()
    return found.filter((pl.col(PERIOD) == ALWAYS) | (pl.col(PERIOD) < -((grid.anchor - stay[-1]) // grid.cadence)))


def _after(times: Sequence[datetime], grid: Grid, periods: Sequence[object]) -> tuple[datetime, ...]:
    """The times that may see what happened in the first of these periods or later."""
    period = min(each for each in periods if isinstance(each, int))
    begin = grid.begin(period)
    return tuple(time for time in times if begin is None or time > begin)


def _by_partition(touched: pl.DataFrame, partitions: int) -> Iterable[tuple[int, pl.DataFrame]]:
    known = touched.filter(pl.col(names.CUSTOMER_ID).is_not_null())
    number = timeline.buckets(known[names.CUSTOMER_ID], partitions).alias("_partition")
    parts = known.with_columns(number).partition_by("_partition", as_dict=True, include_key=False)
    return [(int(str(key)), part) for (key,), part in parts.items()]
