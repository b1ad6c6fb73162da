"""The site's daily figures, from files of a made-up shop to the mart."""

from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse import sessions, web
from feature_repo.warehouse.mapping.read import read
from feature_repo.warehouse.pipeline import load
from motherlode.errors import DataError
from motherlode.settings import Settings

MAPPING = """
version: 1
company: Tiny
sources:
  events: { files: events.csv }
tables:
  interactions:
    from: events
    columns:
      customer_id: who
      visitor_id: cookie
      event_type: kind
      page: page
      search_terms: words
      event_timestamp: at
privacy: { pseudonym: none }
"""

EVENTS = """who,cookie,kind,page,words,at
,c1,view,/home,,2024-03-31T23:50:00Z
ann,c1,search,/search,Red Shoes,2024-03-31T23:55:00Z
ann,c1,view,/shoes,,2024-04-01T00:05:00Z
,c2,view,/home,,2024-04-01T09:00:00Z
"""


def loaded(folder: Path, events: str) -> Settings:
    (folder / "motherlode.yaml").write_text(MAPPING)
    (folder / "events.csv").write_text(events)
    settings = Settings(home=folder / "home")
    load(settings, read(folder))
    return settings


def test_two_files_of_the_mart_hold_the_days_and_the_searches(tmp_path: Path) -> None:
    settings = loaded(tmp_path, EVENTS)
    web.write(settings)
    days = pl.read_parquet(settings.mart / web.WEB_DAILY)
    assert days.schema == sessions.WEB_DAILY
    assert days.drop("date").rows() == [(1, 1, 1, 0, 0.0, 900.0), (2, 2, 1, 1, 1.0, 0.0)]
    searches = pl.read_parquet(settings.mart / web.SEARCH_TERMS)
    assert searches.schema == sessions.SEARCH_DAILY
    assert searches.drop("date").rows() == [("red shoes", 1, 1)]


def test_the_company_s_midnight_parts_the_days(tmp_path: Path) -> None:
    settings = loaded(tmp_path, EVENTS)
    web.write(settings, "Asia/Shanghai")
    assert pl.read_parquet(settings.mart / web.WEB_DAILY)["page_views"].to_list() == [3]


def test_nothing_loaded_is_an_error_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Nothing was loaded"):
        web.write(Settings(home=tmp_path))
