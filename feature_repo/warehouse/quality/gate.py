"""The gate: a load's last step before it becomes the state."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from feature_repo.warehouse import files
from feature_repo.warehouse import state as states
from feature_repo.warehouse.contract import SCHEMAS
from feature_repo.warehouse.mapping.model import Mapping
from feature_repo.warehouse.quality import (
    checks,
    classes,
    drift,
    landings,
    layers,
    measurement,
    relations,
    schemas,
    shares,
)
from feature_repo.warehouse.quality.finding import Finding, Verdict, verdict
from feature_repo.warehouse.state import State
from feature_repo.warehouse.vault import Mapped
from motherlode.settings import Settings

REFUSED: Final = "refused.json"
_SAMPLE: Final = 10_000
"""Rows of a table's new files that are held against the schema's rules: clean has applied them to every row already."""


class Refused(msgspec.Struct, frozen=True):
    """A load that was refused: its state, whose quarantine can be looked at until the next load, and why."""

    state: State
    findings: tuple[Finding, ...]


def judge(settings: Settings, project: Mapped, state: State) -> Verdict:
    """Say whether a load may become the state, by all that it has changed.

    What it measured is kept for the next load to be compared with; a load that it refuses is kept in
    `quality/refused.json` instead, so that its rejected rows can be looked at.

    Args:
        settings: where the layers lie.
        project: the mapping, for its thresholds and checks.
        state: the candidate; its files are written. The state on disk is the one before it.
    """
    before, mapping = states.read(settings), project.mapping
    figures = measurement.take(settings, mapping, state, before)
    found = verdict(
        [
            *find(settings, mapping, state, before),
            *checks.find(tuple(checks.compare_all(settings, mapping, state)), mapping),
            *drift.find(figures.changes),
        ]
    )
    refusal = settings.home / measurement.FOLDER / REFUSED
    if found.refused:
        files.write(refusal, msgspec.json.encode(Refused(state, found.findings)))
    else:
        measurement.write(settings, figures)
        refusal.unlink(missing_ok=True)
    return found


def refused(settings: Settings) -> Refused | None:
    """The last load, where it was refused and no other has come through since."""
    try:
        return msgspec.json.decode((settings.home / measurement.FOLDER / REFUSED).read_bytes(), type=Refused)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def find(settings: Settings, mapping: Mapping, state: State, before: State) -> Iterator[Finding]:
    """Every finding about what the state before did not have, but for the checks between sources. Against an empty
    state: about everything."""
    yield from landings.find(mapping, state, before)
    yield from shares.find(settings, mapping, state, before)
    yield from _schemas(settings, mapping, state, before)
    yield from relations.find(settings, mapping, state, before)


def _schemas(settings: Settings, mapping: Mapping, state: State, before: State) -> Iterator[Finding]:
    """Every new file at the schema's depth, and a bounded part of their rows at the rules' depth."""
    for table in state.integrated:
        own = classes.own_columns(mapping, table)
        parts = [part for part in layers.new_parts(state, before, table) if part.rows]
        # Files of equal columns break the schema alike: one speaks for all.
        scans = {
            tuple(it.collect_schema().items()): it
            for it in (layers.scan(settings, [part], SCHEMAS[table]) for part in parts)
        }
        for scan in scans.values():
            yield from schemas.structure(scan, table, own)
        if parts:
            yield from schemas.content(layers.sample(settings, parts, SCHEMAS[table], _SAMPLE), table, own)


def whole(
    settings: Settings, mapping: Mapping, state: State, tables: Sequence[str], size: int = 1_000_000
) -> Iterator[Finding]:
    """Every row of some tables against their schemas, `size` rows at a time."""
    for table in tables:
        own = classes.own_columns(mapping, table)
        for part in layers.parts(state, table):
            for start in range(0, part.rows, size):
                rows = layers.scan(settings, [part], SCHEMAS[table]).slice(start, size).collect(engine="streaming")
                yield from schemas.content(rows, table, own)
