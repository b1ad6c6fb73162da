"""Who is one person: what one id withdraws all withdraw, and nothing is left of whoever goes."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from motherlode import consent, people
from motherlode.consent import Ledger, Word
from motherlode.errors import DataError
from motherlode.online.tombstones import Tombstones, of_customer
from motherlode.people import People
from motherlode.settings import Settings

AT = 1_763_000_000_000


def withdrawn(settings: Settings) -> set[tuple[str, int]]:
    return {(word.customer, word.at) for word in Ledger(settings).standing().values() if not word.granted}


def test_a_person_is_found_by_each_name_and_nobody_else_is(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    known = People(settings)
    assert known.others(["a"]) == []
    assert people.publish(settings, []) == 0
    assert not (tmp_path / consent.FOLDER).exists()
    people.publish(settings, [["a", "b", "c"], ["d", "e"]])
    assert [known.others([name]) for name in "abcdef"] == [["b", "c"], ["a", "c"], ["a", "b"], ["e"], ["d"], []]
    assert known.others(["x", "a"]) == ["b", "c"], "known by a previous key alone"
    people.publish(settings, [["a", "b"]])
    assert [known.others([name]) for name in "abc"] == [["b"], ["a"], []], "who is two people again"
    people.publish(settings, [])
    assert known.others(["a"]) == []


def test_a_withdrawal_is_every_names_and_an_agreement_its_own(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    people.publish(settings, [["a", "b"]])
    yes, no = (Word("a", "marketing", granted, AT) for granted in (True, False))
    assert People(settings).words(yes, ["a"]) == [yes]
    assert People(settings).words(no, ["a"]) == [no, replace_customer(no, "b")]


def replace_customer(word: Word, customer: str) -> Word:
    return Word(customer, word.purpose, word.granted, word.at)


def test_what_was_withdrawn_before_they_were_found_to_be_one_counts_for_both_then(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    said = [("a", False, AT), ("b", True, AT + 5), ("c", True, AT - 5), ("d", False, AT), ("e", True, AT)]
    Ledger(settings).add([Word(name, "marketing", granted, at) for name, granted, at in said])
    assert people.publish(settings, [["a", "b", "c", "x"], ["e", "y"]]) == 2
    assert withdrawn(settings) == {("a", AT), ("c", AT), ("d", AT), ("x", AT)}, "a newer agreement stands"
    assert people.publish(settings, [["a", "b", "c", "x"], ["e", "y"]]) == 0
    people.publish(settings, [])
    assert withdrawn(settings) == {("a", AT), ("c", AT), ("d", AT), ("x", AT)}, "parted, they keep what was said"


def test_nothing_is_left_of_whoever_is_erased_or_renamed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert (people.erase(settings, ["canary"]), people.rename(settings, {"canary": "bird"})) == (0, 0)
    people.publish(settings, [["canary", "b", "c"]])
    file = tmp_path / consent.FOLDER / people.FILE
    assert b"canary" in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    assert people.rename(settings, {"b": "bird", "nobody": "somebody"}) == 1
    assert people.erase(settings, ["canary", "nobody"]) == 1
    assert b"canary" not in file.read_bytes()
    assert People(settings).others(["c"]) == ["bird"]


def test_a_file_that_is_none_is_told_by_its_name(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    people.publish(settings, [["a", "b"]])
    assert People(replace(settings, home=tmp_path / "another")).others(["a"]) == []
    (tmp_path / consent.FOLDER / people.FILE).write_bytes(b"no database, however long it is" * 100)
    with pytest.raises(DataError, match=r"people\.db cannot be read"):
        People(settings).others(["a"])


def test_a_damaged_file_stops_no_erasure_and_is_named_to_who_renames(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    people.publish(settings, [["a", "b"]])
    file = tmp_path / consent.FOLDER / people.FILE
    file.write_bytes(b"no database, however long it is" * 100)
    with pytest.raises(DataError, match=r"people\.db cannot be read") as refused:
        people.rename(settings, {"a": "c"})
    assert "motherlode features" in refused.value.remedy
    assert people.count(settings, {"a"}) == 0
    assert people.erase(settings, ["a"]) is None
    assert not file.exists(), "the next build makes it anew"
    assert people.erase(settings, ["a"]) == 0


def test_who_has_a_tombstone_goes_whoever_is_named_and_does_not_come_back(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    people.publish(settings, [["a", "b", "c"]])
    tombstones = Tombstones(settings)
    tombstones.add([of_customer(tombstones, "a", datetime.now(UTC), "certificate")])
    assert people.count(settings, {"a", "b", "nobody"}) == 2
    assert people.erase(settings, []) == 1, "as after a restore: nobody knows their names any more"
    assert People(settings).others(["b"]) == ["c"]
    people.publish(settings, [["a", "b", "c"]])
    assert (People(settings).others(["b"]), People(settings).others(["a"])) == (["c"], [])
