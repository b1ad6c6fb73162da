"""`motherlode consent`: what is said there counts in serving, and what the tables say counts where nobody said more."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import redis
from click.testing import CliRunner

from feature_repo.mart import customers
from motherlode import consent as consents
from motherlode import people
from motherlode.cli.consent import consent
from motherlode.cli.main import COMMANDS
from motherlode.consent import Ledger, Word
from motherlode.errors import DataError, SettingsError
from motherlode.settings import Settings


@pytest.fixture
def home(server: Settings, client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home of its own, whose commands find the running server."""
    assert client.ping()
    monkeypatch.setenv("MOTHERLODE_HOME", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", str(server.redis_url))
    return replace(server, home=tmp_path)


def ran(*arguments: str) -> str:
    result = CliRunner().invoke(consent, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def said(client: redis.Redis, home: Settings, customer: str) -> dict[str, int]:
    raw = client.get(consents.consent_key(home.project, customer))
    assert raw is None or isinstance(raw, bytes)
    return {purpose: at // abs(at) for purpose, at in consents.decode(raw).items()}


def test_what_is_said_is_in_redis_and_in_the_ledger_and_shown(client: redis.Redis, home: Settings) -> None:
    assert "marketing withdrawn" in ran("withdraw", "7", "--purpose", "marketing")
    assert "consent" in COMMANDS
    assert said(client, home, "7") == {"marketing": -1}
    (word,) = Ledger(home).standing().values()
    assert (word.customer, word.granted) == ("7", False)
    shown = next(line for line in ran("show", "7").splitlines() if "marketing" in line)
    assert shown.split()[1:4] == ["marketing", "│", "opt-out"]
    assert shown.split()[-2] == "no"
    ran("grant", "7", "--purpose", "marketing")
    assert said(client, home, "7") == {"marketing": 1}


def test_a_purpose_that_needs_no_consent_or_is_unknown_is_refused(home: Settings) -> None:
    assert home.home.is_dir()
    for purpose in ("service", "nothing"):
        with pytest.raises(SettingsError, match=purpose):
            ran("withdraw", "7", "--purpose", purpose)


def tables(home: Settings, **agreed: bool | None) -> None:
    """What the company's tables say."""
    home.mart.mkdir(exist_ok=True)
    frame = pl.DataFrame({"customer_id": list(agreed), "consent_marketing": list(agreed.values())})
    frame.write_parquet(home.mart / customers.FILE)


def damage(home: Settings) -> None:
    folder = home.home / consents.FOLDER
    folder.mkdir(exist_ok=True)
    (folder / people.FILE).write_bytes(b"no database, however long it is" * 100)


def test_the_tables_count_where_nobody_said_more(client: redis.Redis, home: Settings) -> None:
    tables(home, a=False, b=True, c=None, d=False)
    ran("grant", "d", "--purpose", "marketing")
    assert "2 words of 3" in ran("load")
    assert "0 words of 3" in ran("load")
    assert [said(client, home, each) for each in "abcd"] == [{"marketing": -1}, {"marketing": 1}, {}, {"marketing": 1}]
    tables(home, a=True, b=False, c=None, d=False)
    assert "2 words of 3" in ran("load"), "the tables changed"
    assert [said(client, home, each) for each in "abcd"] == [{"marketing": 1}, {"marketing": -1}, {}, {"marketing": 1}]
    tables(home, a=False, b=False, c=None, d=False)
    ran("load")
    assert said(client, home, "a") == {"marketing": -1}


def test_a_no_of_the_tables_is_the_whole_persons_however_often_they_are_loaded(
    client: redis.Redis, home: Settings
) -> None:
    people.publish(home, [["a", "b", "c"]])
    tables(home, a=False, b=True, d=True)
    for words in (3, 0, 0):
        assert f"{words} words of 3" in ran("load")
        signs = [said(client, home, each) for each in "abcd"]
        assert signs == [{"marketing": -1}, {"marketing": -1}, {"marketing": -1}, {"marketing": 1}]
    assert [word.granted for word in Ledger(home).standing().values()].count(True) == 1, "the batch reads this"
    tables(home, a=True, b=True, d=True)
    ran("load")
    assert [said(client, home, each) for each in "ab"] == [{"marketing": 1}] * 2, "nobody refuses any more"


def test_a_yes_of_the_tables_that_an_older_load_kept_against_a_no_goes(client: redis.Redis, home: Settings) -> None:
    Ledger(home).add([Word("a", "marketing", False, 1), Word("b", "marketing", True, 2)])
    people.publish(home, [["a", "b"]])
    tables(home, a=False, b=True)
    ran("load")
    assert said(client, home, "b") == {"marketing": -1}


def test_a_withdrawal_is_kept_though_nobody_can_tell_who_is_one_person(client: redis.Redis, home: Settings) -> None:
    damage(home)
    with pytest.raises(DataError, match="withdrawn under this id alone") as refused:
        ran("withdraw", "7", "--purpose", "marketing")
    assert "motherlode features" in refused.value.remedy
    assert said(client, home, "7") == {"marketing": -1}
    assert [word.granted for word in Ledger(home).standing().values()] == [False]
    ran("grant", "7", "--purpose", "marketing")


def test_of_the_tables_no_agreement_is_taken_while_nobody_can_tell_who_is_one_person(
    client: redis.Redis, home: Settings
) -> None:
    damage(home)
    tables(home, a=False, b=True)
    with pytest.raises(DataError, match=r"1 new withdrawals of the tables are kept, .* no agreement"):
        ran("load")
    assert [said(client, home, each) for each in "ab"] == [{"marketing": -1}, {}]
    people.publish(home, [["a", "b"]])
    ran("load")
    assert [word.granted for word in Ledger(home).standing().values()] == [False, False]


def test_a_withdrawal_is_kept_for_the_whole_person_where_redis_is_gone(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.publish(home, [["7", "8"]])
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    with pytest.raises(Exception, match="127"):
        ran("withdraw", "7", "--purpose", "marketing")
    assert {word.customer for word in Ledger(home).standing().values()} == {"7", "8"}
