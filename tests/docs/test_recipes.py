"""The recipes of docs/data.md, loaded as they stand there."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from feature_repo.warehouse import pipeline, tables
from feature_repo.warehouse.mapping.read import read
from motherlode.settings import Settings

TEXT: Final = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
HEAD: Final = "company: Recipes\nprivacy: {pseudonym: none}\n"

Loaded = Callable[[str], Settings]


def recipes() -> dict[str, str]:
    """Heading → what stands below it."""
    (section,) = re.findall(r"^## Recipes\n(.*?)(?=^## )", TEXT, re.MULTILINE | re.DOTALL)
    heading, *parts = re.split(r"^### (.+)\n", section, flags=re.MULTILINE)
    assert "loaded by a test" in heading
    return dict(zip(parts[::2], parts[1::2], strict=True))


RECIPES: Final = recipes()


def blocks(recipe: str) -> tuple[dict[str, str], str]:
    """A recipe's files by name, and its mapping."""
    found = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```", RECIPES[recipe], re.MULTILINE | re.DOTALL)
    (mapping,) = [text for kind, _, text in found if kind == "yaml"]
    return {name: text for kind, name, text in found if kind != "yaml"}, mapping


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """A recipe → where it is loaded."""

    def load(recipe: str) -> Settings:
        files, mapping = blocks(recipe)
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / "motherlode.yaml").write_text(HEAD + mapping, encoding="utf-8")
        settings = Settings(home=tmp_path / "home")
        assert all(row.balanced for row in pipeline.load(settings, read(tmp_path)).tables)
        return settings

    return load


def lines(settings: Settings, *columns: str) -> list[tuple[object, ...]]:
    """Columns of the transactions, in order of their content."""
    return sorted(tables.scan(settings, "transactions").select(columns).collect().rows(), key=repr)


def rejected(settings: Settings, table: str) -> list[tuple[object, ...]]:
    """Line and rule of a table's rows in quarantine."""
    return sorted(tables.quarantine(settings, table).select("line", "rule").collect().rows())


def test_every_recipe_is_tried() -> None:
    tried = {each for each in RECIPES if f'"{each}"' in Path(__file__).read_text(encoding="utf-8")}
    assert tried == set(RECIPES)


def test_a_date_and_a_time_make_one_moment_on_the_shops_clock(loaded: Loaded) -> None:
    found = lines(loaded("Date and time in two columns"), "basket_id", "local_timestamp", "amount")
    assert [(basket, f"{at:%d %H:%M}", amount) for basket, at, amount in found] == [
        ("01.09.2025-4711", "01 09:12", 3.9),
        ("31.08.2025-4711", "31 17:05", 2.49),
        ("31.08.2025-4711", "31 17:05", 7.8),
    ]


def test_lines_find_their_headers(loaded: Loaded) -> None:
    settings = loaded("Order headers and lines")
    assert lines(settings, "customer_id", "basket_id", "line_id") == [("K1", "A1", "1"), ("K1", "A1", "2")]
    assert rejected(settings, "transactions") == [(4, "excluded"), (5, "missing")]


def test_returns_stand_beside_what_was_sold(loaded: Loaded) -> None:
    found = lines(loaded("Returns in a file of their own"), "basket_id", "line_id", "quantity", "amount")
    assert found == [("B1", "1", 2.0, 7.8), ("B1", "R1", -1.0, -3.9)]


def test_nested_lines_are_rows(loaded: Loaded) -> None:
    found = lines(loaded("JSON orders with nested lines"), "customer_id", "basket_id", "item_id", "quantity", "amount")
    assert found == [("K1", "A1", "CUP", 1.0, 9.0), ("K1", "A1", "TEA", 2.0, 7.8), ("K2", "A2", "TEA", 1.0, 3.9)]


def test_the_last_event_makes_the_profile(loaded: Loaded) -> None:
    settings = loaded("Profiles out of a file of events")
    customers = tables.scan(settings, "customers").select("customer_id", "job").collect()
    assert sorted(customers.rows()) == [("C1", "technician"), ("C2", "admin")]
    merged = tables.merged(settings).collect().filter(pl.col("rule") == "replaced by a later row")
    assert merged.select("line", "into_line").rows() == [(2, 4)]


def test_grams_become_kilograms(loaded: Loaded) -> None:
    assert lines(loaded("Weights as quantities"), "quantity", "amount") == [(0.25, 4.5)]


def test_amounts_are_of_one_currency(loaded: Loaded) -> None:
    settings = loaded("Several currencies")
    assert lines(settings, "basket_id", "amount") == [("R1", 10.0), ("R2", 10.7)]
    assert rejected(settings, "transactions") == [(4, "missing")]


def test_a_total_is_no_row(loaded: Loaded) -> None:
    settings = loaded("A totals row at the end")
    assert lines(settings, "customer_id", "amount") == [("K1", 7.8), ("K2", 9.0)]
    assert rejected(settings, "transactions") == [(4, "excluded")]


def test_a_campaign_may_be_a_constant(loaded: Loaded) -> None:
    settings = loaded("One campaign, named nowhere in the file")
    (campaign,) = tables.scan(settings, "campaigns").select("campaign_id", "started_at", "ended_at").collect().rows()
    assert (campaign[0], f"{campaign[1]:%d %H:%M}", campaign[2]) == ("AUTUMN", "01 10:00", None)
    assert tables.scan(settings, "responses").collect()["customer_id"].to_list() == ["C1"]
