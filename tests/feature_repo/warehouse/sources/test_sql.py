"""Queries: any answer of a database as rows, its password nowhere."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from feature_repo.warehouse import raw


def _database(company: Any) -> None:
    with closing(sqlite3.connect(company.folder / "crm.db")) as connection, connection:
        connection.execute("create table notes (id integer, text, price numeric)")
        rows = [(1, "a", None), (None, "", "cheap"), (3, b"\xff", 1.5), (2**62, "Köln", 0)]
        connection.executemany("insert into notes values (?, ?, ?)", rows)


def _landed(company: Any, **source: Any) -> Any:
    (found,) = company.find(**source)
    return raw.land(company.settings, company.project(**source), found, 1, datetime(2025, 1, 1, tzinfo=UTC))


def test_a_query_of_sqlite_gives_text_exactly(company: Any) -> None:
    _database(company)
    landed = _landed(company, database="sqlite:///crm.db", query="select *, id as id from notes order by rowid;")
    rows = company.rows(landed)
    assert rows.columns == ["_row", "_line", "id", "text", "price", "id_2"]
    assert [row[1:5] for row in rows.rows()] == [
        (1, "1", "a", None),
        (2, None, None, "cheap"),
        (3, "3", "\\xff", "1.5"),
        (4, str(2**62), "Köln", "0"),
    ]
    assert landed.name == "till"


def test_the_digest_is_of_the_rows_whatever_their_order(company: Any) -> None:
    _database(company)
    up = _landed(company, database="sqlite:///crm.db", query="select * from notes order by id")
    down = _landed(company, database="sqlite:///crm.db", query="select * from notes order by id desc")
    fewer = _landed(company, database="sqlite:///crm.db", query="select * from notes where id > 1")
    assert up.sha256 == down.sha256 != fewer.sha256


@pytest.mark.parametrize(
    ("query", "problem"),
    [("select missing from notes", "no such column"), ("drop table notes", "readonly"), ("", "gives no rows")],
)
def test_a_query_that_fails_is_refused_and_changes_nothing(company: Any, query: str, problem: str) -> None:
    _database(company)
    landed = _landed(company, database="sqlite:///crm.db", query=query)
    assert landed.status == "refused"
    assert problem in landed.problem
    assert _landed(company, database="sqlite:///crm.db", query="select * from notes").rows == 4


def test_a_database_that_is_not_there_is_refused(company: Any) -> None:
    assert "not there" in _landed(company, database="sqlite:///gone.db", query="select 1").problem


def test_a_password_is_shown_nowhere(company: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setenv("CRM_PASSWORD", "pa%24sword")
    # No such scheme: connectorx answers at once, with the whole URL.
    source = {"database": "crmdb://me:${CRM_PASSWORD}@localhost/crm", "query": "select 1"}
    landed = _landed(company, **source)
    assert landed.status == "refused"
    shown = repr(company.find(**source)) + repr(landed) + "".join(capfd.readouterr())
    assert "pa%24sword" not in shown
    assert "pa$sword" not in shown
