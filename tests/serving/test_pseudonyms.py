"""Pseudonyms of the access log: of one customer the same for ever, of a home alone, and in no other file."""

from pathlib import Path
from typing import get_args

from motherlode.online.tombstones import Kind, Tombstones
from motherlode.settings import Settings
from serving.pseudonyms import Pseudonyms


def test_they_are_no_other_homes_and_no_other_files_and_those_of_one_customer_are_one(tmp_path: Path) -> None:
    one, other = (Tombstones(Settings(home=tmp_path / name)) for name in "ab")
    ids = [*range(1000), "abc", "a" * 256]
    mine = Pseudonyms(one).of(ids)
    assert len({*mine}) == len(ids)
    assert {*mine}.isdisjoint(Pseudonyms(other).of(ids))
    assert {*mine}.isdisjoint(each[:24] for kind in get_args(Kind) for each in one.digests(kind, map(str, ids)))
    assert mine == Pseudonyms(Tombstones(Settings(home=tmp_path / "a"))).of(map(str, ids))
