"""The warehouse's way: raw → clean → integrated, each step only where something changed, then one flip of the state."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from feature_repo.warehouse import (
    arrivals,
    contract,
    events,
    files,
    lineage,
    lookups,
    parts,
    privacy,
    reencrypt,
    shift,
    state,
    sweep,
    vault,
)
from feature_repo.warehouse.arrivals import active, marked
from feature_repo.warehouse.clean import clean
from feature_repo.warehouse.identities import Identities, open_identities
from feature_repo.warehouse.integrate import looked_up
from feature_repo.warehouse.integrate.build import Layer, build, settled
from feature_repo.warehouse.integrate.table import Place as IntegrationPlace
from feature_repo.warehouse.lineage import Lineage
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.quality import gate
from feature_repo.warehouse.state import Cleaned, Landed, Load, State
from feature_repo.warehouse.task import Place, Task, blocks, compiled, inputs
from motherlode import audit
from motherlode.errors import DataError
from motherlode.lock import exclusive
from motherlode.settings import Settings

Rebuild = Literal["clean", "integrated"]

OnStep = Callable[[str, int, int], None]
"""Told what is being done, how many rows of it are done, and of how many."""

LOCK: Final = "warehouse"
"""Of the home folder, while its state is being changed."""
_RECORDED: Final = "load"
"""The action of a load in the audit log."""


def load(
    settings: Settings, project: Project, *, on_step: OnStep | None = None, rebuild: Rebuild | None = None
) -> Lineage:
    """Land what is new, clean and integrate what it changes, and make that the state.

    A load that finds nothing new changes nothing, not even the state's file. One that fails or is killed, wherever,
    leaves the state before.

    Args:
        settings: where, and the keys.
        project: the mapping.
        on_step: told what is being done.
        rebuild: make this layer and those above it anew from the one before.

    Returns:
        What became of every landed row; `changed` and `refused` are of this load: files that it refused, and those
        refused before that are still there.

    Raises:
        DataError: sources cannot be found; every file of a table is refused; a file cannot be written; the quality
            gate refuses what would be the state.
        StoreError: another load is at work in this home.
    """
    with exclusive(settings, LOCK):
        return _Load(settings, project, on_step or (lambda *_: None), rebuild).run()


def remade(settings: Settings, project: Project, on_disk: State, before: State) -> State:
    """What the files of raw give once some of them were written anew: files of the layers above are written, the state
    is not. No gate is asked: rows that were erased are gone, whatever share of a table they were.

    Args:
        settings: where, and the keys. The caller holds the home folder (`LOCK`).
        project: the mapping that made the state.
        on_disk: the state.
        before: the same with the files of raw as they are now.

    Raises:
        DataError: a file cannot be read or written.
    """
    candidate = _Load(settings, project, lambda *_: None, None).made(on_disk, before, before.raw)
    if candidate is not on_disk:
        return candidate
    changed = {name: getattr(before, name) for name in ("raw", "identities", "kept_apart")}
    return msgspec.structs.replace(on_disk, **changed)


def record_late(settings: Settings, known: State) -> None:
    """Record the last load, where it was killed between its flip and its entry in the audit log."""
    if known.loads:
        last = audit.last(settings, _RECORDED)
        if last is None or last.details.get("number") != known.loads[-1].number:
            record(settings, known, recorded="late")


def record(settings: Settings, known: State, **details: str) -> None:
    """Record a state's last load in the audit log."""
    entry = known.loads[-1]
    audit.record(
        settings,
        _RECORDED,
        known.company,
        number=entry.number,
        mapping=entry.mapping,
        files=len(entry.landed),
        rows=sum(entry.rows.values()),
        **({"erased": entry.erased} if entry.erased else {}),
        **details,
    )


class _Load:
    """One load: its steps in order, and what they have found so far."""

    def __init__(self, settings: Settings, project: Project, on_step: OnStep, rebuild: Rebuild | None) -> None:
        self.settings, self.project, self.rebuild = settings, events.mapped(settings, project), rebuild
        self.on_step = on_step
        self.started = time.perf_counter()
        self.done = self.total = 0

    def run(self) -> Lineage:
        """All of it."""
        privacy.identity(self.settings, self.project)
        vault.require(self.settings, self.project, reencrypt.raw_files(self.settings))
        on_disk = state.read(self.settings)
        before = privacy.adopt(self.settings, on_disk)
        audit.check(self.settings)
        record_late(self.settings, on_disk)
        sweep.half_written(self.settings)
        events.merge(self.settings, before.raw)
        arrived = arrivals.land(self.settings, self.project, before, self._landed, self._gone)
        candidate = self.made(on_disk, before, arrived.landed, arrived.fresh)
        if candidate is not on_disk:
            self._flip(on_disk, candidate)
            return lineage.of(candidate, changed=True, orders=(*arrived.fresh, *arrived.standing))
        if arrived.landed != on_disk.raw:  # the same content by another name
            on_disk = msgspec.structs.replace(on_disk, raw=arrived.landed)
            state.write(self.settings, on_disk)
        return lineage.of(on_disk, orders=arrived.standing)

    def made(self, on_disk: State, before: State, landed: tuple[Landed, ...], fresh: tuple[int, ...] = ()) -> State:
        """What landed files give: `on_disk` itself where that is what they gave before.

        Args:
            on_disk: the state.
            before: the same, as the load goes on from it (`privacy.adopt`).
            landed: every landed file.
            fresh: orders of the new ones.
        """
        identity, key_ids = privacy.identity(self.settings, self.project), before.key_ids
        identities = open_identities(self.settings, identity, before.identities)
        place = self._place(landed, identities)
        usable = self._usable(place, landed, fresh, before, identity.key_id)
        if usable != landed:  # what was read to look up in may be refused now
            landed, place = usable, self._place(usable, identities)
        place = replace(place, shift_weeks=self._shift(place, landed, before))
        tasks = self._tasks(landed, identity.key_id, place.shift_weeks)
        known = {(each.table, each.entry, each.inputs): each for each in before.clean}
        reused = [self._known(known, task) for task in tasks]
        integration = IntegrationPlace(self.settings, before, again=self.rebuild is not None)
        if (
            not fresh
            and self.rebuild is None
            and on_disk.loads
            and (on_disk.mapping, on_disk.key_ids) == (self.project.digest, key_ids)
            and {each.inputs for each in before.clean} == {task.inputs for task in tasks}
            and self._stands(place, integration, tasks, reused, on_disk)
        ):
            return on_disk
        cleaned = self._clean(place, tasks, reused)
        pairs = list(zip(tasks, cleaned, strict=True))
        layer = build(place, integration, pairs, self._integrated)
        look_ups = looked_up.account(integration, place.look_ups, _lookups_alone(self.project), tasks)
        return State(
            company=self.project.mapping.company,
            mapping=self.project.digest,
            key_ids=key_ids,
            shift_weeks=place.shift_weeks if self.project.mapping.move_dates else before.shift_weeks,
            raw=landed,
            identities=identities.write(self.settings, before.identities),
            clean=tuple(cleaned),
            integrated=layer.tables,
            lookups=look_ups,
            matches=layer.matches,
            kept_apart=before.kept_apart,
            loads=(*before.loads, self._entry(before, fresh, layer)),
        )

    def _place(self, landed: tuple[Landed, ...], identities: Identities) -> Place:
        look_ups = lookups.LookUps(self.settings, lambda source: active(landed, source))
        return Place(self.settings, self.project, identities, look_ups)

    def _gone(self, what: str) -> None:
        self.on_step(what, 0, 0)

    def _landed(self, landed: Landed) -> None:
        what = "refused" if landed.status == "refused" else f"{landed.rows:,} rows landed"
        self.on_step(f"{landed.name}: {what}", 0, 0)

    def _tasks(self, landed: tuple[Landed, ...], key_id: str, shift_weeks: int) -> list[Task]:
        """Every file of every block of every table."""
        found = []
        for table in contract.MAPPED:
            for entry, block in enumerate(blocks(self.project, table)):
                others = [each for join in block.join for each in active(landed, join.source)]
                for each in active(landed, block.from_):
                    told = inputs(self.project, table, block, each, others, key_id, shift_weeks)
                    found.append(Task(table, entry, block, each, tuple(block.join), told))
        return found

    def _usable(
        self, place: Place, landed: tuple[Landed, ...], fresh: Sequence[int], before: State, key_id: str
    ) -> tuple[Landed, ...]:
        """The landed files, but for new ones that the mapping does not fit: those are refused, and the others go on.

        Raises:
            DataError: it fits none of a source's files, or no longer fits one that it did fit.
        """
        fitted = {each.inputs for each in before.clean}
        shift_weeks = before.shift_weeks or 0 if self.project.mapping.move_dates else 0
        for task in self._tasks(landed, key_id, shift_weeks):
            if task.inputs in fitted:
                continue
            for join in task.joins:  # a look-up that cannot be read is no fault of the file
                place.look_ups.of(join)
            try:
                compiled(place, task)
            except DataError as error:
                others = [each for each in active(landed, task.landed.source) if each.order != task.landed.order]
                if task.landed.order not in fresh or not others:
                    raise
                landed = _refused(landed, task.landed, error, self.project, before)
        return landed

    def _shift(self, place: Place, landed: tuple[Landed, ...], before: State) -> int:
        if not self.project.mapping.move_dates:
            return 0
        if before.shift_weeks is not None:
            return before.shift_weeks
        return shift.weeks(place, (task for task in self._tasks(landed, "", 0) if not events.live(task.landed)))

    def _known(self, known: dict[tuple[str, int, str], Cleaned], task: Task) -> Cleaned | None:
        found = known.get((task.table, task.entry, task.inputs))
        if found is None or self.rebuild == "clean":
            return None
        whole = parts.holds(self.settings, found.clean) and parts.holds(self.settings, found.quarantine)
        return found if whole else None

    def _stands(
        self,
        place: Place,
        integration: IntegrationPlace,
        tasks: Sequence[Task],
        reused: Sequence[Cleaned | None],
        known: State,
    ) -> bool:
        """Whether nothing is to be done: every clean file stands, and every file of the layer above is whole."""
        found = [each for each in reused if each is not None]
        if len(found) < len(tasks):
            return False
        above = [known.matches]
        for table in (*known.integrated.values(), *known.lookups.values()):
            above += [*table.parts.values(), table.ledger, table.quarantine]
        return all(parts.holds(self.settings, part) for part in above) and settled(
            place, integration, list(zip(tasks, found, strict=True))
        )

    def _clean(self, place: Place, tasks: Sequence[Task], reused: Sequence[Cleaned | None]) -> list[Cleaned]:
        stale = [task for task, known in zip(tasks, reused, strict=True) if known is None]
        # Each row is cleaned once and integrated once.
        self.total = 2 * sum(task.landed.rows for task in stale)
        cleaned = []
        for task, known in zip(tasks, reused, strict=True):
            what = f"{task.table}: {task.landed.name}"
            cleaned.append(known or clean(place, task, lambda rows, what=what: self._advance(what, rows)))  # type: ignore[misc]
        return cleaned

    def _integrated(self, table: str, rows: int) -> None:
        self._advance(f"{table}: integrated", rows)

    def _advance(self, what: str, rows: int) -> None:
        self.done = min(self.done + rows, self.total)
        self.on_step(what, self.done, self.total)

    def _entry(self, before: State, fresh: tuple[int, ...], layer: Layer) -> Load:
        return Load(
            number=len(before.loads) + 1,
            at=datetime.now(UTC),
            seconds=round(time.perf_counter() - self.started, 2),
            mapping=self.project.digest,
            landed=fresh,
            rows={name: table.rows for name, table in layer.tables.items()},
        )

    def _flip(self, before: State, candidate: State) -> None:
        """Make it the state, where the quality gate lets it through."""
        self.on_step("quality", self.total, self.total)
        verdict = gate.judge(self.settings, self.project, candidate)
        if verdict.refused:
            remedies = dict.fromkeys(finding.remedy for finding in verdict.findings if finding.severity == "fail")
            raise DataError(
                f"The load is refused, and the last good state stays: {verdict.reason}.", " ".join(remedies)
            )
        files.write(self.settings.home / "lineage" / f"{self.project.digest}.yaml", self.project.text)
        state.write(self.settings, candidate)
        record(self.settings, candidate)
        sweep.sweep(self.settings, candidate, before)
        self.on_step("done", self.total, self.total)


def _refused(
    landed: tuple[Landed, ...], failed: Landed, error: DataError, project: Project, before: State
) -> tuple[Landed, ...]:
    """The landed files without one that cannot be used; the file that it was to replace counts on."""
    stood = {each.order for each in before.raw if each.status == "active"}
    found = []
    for each in landed:
        if each.order == failed.order:
            told = msgspec.structs.replace(each, status="refused", problem=error.problem, remedy=error.remedy)
            found.append(marked(told, project))
        elif each.order in stood and (each.source, each.name) == (failed.source, failed.name):
            found.append(msgspec.structs.replace(each, status="active"))
        else:
            found.append(each)
    return tuple(found)


def _lookups_alone(project: Project) -> set[str]:
    """Sources that are looked up in and are no table's."""
    every = [block for table in project.mapping.tables for block in blocks(project, table)]
    return {join.source for block in every for join in block.join} - {block.from_ for block in every}
