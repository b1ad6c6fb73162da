"""Feast's SQL registry on SQLite, in the home folder: the SQLAlchemy dialect behind `motherlode:///registry.db`.

SQLite resolves a relative path against the working folder, and `feast apply` changes it while
`feast materialize` does not; so a plain `sqlite:///.motherlode/registry.db` would be two registries.
"""

from typing import Any

from sqlalchemy import URL
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from feature_repo.stores.state import here
from motherlode.errors import StoreError


class HomeDialect(SQLiteDialect_pysqlite):
    """SQLite, its file resolved against the home folder. Named by an entry point in `pyproject.toml`."""

    supports_statement_cache = True

    def create_connect_args(self, url: URL) -> Any:
        """SQLAlchemy's hook: what to hand to `sqlite3.connect`.

        Raises:
            StoreError: there is no home folder.
        """
        home = here().home
        if not home.is_dir():
            raise StoreError(
                f"There is no state folder {home}.",
                "Stand where `.motherlode` lies, run `motherlode demo` first, or set MOTHERLODE_HOME.",
            )
        return super().create_connect_args(url.set(database=str(home / (url.database or "registry.db"))))
