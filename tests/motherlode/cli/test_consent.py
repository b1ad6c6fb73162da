"""`motherlode consent`: what is said there counts in serving, and what the tables say counts where nobody said more."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import redis
from click.testing import CliRunner

from feature_repo.mart import customers
from motherlode import consent as consents
from motherlode.cli.consent import consent
from motherlode.cli.main import COMMANDS
from motherlode.consent import Ledger
from motherlode.errors import SettingsError
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


def test_the_tables_count_where_nobody_said_more(client: redis.Redis, home: Settings) -> None:
    def tables(**agreed: bool | None) -> None:
        home.mart.mkdir(exist_ok=True)
        frame = pl.DataFrame({"customer_id": list(agreed), "consent_marketing": list(agreed.values())})
        frame.write_parquet(home.mart / customers.FILE)

    tables(a=False, b=True, c=None, d=False)
    ran("grant", "d", "--purpose", "marketing")
    assert "2 words of 3" in ran("load")
    assert "0 words of 3" in ran("load")
    assert [said(client, home, each) for each in "abcd"] == [{"marketing": -1}, {"marketing": 1}, {}, {"marketing": 1}]
    tables(a=True, b=False, c=None, d=False)
    assert "2 words of 3" in ran("load"), "the tables changed"
    assert [said(client, home, each) for each in "abcd"] == [{"marketing": 1}, {"marketing": -1}, {}, {"marketing": 1}]
    tables(a=False, b=False, c=None, d=False)
    ran("load")
    assert said(client, home, "a") == {"marketing": -1}
