"""The build of the mart: warehouse → every view's snapshots, only what new or corrected rows touch."""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

import msgspec
import pyarrow.parquet as pq

from feature_repo.features import catalogue
from feature_repo.features.view import View, Words
from feature_repo.mart import changes, code, guard, manifest, pieces, schedule, timeline, times, views, words
from feature_repo.mart.changes import Changes, Grid
from feature_repo.mart.guard import Check
from feature_repo.mart.manifest import Built, Manifest, Piece
from feature_repo.mart.partition import Comparison, Job, Result, compare, run
from feature_repo.mart.schedule import Work
from feature_repo.mart.timeline import Slice, Timeline, Written
from feature_repo.warehouse import files, state
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names
from motherlode.compute import Compute
from motherlode.errors import DataError
from motherlode.settings import Settings

Task = TypeVar("Task")
Done = TypeVar("Done")
Step = Callable[[str, int, int], None]
"""Told what was just done, how many steps are, and of how many."""


class Runner(Protocol):
    """What does jobs: one after the other here, or on many machines."""

    def __call__(self, work: Callable[[Task], Done], tasks: Sequence[Task], /) -> Iterator[Done]:
        """The results, in any order. `work`, the tasks and the results can be pickled."""
        ...


def local(work: Callable[[Task], Done], tasks: Sequence[Task]) -> Iterator[Done]:
    """One task after the other, in this process."""
    return map(work, tasks)


MUCH: Final = 50_000_000
"""Rows that plans go through, view by view: half a minute of one core, which other processes are worth starting for."""
_OF_A_CUSTOMER: Final = 1_000
"""Rows of a customer, about."""
_COMPARED: Final = 10
"""To compare a row costs as much as to go through so many."""


@dataclass(frozen=True)
class ByWork:
    """Several processes for much, and this one for little, that other processes would take longer to start for.

    Attributes:
        many: runs jobs in several processes.
        much: from how many rows on that plans go through.
    """

    many: Runner
    much: int = MUCH

    def chosen(self, jobs: int, rows: int) -> Runner:
        """For so many jobs that can go on side by side, and so many rows of all of them."""
        return self.many if jobs > 1 and rows >= self.much else local


def _chosen(runner: Runner | ByWork, jobs: int, rows: int) -> Runner:
    return runner.chosen(jobs, rows) if isinstance(runner, ByWork) else runner


@dataclass(frozen=True)
class _Goal:
    """What the mart is to be.

    Attributes:
        settings: as the jobs get them: the device chosen, without secrets.
        timeline: what rows are made from.
        words: the company's words.
        grid: where the regular snapshots stand; None where there is no data.
        snapshots: all of them.
        views: all of them, by name.
        codes: view → digest of what its rows depend on besides data.
        created: the new rows' `created_timestamp`.
    """

    settings: Settings
    timeline: Timeline
    words: Words
    grid: Grid | None
    snapshots: tuple[datetime, ...]
    views: Mapping[str, View]
    codes: Mapping[str, str]
    created: datetime


def build(
    settings: Settings,
    compute: Compute,
    *,
    cadence_days: int | None = None,
    rebuild: bool = False,
    partitions: int | None = None,
    runner: Runner | ByWork = local,
    on_step: Step | None = None,
) -> Manifest:
    """Bring the mart to the warehouse's state.

    Computed are the snapshots that are new, the rows of customers whose data changed from the first snapshot that sees
    the change, and whole views whose code, or whose tables without customers, changed. What comes out is what a full
    build would give, but for `created_timestamp`. Until it is complete the mart is as it was.

    Args:
        settings: where.
        compute: the device, and why.
        cadence_days: between regular snapshots; by default as it is, 7 at first. Another number builds all anew.
        rebuild: build all anew, and find the company's words again. Regular snapshots stay where they stand.
        partitions: of the customers, a power of two; by default as it is, at first by the number of rows.
        runner: does the jobs, or says who does them.
        on_step: told of each step.

    Raises:
        DataError: nothing was loaded; or a view asks for what it may not see, sees past its snapshot, or does not keep
            to its declaration.
        DeviceError: a plan does not run on the device.
    """
    known, loaded = manifest.read(settings), state.read(settings)
    if not loaded.loads:
        raise DataError(f"There is no integrated table in {settings.integrated}.", "Run `motherlode ingest`.")
    shutil.rmtree(settings.mart / pieces.SCRATCH, ignore_errors=True)
    cadence_days = cadence_days or known.cadence_days
    kept = _kept(settings, known, cadence_days, partitions, rebuild=rebuild)
    goal = _goal(settings, compute, loaded, kept, cadence_days, partitions, runner)
    works = list(_works(settings, goal, kept))
    tell = _Steps(on_step, works, goal.timeline.partitions)
    results = [*_first(goal, works, _new(goal, kept), runner, tell)]
    results += _second(goal, works, results, runner, tell)
    made = Manifest(
        cadence_days=cadence_days,
        anchor=goal.grid.anchor if goal.grid else None,
        partitions=goal.timeline.partitions,
        words=goal.words,
        snapshots=goal.snapshots,
        timeline=goal.timeline.parts,
        views={work.view.name: _built(goal, work, known, results) for work in works},
    )
    with manifest.flipping(settings):
        newest = manifest.read(settings)
        made = _carrying(settings, goal, made, newest)
        if made != newest:
            manifest.write(settings, made)
            _sweep(settings, newest, made)
    return made


def _kept(settings: Settings, known: Manifest, cadence_days: int, partitions: int | None, *, rebuild: bool) -> Manifest:
    """What of the mart the new one may be made of: all but views that are not whole; only the grid at a rebuild."""
    if rebuild:
        return Manifest(cadence_days=cadence_days, anchor=known.anchor)
    if cadence_days != known.cadence_days or partitions not in (None, known.partitions):
        return msgspec.structs.replace(known, views={}, cadence_days=cadence_days)
    whole = {
        name: built
        for name, built in known.views.items()
        if all(manifest.whole(settings.mart / piece.path, piece.rows) for piece in built.pieces)
    }
    return msgspec.structs.replace(known, views=whole)


def _goal(
    settings: Settings,
    compute: Compute,
    loaded: state.State,
    kept: Manifest,
    cadence_days: int,
    partitions: int | None,
    runner: Runner | ByWork,
) -> _Goal:
    number = partitions or kept.partitions or timeline.partitions_for(loaded)
    ours = replace(
        settings,
        device=compute.kind,
        pseudonym_key=None,
        previous_pseudonym_keys=(),
        raw_key=None,
        previous_raw_key=None,
    )

    def cutting(work: Callable[[Slice], Written], slices: Sequence[Slice]) -> Iterator[Written]:
        return _chosen(runner, len(slices), sum(each.rows_here for each in slices))(work, slices)

    made = timeline.update(ours, loaded, kept.timeline, number, cutting)
    tables = {name: timeline.scan(settings, made, name) for name in SCHEMAS}
    data = times.span(tables)
    grid = None if data is None else Grid(kept.anchor or times.latest(data), timedelta(days=cadence_days))
    lines = timeline.scans(ours, made, names.TRANSACTIONS)
    spoken = words.find(tables, kept.words if kept.words != Words() else None, lines)
    found = {view.name: view for view in views.load(settings, spoken)}
    return _Goal(
        settings=ours,
        timeline=made,
        words=spoken,
        grid=grid,
        snapshots=() if data is None or grid is None else times.snapshots(data, grid),
        views=found,
        codes={name: code.digest(view, spoken) for name, view in found.items()},
        created=datetime.now(UTC),
    )


def _works(settings: Settings, goal: _Goal, kept: Manifest) -> Iterator[Work]:
    """What is to be done for each view."""
    number, grid = goal.timeline.partitions, goal.grid
    same = {name: built for name, built in kept.views.items() if built.code == goal.codes.get(name)}
    found = (
        changes.between(settings, kept.timeline, goal.timeline.parts, grid)
        if same and grid is not None
        else Changes({}, frozenset())
    )
    for name, view in goal.views.items():
        if grid is None or name not in same or found.tables & set(view.reads):
            yield schedule.whole(view, goal.snapshots, number, grid)
        else:
            yield schedule.changed(view, same[name], kept.snapshots, goal.snapshots, number, found, grid)


def _new(goal: _Goal, kept: Manifest) -> Check | None:
    """What is to be checked of the views whose code is new here."""
    new = tuple(name for name in goal.views if name not in kept.views or kept.views[name].code != goal.codes[name])
    return Check(goal.settings, goal.words, goal.timeline, new, goal.snapshots) if new and goal.snapshots else None


class _Steps:
    """Counts steps and tells them."""

    def __init__(self, on_step: Step | None, works: Sequence[Work], partitions: int) -> None:
        first = sum(_concerns(work, number) for work in works for number in work.partitions(partitions))
        self._told, self._done = on_step, 0
        self._total = first + sum(len(work.months(0)) for work in works if work.in_two)

    def __call__(self, what: str) -> None:
        """One step is done."""
        self._done += 1
        if self._told is not None:
            self._told(what, self._done, self._total)


def _first(
    goal: _Goal, works: Sequence[Work], check: Check | None, runner: Runner | ByWork, tell: Callable[[str], None]
) -> Iterator[Result]:
    """The rows of every partition, and of views that are computed whole; and the check of views that are new."""
    # Views computed whole first: they take longest, and partitions fill up beside them.
    jobs = [_job(goal, pieces.WHOLE, [work]) for work in works if work.view.whole and work.months(pieces.WHOLE)]
    jobs += [
        _job(goal, number, [work for work in works if not work.view.whole and _concerns(work, number)])
        for number in range(goal.timeline.partitions)
    ]
    jobs = [job for job in jobs if job.kept]
    keyed = [job for job in jobs if job.partition != pieces.WHOLE]
    chosen = _chosen(runner, len(keyed), sum(map(_rows, keyed)))
    if check is not None and (chosen is local or not jobs):
        guard.check(check)
        check = None
    if chosen is local:
        yield from local(partial(run, on_view=tell), jobs)
        return
    tasks: list[Check | Job] = [*jobs] if check is None else [check, *jobs]
    for result in chosen(_done, tasks):
        if result is None:
            continue
        for name in result.seconds:
            tell(name)
        yield result


def _done(task: Job | Check) -> Result | None:
    """Compute a job's rows, or check views."""
    if isinstance(task, Job):
        return run(task)
    guard.check(task)
    return None


def _rows(job: Job) -> int:
    """How many rows a job's plans go through, about, view by view."""
    parts = [part for name in timeline.KEYED for month in job.timeline.parts[name].values() for part in month]
    every = sum(part.rows[job.partition] for part in parts)
    return sum(
        len(batch.views) * (every if batch.customers is None else min(every, len(batch.customers) * _OF_A_CUSTOMER))
        for batch in job.batches
    )


def _concerns(work: Work, partition: int) -> bool:
    """Whether there is something to do for a view in the first pass over a partition."""
    return bool(work.batches.get(partition)) or (not work.in_two and bool(work.months(partition)))


def _job(goal: _Goal, partition: int, works: Sequence[Work]) -> Job:
    return Job(
        settings=goal.settings,
        words=goal.words,
        timeline=goal.timeline,
        partition=partition,
        batches=schedule.batches(works, partition),
        kept={work.view.name: work.keep(partition) for work in works},
        created=goal.created,
    )


def _second(
    goal: _Goal, works: Sequence[Work], first: Sequence[Result], runner: Runner | ByWork, tell: Callable[[str], None]
) -> Iterator[Result]:
    """Views that compare customers with each other: every month that changed, over all partitions."""
    scratch: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for result in first:
        for name, months in result.scratch.items():
            for month, path in months.items():
                scratch[name, month][result.partition] = path
    jobs = []
    for work in works:
        if not work.in_two:
            continue
        again = pieces.by_era(work.computed)
        for month in sorted(work.months(0)):
            keep = work.keep(0)
            old = tuple(piece for piece in work.kept if piece.era == month)
            jobs.append(
                Comparison(
                    settings=goal.settings,
                    words=goal.words,
                    partitions=goal.timeline.partitions,
                    created=goal.created,
                    view=work.view.name,
                    era=month,
                    snapshots=tuple(again.get(month, ())),
                    scratch=scratch[work.view.name, month],
                    kept=replace(keep, pieces=old),
                )
            )
    # The largest first: what takes long is begun before all else, and nobody waits for it alone at the end.
    jobs.sort(key=lambda job: -sum((goal.settings.mart / path).stat().st_size for path in job.scratch.values()))
    written = [goal.settings.mart / path for job in jobs for path in job.scratch.values()]
    rows = _COMPARED * sum(pq.read_metadata(path).num_rows for path in written)
    for result in _chosen(runner, len(jobs), rows)(compare, jobs):
        for name in result.seconds:
            tell(name)
        yield result


def _built(goal: _Goal, work: Work, known: Manifest, results: Sequence[Result]) -> Built:
    """What the manifest says of a view from now on."""
    name = work.view.name
    numbers = work.partitions(goal.timeline.partitions)
    replaced = {(number, month) for number in numbers for month in work.months(number)}
    old = known.views.get(name)
    new = [piece for result in results for piece in result.pieces.get(name, ())]
    stay = [piece for piece in work.kept if (piece.partition, piece.era) not in replaced and piece.era]
    every = sorted([*stay, *new], key=lambda piece: (piece.partition, piece.era))
    if old is not None and not new and tuple(every) == old.pieces and old.code == goal.codes[name]:
        return old
    if not every:
        if old is not None and old.code == goal.codes[name] and work.kept and not work.kept[0].era:
            return old
        every = [_empty(goal, work.view)]
    return Built(
        view=name,
        own=name not in catalogue.MODULES,
        code=goal.codes[name],
        pieces=tuple(every),
        rows=sum(piece.rows for piece in every),
        created_at=goal.created,
        seconds=round(sum(result.seconds.get(name, 0.0) for result in results), 2),
    )


def _carrying(settings: Settings, goal: _Goal, made: Manifest, newest: Manifest) -> Manifest:
    """The new manifest with what is not the build's: rows that were written to views meanwhile, and the customers."""
    carried = {
        name: msgspec.structs.replace(
            built,
            written=tuple(pieces.fitted(settings, goal.views[name], piece) for piece in newest.views[name].written),
        )
        if name in newest.views
        else built
        for name, built in made.views.items()
    }
    return msgspec.structs.replace(made, views=carried, customers=newest.customers)


def _empty(goal: _Goal, view: View) -> Piece:
    """A piece without rows, so that a view without any can be read too."""
    return pieces.write(goal.settings, view, pieces.WHOLE, "", pieces.read(goal.settings, view, ()))


def _sweep(settings: Settings, before: Manifest, after: Manifest) -> None:
    """Delete what neither manifest names: a reader may still hold the one before."""
    named = manifest.paths(before) | manifest.paths(after)
    found = list(settings.mart.glob("*/**/*.parquet"))
    found += [settings.mart / f"{name}.parquet" for name in after.views]  # as layout 1 had them
    for path in found:
        if path.relative_to(settings.mart).as_posix() not in named:
            path.unlink(missing_ok=True)
    for path in settings.mart.rglob(f"{files.WRITING}*"):
        path.unlink(missing_ok=True)
    shutil.rmtree(settings.mart / pieces.SCRATCH, ignore_errors=True)
