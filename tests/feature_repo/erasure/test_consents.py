"""What customers said, and how often they were contacted, goes with them, and is renamed with their key."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feature_repo.erasure import consents, renamed
from motherlode import consent, contacts, people
from motherlode.consent import Ledger, Word
from motherlode.online.tombstones import Tombstones
from motherlode.people import People
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

OLD = "the key that was before"
AT = 1_763_000_000_000


def say(client: Any, settings: Settings, *keys: str) -> None:
    """Each withdraws, and was contacted once."""
    words = [Word(key, "marketing", granted=False, at=AT) for key in keys]
    consent.tell(client, settings.project, Ledger(settings).add(words), Tombstones(settings))
    for key in keys:
        call = contacts.call(settings.project, key, (AT, "marketing", "c"), "digest", 10**12, AT)
        assert client.eval(*call) == 1


def stored(client: Any, project: str) -> set[str]:
    keys = [*client.scan_iter(f"{project}/@consent/*"), *client.scan_iter(f"{project}/@contacts/*")]
    return {key.decode().partition("}")[2] for key in keys}


@pytest.mark.parametrize("online", [True, False])
def test_an_erasure_takes_what_was_said_and_what_was_counted(tmp_path: Path, online: bool) -> None:
    with running(Settings(home=tmp_path)) as settings, connect(settings) as client:
        say(client, settings, "7", "8")
        assert [(each.name, each.rows) for each in consents.find(settings, ["7", "9"])] == [("consent", 1)]
        (place,) = consents.erase(settings, client if online else None, ["7"])
        assert place.rows == (3 if online else 1)
        assert consents.find(settings, ["7"]) == []
        consents.erase(settings, client, ["7"])
        assert {customer for customer, _ in Ledger(settings).standing()} == {"8"}
        assert stored(client, settings.project) == {"8"}


def test_a_new_key_leaves_nothing_under_the_old_name(tmp_path: Path) -> None:
    with running(Settings(home=tmp_path, pseudonym_key=OLD)) as old, connect(old) as client:
        say(client, old, *old.identity.join_keys_of(["7", "8"]))
        new = replace(old, pseudonym_key="the key that comes after", previous_pseudonym_keys=(OLD,))
        consent.rename(new, ["7", "8"])
        renamed.remove(new, ["7", "8"])
        keys = set(new.identity.join_keys_of(["7", "8"]))
        assert {customer for customer, _ in Ledger(new).standing()} == keys
        assert stored(client, old.project) == keys
        raw: Any = client.get(contacts.contacts_key(new.project, new.identity.join_key("7")))
        assert len(contacts.decode(raw, "marketing")) == 1


def test_who_was_one_person_with_others_is_so_no_more_and_under_a_new_key_still_is(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    people.publish(settings, [["7", "8", "9"]])
    (place,) = consents.erase(settings, None, ["7"])
    assert (place.rows, People(settings).others(["8"]), People(settings).others(["7"])) == (1, ["9"], [])
    new = replace(settings, pseudonym_key=OLD, previous_pseudonym_keys=("none",))
    people.rename(new, consent.renamed(new, ["8", "9"]))
    key = new.identity.join_key
    assert People(new).others([key("8")]) == [key("9")]


def test_who_is_one_person_is_a_place_of_its_own(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    people.publish(settings, [["7", "8"]])
    assert [(each.name, each.path, each.rows) for each in consents.find(settings, ["7", "9"])] == [
        ("one person", "consent/people.db", 1)
    ]
    consents.erase(settings, None, ["7"])
    assert consents.find(settings, ["7"]) == []


def test_a_damaged_file_of_persons_goes_and_what_was_counted_with_it(tmp_path: Path) -> None:
    with running(Settings(home=tmp_path)) as settings, connect(settings) as client:
        say(client, settings, "7")
        (tmp_path / consent.FOLDER / people.FILE).write_bytes(b"no database, however long it is" * 100)
        places = consents.erase(settings, client, ["7"])
        assert [(each.name, each.rows) for each in places] == [("consent", 3), ("one person", 0)]
        assert stored(client, settings.project) == set()
        assert consents.find(settings, ["7"]) == []


def test_contacts_under_both_names_all_count_after_a_re_key_each_once(tmp_path: Path) -> None:
    with running(Settings(home=tmp_path)) as settings, connect(settings) as client:
        old, new = (contacts.contacts_key(settings.project, each) for each in ("old", "new"))

        def count(customer: str, purpose: str, name: str, at: int) -> None:
            client.eval(*contacts.call(settings.project, customer, (at, purpose, name), "d", 10**12, AT))

        def known(purpose: str) -> list[int]:
            raw: Any = client.get(new)
            return [at for at, _ in contacts.decode(raw, purpose)]

        count("old", "marketing", "a", AT - 3)
        count("old", "marketing", "both", AT - 2)
        count("old", "service", "s", AT)
        count("new", "marketing", "both", AT - 2)
        count("new", "marketing", "b", AT - 1)
        client.pexpire(new, 60_000)
        contacts.move(client, settings.project, {"old": "new", "nobody": "somebody"})
        assert (known("marketing"), known("service")) == ([AT - 3, AT - 2, AT - 1], [AT])
        left: Any = client.pttl(new)
        assert left > 60_000, "as long as the longer of both"
        assert client.keys("*@contacts/*") == [new.encode()]
        client.set(old, b'[[%d,"marketing","older"]]' % (AT - 4))
        contacts.move(client, settings.project, {"old": "new"})
        assert known("marketing") == [AT - 4, AT - 3, AT - 2, AT - 1], "as older versions wrote it"
        client.set(old, b"[")
        contacts.move(client, settings.project, {"old": "new"})
        assert client.get(new) == b"[", "how often is unknown now, which caps take for too often"
        count_before: Any = client.get(new)
        client.set(old, b'{"marketing":[[1,"x"]]}')
        contacts.move(client, settings.project, {"old": "new"})
        assert (client.get(new), client.exists(old)) == (count_before, 0)
