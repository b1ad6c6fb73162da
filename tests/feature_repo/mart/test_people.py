"""Whom the warehouse found to be one person is one person for consents too, once the mart is built."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from feature_repo.mart import people
from feature_repo.warehouse import parts, state
from feature_repo.warehouse.matching import MATCHES
from feature_repo.warehouse.state import Load, Part, State
from motherlode.consent import Ledger, Word
from motherlode.people import People
from motherlode.settings import Settings

LEDGER = [("2", "1", 0.99, "same e-mail"), ("3", "1", 0.96, "same address"), ("a/b", "9", 0.99, "same e-mail")]


def loaded(settings: Settings, rows: list[tuple[str, str, float, str]]) -> Part | None:
    """A home whose last load found these to be one person."""
    frame = pl.DataFrame(rows, schema=MATCHES, orient="row")
    found = parts.write(settings, "integrated/matches", str(len(rows)), [frame]) if rows else None
    load = Load(number=1, at=datetime(2026, 1, 1, tzinfo=UTC), seconds=1.0, mapping="", landed=(), rows={})
    state.write(settings, State(loads=(load,), matches=found))
    return found


def test_merges_are_published_with_what_was_withdrawn_and_parted_when_they_are_undone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    loaded(settings, LEDGER)
    Ledger(settings).add([Word("2", "marketing", granted=False, at=1_763_000_000_000)])
    assert people.publish(settings) == 2
    found = People(settings)
    assert [found.others([name]) for name in ("1", "3", "9")] == [["2", "3"], ["1", "2"], ["a%2Fb"]]
    assert {customer for customer, _ in Ledger(settings).standing()} == {"1", "2", "3"}
    loaded(settings, LEDGER[1:2])
    assert people.publish(settings) == 0
    assert [found.others([name]) for name in ("1", "9")] == [["3"], []]
    loaded(settings, [])
    assert people.publish(settings) == 0
    assert found.others(["1"]) == []
