"""Consent: the newest word counts, it survives the loss of Redis, and whoever was erased says nothing any more."""

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from motherlode import consent
from motherlode.consent import Ledger, Purposes, Word
from motherlode.errors import DataError, SettingsError
from motherlode.online import tombstones as ledger_of_tombstones
from motherlode.online.tombstones import Tombstones
from motherlode.redis_server import connect, running
from motherlode.settings import Settings


@pytest.fixture
def home(server: Settings, tmp_path: Path) -> Settings:
    """A home of its own, bound to the running server."""
    return replace(server, home=tmp_path / "a home")


def word(at: int, granted: bool, customer: str = "7", purpose: str = "marketing") -> Word:
    return Word(customer, purpose, granted, at)


def held(client: Any, settings: Settings, customer: str = "7") -> dict[str, int]:
    return dict(consent.decode(client.get(consent.consent_key(settings.project, customer))))


def kept_up(client: Any, settings: Settings, ledger: Ledger | None = None) -> int:
    return consent.keep_up(client, settings, ledger or Ledger(settings), Tombstones(settings))


def test_in_whatever_order_words_arrive_the_newest_counts_and_of_two_of_one_time_the_withdrawal(
    client: redis.Redis, home: Settings
) -> None:
    words = [word(1_763_000_000_001, True), word(1_763_000_000_002, False), word(1_763_000_000_002, True)]
    for order in itertools.permutations(words):
        client.flushall()
        for each in order:
            consent.tell(client, home.project, [each], Tombstones(home))
        assert held(client, home) == {"marketing": -1_763_000_000_002}
        assert consent.newest(order)["7", "marketing"] == words[1]


def test_purposes_do_not_touch_each_other(client: redis.Redis, home: Settings) -> None:
    consent.tell(client, home.project, [word(5, False), word(6, True, purpose="profiling")], Tombstones(home))
    consent.tell(client, home.project, [word(7, True)], Tombstones(home))
    assert held(client, home) == {"marketing": 7, "profiling": 6}


@pytest.mark.parametrize(
    ("rule", "said", "allowed"),
    [
        ("free", [-9], True),
        ("opt-out", [], True),
        ("opt-out", [-9], False),
        ("opt-out", [-9, 10], True),
        ("opt-out", [9, -9], False),
        ("opt-in", [], False),
        ("opt-in", [9], True),
        ("opt-in", [9, -10], False),
    ],
)
def test_a_rule_and_what_was_said_under_any_name_decide(rule: Any, said: list[int], allowed: bool) -> None:
    assert consent.allows(rule, said) is allowed
    assert consent.allows(rule, said[::-1]) is allowed


def test_a_redis_that_lost_everything_is_told_again(client: redis.Redis, home: Settings) -> None:
    ledger = Ledger(home)
    ledger.add([word(5, False), word(9, True, "8"), *(word(5, False, f"c{i}") for i in range(2000))])
    assert not consent.complete(client, home.project, consent.runs(client))
    assert kept_up(client, home, ledger) == 2002
    assert consent.complete(client, home.project, consent.runs(client))
    assert kept_up(client, home, ledger) == 0, "nothing is told twice without need"
    client.flushall()
    assert kept_up(client, home, ledger) == 2002
    assert (held(client, home), held(client, home, "8"), held(client, home, "c1999")) == (
        {"marketing": -5},
        {"marketing": 9},
        {"marketing": -5},
    )


def test_a_word_that_another_process_kept_and_could_not_tell_is_told(client: redis.Redis, home: Settings) -> None:
    mine = Ledger(home)
    mine.add([word(5, True)])
    kept_up(client, home, mine)
    code = "import sys; from pathlib import Path; from motherlode.consent import Ledger, Word; "
    code += "from motherlode.settings import Settings; "
    code += "Ledger(Settings(home=Path(sys.argv[1]))).add([Word('7', 'marketing', False, 6)])"
    subprocess.run([sys.executable, "-c", code, str(home.home)], check=True)
    assert kept_up(client, home, mine) == 1
    assert held(client, home) == {"marketing": -6}


def test_a_line_that_a_kill_cut_short_is_dropped_and_damage_is_named(home: Settings) -> None:
    ledger = Ledger(home)
    ledger.add([word(5, False)])
    path = home.home / consent.FOLDER / consent.LEDGER
    with path.open("ab") as file:
        file.write(b'{"customer":"7","pur')
    assert [each.at for each in ledger.fresh()] == [5]
    ledger.add([word(6, True)])
    assert [each.at for each in ledger.fresh()] == [6]
    assert ledger.standing()["7", "marketing"].granted
    path.write_bytes(path.read_bytes().replace(b"granted", b"grantex"))
    with pytest.raises(DataError, match=r"Line 1 of .* is no word of consent"):
        Ledger(home).fresh()


def test_whoever_was_erased_is_taken_out_and_says_nothing_any_more(client: redis.Redis, home: Settings) -> None:
    tombstones, ledger = Tombstones(home), Ledger(home)
    ledger.add([word(5, False), word(5, False, "8")])
    kept_up(client, home, ledger)
    tombstones.add([ledger_of_tombstones.of_customer(tombstones, "7", datetime.now(UTC), "c")])
    ledger_of_tombstones.restore(client, home.project, tombstones)
    assert consent.erase(client, home, ["7"]) == 2, "a word in the ledger, a key in Redis"
    assert ledger.add([word(9, False), word(9, False, "9")]) == [word(9, False, "9")]
    consent.tell(client, home.project, [word(9, False)], tombstones)
    assert client.get(consent.consent_key(home.project, "7")) is None
    assert {customer for customer, _ in ledger.standing()} == {"8", "9"}
    assert b'"7"' not in (home.home / consent.FOLDER / consent.LEDGER).read_bytes()
    kept_up(client, home, ledger)
    assert held(client, home, "8") == {"marketing": -5}


def test_a_new_pseudonym_key_keeps_what_was_said(home: Settings) -> None:
    ledger = Ledger(home)
    ledger.add([word(5, False), word(6, False, "8")])
    assert ledger.rename({"7": "new name"}) == 1
    assert set(ledger.standing()) == {("new name", "marketing"), ("8", "marketing")}


def test_a_full_disk_keeps_the_ledger_whole(home: Settings) -> None:
    ledger = Ledger(home)
    ledger.add([word(5, False)])
    path = home.home / consent.FOLDER / consent.LEDGER
    code = "import resource, signal, sys; from pathlib import Path; from motherlode.consent import Ledger, Word; "
    code += "from motherlode.settings import Settings; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    code += f"resource.setrlimit(resource.RLIMIT_FSIZE, ({path.stat().st_size + 20}, -1)); "
    code += "Ledger(Settings(home=Path(sys.argv[1]))).add([Word('8', 'marketing', False, 6)])"
    ended = subprocess.run([sys.executable, "-c", code, str(home.home)], capture_output=True, text=True, check=False)
    assert "File too large" in ended.stderr
    ledger.add([word(7, True)])
    assert [json.loads(line)["at"] for line in path.read_bytes().splitlines()] == [5, 7]
    assert path.parent.stat().st_mode & 0o077 == 0, "nobody else reads who said what"


@pytest.mark.parametrize("said", ["marketing", "marketing=maybe", "=opt-in", "a-b=opt-in", "service=opt-in"])
def test_purposes_that_cannot_be_read_are_refused(home: Settings, said: str) -> None:
    with pytest.raises(SettingsError, match="no purpose with a rule"):
        Purposes.of(replace(home, purposes=said))
    assert Purposes.of(replace(home, purposes="")).rules == {"service": "free"}


def test_a_server_that_came_back_with_less_than_it_was_told_is_told_again(tmp_path: Path) -> None:
    """As after a crash, which may cost the last second, or from a snapshot: the marks of completeness are there."""
    settings = Settings(home=tmp_path / "its own")
    with running(settings) as bound, connect(bound) as client:
        ledger = Ledger(bound)
        ledger.add([word(1_763_000_000_001, False)])
        assert kept_up(client, bound, ledger) == 1
        assert kept_up(client, bound, ledger) == 0
        client.unlink(consent.consent_key(bound.project, "7"))
        client.shutdown(save=True)
    with running(settings) as bound, connect(bound) as client:
        assert client.exists(consent.complete_key(bound.project, 0)) == 1
        assert held(client, bound) == {}
        assert kept_up(client, bound, ledger) == 1
        assert held(client, bound) == {"marketing": -1_763_000_000_001}
        assert kept_up(client, bound, ledger) == 0
