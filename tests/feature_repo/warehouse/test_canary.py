"""No identifier leaves raw: every file of a home is searched for the ids and addresses that went in, good rows and bad.

Parquet is read as values, since compression would hide them from a search for bytes; every other file is read as it is.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from feature_repo.mart import customers
from feature_repo.warehouse import pipeline, state, tables, vault
from feature_repo.warehouse.mapping import read
from motherlode import audit, names
from motherlode.settings import Settings

EXAMPLE = Path(__file__).parents[3] / "examples" / "online_shop"
BIRDS = (
    "Kanarienvogel",
    "Zeisig",
    "canary.bird@example.net",
    "Vogelweide 99",
    "+49 99 999999",
    "K99001",
    "K99002",
    "K99003",
)
"""Values of rows that are broken in one way each."""
_WHO = "Kanarienvogel;Zeisig;canary.bird@example.net;+49 99 999999;Vogelweide 99;88131;Lindau"
BROKEN = (
    f"K99001;{_WHO};31.02.1980;01.01.2023;1,00;ja;ja\n"
    f"K99002;{_WHO};01.02.1980;gestern;1,00;ja;ja\n"
    f";{_WHO};01.02.1980;01.01.2023;viel;ja;ja\n"
    f"K99004;{_WHO};01.02.1980;canary.bird@example.net;1,00;ja;ja\n"  # cells that have shifted
    f"K99005;{_WHO};01.02.1980;01.01.2023;+49 99 999999;ja;ja\n"
    f"K99006;{_WHO};01.02.1980;Kanarienvogel;1,00;ja;ja\n"
    f"K99007;{_WHO};01.02.1980;30.02.2023;1,00;ja;ja\n"
    "K99003;Kanarienvogel;Zeisig\n"
    'K99003;"Kanarienvogel;Zeisig;canary.bird@example.net\n'
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The online shop, with broken rows, loaded under a pseudonym key and a raw key."""
    folder = tmp_path_factory.mktemp("shop")
    shutil.copytree(EXAMPLE, folder / "shop")
    crm = folder / "shop" / "data" / "kunden.csv"
    crm.write_bytes(crm.read_bytes() + BROKEN.encode("latin-1"))
    settings = Settings(home=folder / "home", pseudonym_key="the pseudonym key", raw_key="the key of all of raw")
    pipeline.load(settings, read.read(folder / "shop"))
    customers.write_customers(settings)
    return settings


@pytest.fixture(scope="module")
def identifiers(home: Settings) -> frozenset[str]:
    """Every customer's number, e-mail address, telephone, street and number, and every visitor's cookie."""
    crm = (EXAMPLE / "data" / "kunden.csv").read_text("latin-1").splitlines()
    at = [crm[0].split(";").index(name) for name in ("Kundennr", "E-Mail", "Telefon", "Straße")]
    of_people = {line.split(";")[i] for line in crm[1:] for i in at}
    cookies = re.findall(r'"cookie": "([^"]+)"', (EXAMPLE / "data" / "events.jsonl").read_text())
    found = of_people | set(cookies) | set(BIRDS)
    found |= set(tables.outside_ids(home)[names.OUTSIDE_ID].to_list())
    return frozenset(each for each in found if each)


def texts(path: Path) -> Iterator[str]:
    """Every text of a file: a Parquet file's cells, and the bytes of any file."""
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                frame = pl.DataFrame(pl.from_arrow(batch))
                for column in frame:
                    yield from map(str, column.drop_nulls().unique().to_list())
            yield str(file.schema_arrow)
    yield path.read_bytes().decode("latin-1")


def leaks(paths: list[Path], identifiers: frozenset[str]) -> list[str]:
    """Where an identifier stands as a word of its own."""
    longest_first = sorted(identifiers, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    found = ((path, pattern.search(text)) for path in paths for text in texts(path))
    return [f"{path}: {match[0]}" for path, match in found if match]


def test_nothing_but_raw_knows_an_identifier(home: Settings, identifiers: frozenset[str]) -> None:
    outside_raw = [path for path in home.home.rglob("*") if path.is_file() and home.raw not in path.parents]
    layers = {path.relative_to(home.home).parts[0] for path in outside_raw}
    assert {"clean", "quarantine", "integrated", "lineage", "mart", audit.LOG, audit.HEAD, state.STATE} <= layers
    assert leaks(outside_raw, identifiers) == []


def test_the_broken_rows_are_in_quarantine_without_what_they_hold(home: Settings) -> None:
    rejected = tables.quarantine(home, names.CUSTOMERS).collect().to_dicts()
    shown = "\n".join(map(str, rejected))
    assert len(rejected) >= 4
    assert not any(bird in shown for bird in BIRDS)
    assert "30.02.2023" in shown, "what identifies nobody is shown as it stands"


def test_a_line_that_two_tables_share_is_hidden_in_both(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "sales.csv").write_text(
        "mail,item,title,price,sold\n"
        "anna@example.org,CUP,Cup,4.9,2025-08-01\n"
        "max@example.org,CUP,Cup,4.9,2025-08-01,extra\n"
    )
    (folder / "motherlode.yaml").write_text(
        "company: A shop\nsources: {sales: {files: sales.csv}}\ntables:\n"
        "  transactions: {from: sales, columns: {customer_id: mail, item_id: item, amount: price,"
        " event_timestamp: sold}}\n"
        "  items: {from: sales, columns: {item_id: item, item_name: title}}\n"
    )
    settings = Settings(home=tmp_path / "home", pseudonym_key="the pseudonym key")
    pipeline.load(settings, read.read(folder))
    rejected = tables.quarantine(settings).collect()
    assert sorted(rejected.select("table", "value").rows()) == [("items", "(hidden)"), ("transactions", "(hidden)")]


def test_encrypted_raw_knows_none_either_but_by_its_key(home: Settings, identifiers: frozenset[str]) -> None:
    raw = [path for path in home.raw.rglob("*") if path.is_file()]
    assert {vault.key_id_of(path) for path in raw} == {vault.key_id(home.raw_key or "")}
    held = [path.read_bytes() for path in raw]
    assert not any(
        each.encode(code) in content for each in identifiers for content in held for code in ("utf-8", "latin-1")
    )
    assert tables.outside_ids(home).height > 100


def test_the_search_finds_what_it_looks_for(home: Settings, identifiers: frozenset[str], tmp_path: Path) -> None:
    plain = replace(home, home=tmp_path, pseudonym_key=None, raw_key=None)
    pipeline.load(plain, read.read(EXAMPLE))
    found = leaks(list(tmp_path.rglob("*.parquet")), identifiers)
    layers = {Path(each.split(": ")[0]).relative_to(tmp_path).parts[0] for each in found}
    assert layers >= {"raw", "clean", "integrated"}
    assert not any("@" in each for each in found if "/raw/" not in each), "without a key, ids alone are known"
