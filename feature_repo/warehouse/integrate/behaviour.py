"""Web events with their sessions, the sessions, and feedback with its sentiment."""

from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from importlib.resources import files

import polars as pl

from feature_repo.warehouse import parts, sentiment, sessions
from feature_repo.warehouse.contract import LINE, ROW, SCHEMAS
from feature_repo.warehouse.duplicates import UNIT
from feature_repo.warehouse.integrate import imputing, months
from feature_repo.warehouse.integrate.months import Month
from feature_repo.warehouse.integrate.table import (
    Clean,
    Outcome,
    Place,
    aliased,
    chunks,
    digest_of,
    ordered,
    scan_month,
    whole,
    write_whole,
)
from feature_repo.warehouse.sentiment import chinese, score
from feature_repo.warehouse.state import Integrated, digest
from motherlode import names

_WHO = [names.CUSTOMER_ID, names.VISITOR_ID, names.SESSION_ID, names.EVENT_TIMESTAMP]


def interactions(
    place: Place, clean: Clean, aliases: pl.DataFrame, gap_minutes: float, on_rows: Callable[[int], None]
) -> Integrated:
    """Every event, with its session. Sessions cross months, so that any new event makes every month stale."""
    others = clean.inputs(str(gap_minutes), *imputing.versions(clean))
    if (known := place.kept(names.INTERACTIONS, clean.inputs(digest_of(aliases), others))) is not None:
        return known
    assigned = _assigned(place, clean, aliases, gap_minutes)

    def make(month: Month) -> None:
        rows: Iterator[pl.DataFrame] = (
            aliased(_with_sessions(frame, assigned), aliases) for frame in chunks(place.settings, clean, month.name)
        )
        if clean.impute:
            rows = iter([imputing.fill(clean, pl.concat(rows), month.past, month.outcome, month.name)])
        for frame in rows:
            month.write(ordered(clean.table, frame))
            on_rows(frame.height)

    return months.integrate(place, clean, aliases, make, others)


def visits(place: Place, events: Integrated) -> Integrated:
    """One row a session."""
    clean = Clean(names.SESSIONS)
    inputs = digest(*(part.sha256 for part in events.parts.values()), clean.inputs())
    if (known := place.kept(names.SESSIONS, inputs)) is not None:
        return known
    scans = parts.scan(place.settings, events.parts.values())
    rows = (
        sessions.summarise(pl.concat(scans, how="diagonal")) if scans else pl.LazyFrame(schema=SCHEMAS[names.SESSIONS])
    )
    found = rows.collect().sort(names.ENDED_AT, names.SESSION_ID)
    return write_whole(place, clean, found, inputs, Outcome(derived=found.height))


def feedback(place: Place, clean: Clean, aliases: pl.DataFrame) -> Integrated:
    """Reviews and notes, scored."""
    inputs = clean.inputs(digest_of(aliases), _scorers(), *imputing.versions(clean))
    if (known := place.kept(names.FEEDBACK, inputs)) is not None:
        return known
    outcome = Outcome()
    rows = imputing.fill(clean, aliased(whole(place.settings, clean), aliases), None, outcome)
    scores, language = score(rows[names.TEXT], rows[names.LANGUAGE])
    rows = rows.with_columns(scores.alias(names.SENTIMENT), language.alias(names.LANGUAGE))
    return write_whole(place, clean, rows, inputs, outcome)


@cache
def _scorers() -> str:
    """Digest of what scores: other words' weights, or another model, make every score stale."""
    return digest(version("vaderSentiment"), files(sentiment).joinpath(chinese.MODEL).read_bytes())


def _assigned(place: Place, clean: Clean, aliases: pl.DataFrame, gap_minutes: float) -> pl.DataFrame:
    """`_unit`, `_row`, `_session` of every event: only who came and when is held at once."""
    who = {name: SCHEMAS[names.INTERACTIONS][name] for name in _WHO}
    frames = [pl.DataFrame(schema={UNIT: pl.UInt32(), ROW: pl.UInt32(), LINE: pl.UInt32(), **who})]
    frames += [scan_month(place.settings, clean, month, _WHO).collect(engine="streaming") for month in clean.months]
    events = aliased(pl.concat(frames), aliases).sort(UNIT, ROW)
    assigned = sessions.assign(events.lazy().select(UNIT, ROW, *_WHO), gap_minutes).collect()
    return assigned.select(UNIT, ROW, pl.col(names.SESSION_ID).alias("_session"))


def _with_sessions(rows: pl.DataFrame, assigned: pl.DataFrame) -> pl.DataFrame:
    found = rows.join(assigned, on=[UNIT, ROW], how="left", maintain_order="left")
    return found.with_columns(pl.col("_session").alias(names.SESSION_ID)).drop("_session")
