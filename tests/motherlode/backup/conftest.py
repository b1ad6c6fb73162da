"""A home as the pipeline leaves one: state, Parquet, an SQLite registry, an audit log, a ledger; and its key."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from motherlode import audit
from motherlode.settings import Settings
from tests.motherlode.backup.example import CANARY, KEY, write_rows


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with customers, one of them the canary, in a folder with a space in its name."""
    found = Settings(home=tmp_path / "a home" / ".motherlode", backup_key=KEY, actor="tester")
    home = found.home
    (home / "erasure").mkdir(parents=True)
    write_rows(home / "raw" / "transactions" / "a.parquet", [CANARY, "kept-1", "kept-2"])
    write_rows(home / "integrated" / "customers.parquet", [CANARY, "kept-1"])
    write_rows(home / "quarantine" / "none.parquet", [])
    (home / "warehouse.json").write_text(json.dumps({"version": 2, "files": ["raw/transactions/a.parquet"]}))
    (home / "models" / "v1").mkdir(parents=True)
    (home / "models" / "v1" / "manifest.json").write_text("{}")
    (home / "models" / "current").write_text("v1\n")
    (home / "models" / "latest").symlink_to("v1")
    (home / "empty").touch()
    with closing(sqlite3.connect(home / "registry.db")) as registry:
        registry.execute("create table watermarks (view text, at integer)")
        registry.execute("insert into watermarks values ('rfm', 1)")
        registry.commit()
    # What is no state of it.
    (home / "valkey").mkdir()
    (home / "valkey" / "appendonly.aof").write_bytes(CANARY.encode())
    (home / "logs").mkdir()
    (home / "logs" / "valkey.log").write_text("log")
    (home / "raw" / ".writing-1-b.parquet").write_bytes(b"half")
    audit.record(found, "load", "1 file")
    return found
