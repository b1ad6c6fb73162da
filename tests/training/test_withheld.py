"""Scores of a file: whoever gets no personal answer gets none there either, under none of their ids."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse import parts, state, tables
from feature_repo.warehouse.matching import MATCHES
from feature_repo.warehouse.state import Integrated, Load, State
from motherlode import contacts, names
from motherlode.consent import Ledger, UnknownPurposeError, Word
from motherlode.errors import StoreError
from motherlode.online.reader import now_us
from motherlode.redis_server import connect, running
from motherlode.settings import Settings
from training.withheld import withhold

AT = 1_763_000_000_000
SCORES = pl.DataFrame(
    {
        names.OUTSIDE_ID: [1, 2, 3, 4, 5],
        "status": ["ok", "ok", "stale", "cold", "ok"],
        names.EVENT_TIMESTAMP: [datetime(2026, 1, 1, tzinfo=UTC)] * 5,
        "imputed": [0, 1, 2, 3, 0],
        "segment_id": [1, 1, 1, None, 1],
        "inactive_28d": [0.1, 0.2, 0.3, None, 0.5],
        "segment": ["One", "One", "One", None, "One"],
        "note": [None, None, "why", None, None],
    }
)


def loaded(home: Path, **more: str) -> Settings:
    """A warehouse of customers 1 to 5, of whom 5 was found to be 1."""
    settings = Settings(home=home, **more)  # type: ignore[arg-type]
    key = settings.identity.join_key
    everyone = pl.DataFrame({names.OUTSIDE_ID: list("12345"), names.CUSTOMER_ID: [key(each) for each in "12345"]})
    identities = parts.write(settings, "identities", "all", [everyone])
    merged = pl.DataFrame([(key(5), key(1), 0.99, "same e-mail")], schema=MATCHES, orient="row")
    matches = parts.write(settings, "integrated/matches", "all", [merged])
    part = parts.write(settings, "integrated/customers", "all", [everyone.select(names.CUSTOMER_ID)[:4]])
    assert identities is not None and part is not None
    table = Integrated(table=names.CUSTOMERS, parts={"": part}, inputs={}, rows=4)
    load = Load(number=1, at=datetime(2026, 1, 1, tzinfo=UTC), seconds=1.0, mapping="", landed=(), rows={})
    found = State(loads=(load,), identities=(identities,), matches=matches, integrated={names.CUSTOMERS: table})
    state.write(settings, found)
    return settings


def say(settings: Settings, *words: tuple[int, bool, int], purpose: str = "marketing") -> None:
    key = settings.identity.join_key
    Ledger(settings).add([Word(key(customer), purpose, granted, at) for customer, granted, at in words])


def statuses(settings: Settings, purpose: str = "marketing") -> Sequence[str]:
    return withhold(settings, SCORES, tables.outside_ids(settings), purpose)["status"].to_list()


@pytest.mark.parametrize("key", [None, "a secret of sixteen bytes"])
def test_who_withdrew_has_a_row_that_says_so_and_nothing_else(tmp_path: Path, key: str | None) -> None:
    settings = loaded(tmp_path, **({} if key is None else {"pseudonym_key": key}))
    assert withhold(settings, SCORES, tables.outside_ids(settings), "marketing").equals(SCORES), (
        "opt-out: who said nothing is scored"
    )
    say(settings, (2, False, AT))
    told = withhold(settings, SCORES, tables.outside_ids(settings), "marketing")
    assert told.filter(pl.col(names.OUTSIDE_ID) != 2).equals(SCORES.filter(pl.col(names.OUTSIDE_ID) != 2))
    (row,) = told.filter(pl.col(names.OUTSIDE_ID) == 2).to_dicts()
    said = {name: value for name, value in row.items() if value is not None}
    assert said == {names.OUTSIDE_ID: 2, "status": "withheld", "note": "there is no consent to 'marketing'"}
    assert withhold(settings, SCORES, tables.outside_ids(settings), "service").equals(SCORES)
    assert (told.columns, told.dtypes) == (SCORES.columns, SCORES.dtypes)


def test_who_withdrew_by_one_id_is_scored_by_none_until_each_agreed_again(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    say(settings, (5, False, AT))
    assert statuses(settings) == ["withheld", "ok", "stale", "cold", "withheld"]
    say(settings, (1, True, AT))
    assert statuses(settings)[0] == "withheld", "of two of one time the withdrawal"
    say(settings, (1, True, AT + 1))
    assert statuses(settings) == ["ok", "ok", "stale", "cold", "withheld"]


def test_opt_in_scores_whoever_agreed_and_did_not_withdraw_since(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    assert set(statuses(settings, "profiling")) == {"withheld"}
    say(settings, (1, True, 1), (2, True, AT), (3, True, AT), purpose="profiling")
    say(settings, (3, False, AT + 1), purpose="profiling")
    assert statuses(settings, "profiling") == ["ok", "ok", "withheld", "withheld", "withheld"]


def test_a_word_under_a_previous_key_counts(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    say(settings, (2, False, AT))
    changed = replace(settings, pseudonym_key="a secret of sixteen bytes", previous_pseudonym_keys=("none",))
    assert statuses(changed)[1] == "withheld"


def test_caps_hold_for_a_person_and_are_asked_of_redis(tmp_path: Path) -> None:
    with running(loaded(tmp_path)) as bound, connect(bound) as client:
        settings = replace(bound, caps="marketing=2/7d,service=1/1h")
        now_ms = now_us() // 1000
        for customer, name in (("1", "a"), ("5", "b"), ("2", "c"), ("2", "c")):
            contact = now_ms, "marketing", name
            client.eval(*contacts.call(settings.project, customer, contact, "d", 10**9, now_ms))
        client.set(contacts.contacts_key(settings.project, "3"), b"[")
        say(settings, (5, False, AT))
        assert statuses(settings) == ["withheld", "ok", "capped", "cold", "withheld"]
        say(settings, (1, True, AT + 1), (5, True, AT + 1))
        assert statuses(settings) == ["capped", "ok", "capped", "cold", "capped"]
        told = withhold(settings, SCORES, tables.outside_ids(settings), "marketing")
        assert told["note"][0] == "contacted for 'marketing' as often as may be"
        assert statuses(settings, "service")[:2] == ["ok", "ok"], "a free purpose has a cap as well"
    with pytest.raises(StoreError):
        statuses(replace(settings, redis_url="redis://127.0.0.1:1/0"))


def test_an_unknown_purpose_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownPurposeError):
        statuses(loaded(tmp_path), "nothing")
