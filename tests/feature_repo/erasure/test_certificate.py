"""A certificate is kept, found again where it was not ended, and says of a place all that any run found."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from feature_repo.erasure import certificate
from feature_repo.erasure.certificate import Backup
from feature_repo.warehouse.places import Place
from motherlode.errors import DataError
from motherlode.settings import Settings

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_an_unfinished_one_of_the_same_people_is_found(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    first = certificate.new(AT, ["b", "a"])
    certificate.write(settings, first)
    assert certificate.every(settings) == [first]
    assert certificate.unfinished(settings, ["a", "b"]) == first
    assert certificate.unfinished(settings, ["a"]) is None
    certificate.write(settings, msgspec.structs.replace(first, ended_at=AT))
    assert certificate.unfinished(settings, ["a", "b"]) is None


def test_a_place_keeps_its_first_hash_and_takes_the_last() -> None:
    told = certificate.new(AT, ["a"]).with_places([Place("raw", "x", 3, "before"), Place("mart", "y", 1)])
    told = told.with_places([Place("raw", "x", 0, "", "after"), Place("online", "z", 2)])
    assert told.places == (
        Place("raw", "x", 3, "before", "after"),
        Place("mart", "y", 1),
        Place("online", "z", 2),
    )


def test_it_is_complete_only_where_nothing_is_left_and_every_backup_knows() -> None:
    told = msgspec.structs.replace(certificate.new(AT, ["a"]), ended_at=AT)
    assert told.complete
    assert not msgspec.structs.replace(told, ended_at=None).complete
    assert not msgspec.structs.replace(told, failures=("x",)).complete
    assert not msgspec.structs.replace(told, backups=(Backup(folder="/b", told=False),)).complete


def test_it_says_of_every_index_what_became_of_it(tmp_path: Path) -> None:
    path = certificate.write(Settings(home=tmp_path), certificate.new(AT, ["a"]))
    told = msgspec.json.decode(path.read_bytes())["indexes"]
    assert [each.partition(":")[0] for each in told] == [
        "the item index of each bundle",
        "neighbour lists and groups of other customers, offline and online",
        "the online store's index of a customer's rows under several join keys",
    ]


def test_what_is_no_certificate_is_named(tmp_path: Path) -> None:
    path = tmp_path / certificate.CERTIFICATES / "x.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(DataError, match=r"x\.json is no certificate"):
        certificate.every(Settings(home=tmp_path))
