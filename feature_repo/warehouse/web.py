"""The site's daily figures, from the integrated visits to two files of the mart."""

import io
from typing import Final

import polars as pl

from feature_repo.warehouse import files, sessions, tables
from motherlode import names
from motherlode.settings import Settings

WEB_DAILY: Final = "web_daily.parquet"
SEARCH_TERMS: Final = "search_terms.parquet"


def write(settings: Settings, time_zone: str = "UTC") -> None:
    """Write `mart/web_daily.parquet` and `mart/search_terms.parquet`, each in one step.

    Their columns are `sessions.WEB_DAILY` and `sessions.SEARCH_DAILY`; without web events they have no rows.

    Args:
        settings: where.
        time_zone: whose midnights part the days, by IANA name.

    Raises:
        DataError: nothing was loaded.
    """
    events = tables.scan(settings, names.INTERACTIONS)
    visits = tables.scan(settings, names.SESSIONS)
    for name, frame in (
        (WEB_DAILY, sessions.daily(visits, events, time_zone)),
        (SEARCH_TERMS, sessions.terms(events, time_zone)),
    ):
        files.write(settings.mart / name, _parquet(frame.collect(engine="streaming")))


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
